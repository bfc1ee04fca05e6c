"""The acoustic model of hama 1.3.13 in plain torch: a log-mel front end, eleven separable convolutions over time with squeeze and
excitation, two attention layers and a CTC output. Its published weights are read from the ONNX file, whose graph is not run.

Values are laid out [B, frames, channels] throughout, which spares the transposes, and a dilated convolution over time is run as a
plain one over interleaved frames: 151 frames of 8 clips take 0.8 ms so and 6.5 ms by a dilated `conv1d` (one core, both passes).
"""

from collections import OrderedDict
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - its usual name

from raygrid.victims.onnx_tensors import read_tensors

WINDOW, HOP, BINS, BANDS = 400, 160, 201, 80
"""Samples a window and between windows at 16 kHz; frequency bins, and mel bands over them."""
FLOOR = 1e-10
"""Least mel energy whose logarithm is taken."""
MOST_FRAMES = 3000
"""The model hears the first 30 s."""
SHORTEST = WINDOW // 2 + 1
"""Samples that the reflection at both ends needs."""
CHANNELS, HEADS = 256, 4
DILATIONS = (1, 1, 2, 2, 4, 1, 1, 2, 2, 4, 1)
"""Of the blocks' convolutions, of nine taps each."""
TOKENS, BLANK = 191, 190
BLANK_BIAS = -0.1
"""What hama's own decoder adds to the blank's log-probability before it takes the most probable token."""


class LogMel(nn.Module):
    """Waveforms [B, T] to log mel energies [B, T // 160 + 1, 80]."""

    bands: Tensor
    window: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("bands", torch.zeros(BINS, BANDS))
        self.register_buffer("window", torch.hann_window(WINDOW), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Run it."""
        frames = F.pad(x, (WINDOW // 2, WINDOW // 2), mode="reflect").unfold(1, WINDOW, HOP)
        spectrum = torch.fft.rfft(frames * self.window)
        energy: Tensor = (spectrum.real.square() + spectrum.imag.square()) @ self.bands
        return energy.clamp_min(FLOOR).log()[:, :MOST_FRAMES]


class Stem(nn.Module):
    """Log mel energies [B, F, 80] to [B, ceil(F / 2), 256]."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(BANDS, CHANNELS, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Run it."""
        return F.gelu(self.conv(x.transpose(1, 2)).transpose(1, 2).contiguous())


class OverTime(nn.Module):
    """A convolution of nine taps over time [B, F, C], of each channel by itself."""

    def __init__(self, dilation: int) -> None:
        super().__init__()
        self.dilation = dilation
        self.weight = nn.Parameter(torch.zeros(CHANNELS, 1, 9))
        self.bias = nn.Parameter(torch.zeros(CHANNELS))

    def forward(self, x: Tensor) -> Tensor:
        """Run it: frames that lie `dilation` apart become neighbors, and the frames between them another column."""
        clips, frames, channels = x.shape
        gap = -frames % self.dilation
        columns = (
            (F.pad(x, (0, 0, 0, gap)) if gap else x).reshape(clips, -1, self.dilation, channels).permute(0, 3, 1, 2)
        )
        out = F.conv2d(columns, self.weight[..., None], self.bias, padding=(4, 0), groups=channels)
        heard = out.permute(0, 2, 3, 1).reshape(clips, -1, channels)[:, :frames]
        return heard.contiguous()  # `linear` takes a slow way else


class Block(nn.Module):
    """A separable convolution, squeeze and excitation (Hu et al. 2018), and the way around: [B, F, C] to [B, F, C]."""

    def __init__(self, dilation: int) -> None:
        super().__init__()
        self.depthwise = OverTime(dilation)
        self.pointwise = nn.Linear(CHANNELS, CHANNELS)
        self.squeeze = nn.Linear(CHANNELS, CHANNELS // 8)
        self.excite = nn.Linear(CHANNELS // 8, CHANNELS)

    def forward(self, x: Tensor) -> Tensor:
        """Run it."""
        h = F.silu(self.pointwise(self.depthwise(x)))
        gate = torch.sigmoid(self.excite(F.silu(self.squeeze(h.mean(1, keepdim=True)))))
        return torch.addcmul(x, h, gate)


class Attention(nn.Module):
    """A transformer layer, normalized before each part: [B, F, C] to [B, F, C]."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(CHANNELS), nn.LayerNorm(CHANNELS)
        self.project, self.join = nn.Linear(CHANNELS, 3 * CHANNELS), nn.Linear(CHANNELS, CHANNELS)
        self.widen, self.narrow = nn.Linear(CHANNELS, 2 * CHANNELS), nn.Linear(2 * CHANNELS, CHANNELS)

    def forward(self, x: Tensor) -> Tensor:
        """Run it."""
        clips, frames, channels = x.shape
        heads = self.project(self.norm1(x)).view(clips, frames, 3, HEADS, -1).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(heads[0], heads[1], heads[2])
        x = x + self.join(mixed.transpose(1, 2).reshape(clips, frames, channels))
        out: Tensor = x + self.narrow(F.gelu(self.widen(self.norm2(x))))
        return out


class Output(nn.Module):
    """[B, F, C] to log-probabilities [B, F, tokens]."""

    def __init__(self) -> None:
        super().__init__()
        self.project = nn.Linear(CHANNELS, TOKENS)

    def forward(self, x: Tensor) -> Tensor:
        """Run it."""
        return F.log_softmax(self.project(x), dim=-1)


def hama_net() -> nn.Sequential:
    """Return the untrained net, in named stages: waveforms [B, T] at 16 kHz to log-probabilities [B, T // 320 + 1, 191]."""
    stages: OrderedDict[str, nn.Module] = OrderedDict(mel=LogMel(), stem=Stem())
    for number, dilation in enumerate(DILATIONS):
        stages[f"block{number}"] = Block(dilation)
    stages["attention0"], stages["attention1"] = Attention(), Attention()
    stages["output"] = Output()
    return nn.Sequential(stages)


def read_hama(path: Path) -> dict[str, Tensor]:
    """Read the tensors of the ONNX file under the net's names, the bias of hama's decoder included in those of the output."""
    stored = {name: torch.tensor(values) for name, values in read_tensors(path).items()}
    tensors = {
        name: _as_linear(stored[theirs]) if _is_linear(name) else stored[theirs] for name, theirs in _names().items()
    }
    tensors["output.project.bias"] = tensors["output.project.bias"].clone()
    tensors["output.project.bias"][BLANK] += BLANK_BIAS
    return tensors


def _is_linear(name: str) -> bool:
    return name.endswith("weight") and not any(part in name for part in ("conv", "depthwise", "norm"))


def _as_linear(kernel: Tensor) -> Tensor:
    """Return the weight [out, in] of a convolution of one tap, or of a product from the right."""
    return kernel[:, :, 0] if kernel.ndim == 3 else kernel.T.contiguous()


def _names() -> dict[str, str]:
    """From the net's names to the file's: most are those of its training code, the folded ones are numbered."""
    root = "acoustic_model.model"
    names = {"mel.bands": "mel_fb", "stem.conv.weight": "onnx::Conv_663", "stem.conv.bias": "onnx::Conv_664"}
    for block in range(len(DILATIONS)):
        ours, theirs = f"block{block}", f"{root}.backbone.{block}"
        parts = {"depthwise": "depthwise", "squeeze": "se.fc1", "excite": "se.fc2"}
        for part, name in parts.items():
            names |= {f"{ours}.{part}.{kind}": f"{theirs}.{name}.{kind}" for kind in ("weight", "bias")}
        names[f"{ours}.pointwise.weight"] = f"onnx::Conv_{666 + 3 * block}"
        names[f"{ours}.pointwise.bias"] = f"onnx::Conv_{667 + 3 * block}"
    for layer in range(2):
        ours, theirs = f"attention{layer}", f"{root}.attn_layers.{layer}"
        for norm in ("norm1", "norm2"):
            names |= {f"{ours}.{norm}.{kind}": f"{theirs}.{norm}.{kind}" for kind in ("weight", "bias")}
        parts = {
            "project": "attn.in_proj_bias",
            "join": "attn.out_proj.bias",
            "widen": "ff.0.bias",
            "narrow": "ff.3.bias",
        }
        for (part, bias), number in zip(parts.items(), (712, 716, 717, 718), strict=True):
            names[f"{ours}.{part}.bias"] = f"{theirs}.{bias}"
            names[f"{ours}.{part}.weight"] = f"onnx::MatMul_{number + 7 * layer}"
    return names | {f"output.project.{kind}": f"{root}.proj.{kind}" for kind in ("weight", "bias")}
