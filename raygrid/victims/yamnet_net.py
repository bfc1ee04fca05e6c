"""YAMNet in plain torch: log mel energies of a waveform, cut into patches of 0.96 s, and a MobileNet v1 over each (Howard et al.
2017; Plakal & Ellis, YAMNet, 2019). Its published weights are read from an ONNX file, whose graph is not run.

The file is one that fake-quantizes every layer; the weights inside are those before that, and no quantization is done here.
"""

import zipfile
from collections import OrderedDict
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - its usual name

RATE = 16_000
WINDOW, HOP, FFT = 400, 160, 512
"""Samples a window and between windows; points of its transform."""
BANDS, LOWEST, HIGHEST = 64, 125.0, 7500.0
"""Mel bands, and Hz between which they lie."""
OFFSET = 1e-3
"""Added to the energies before their logarithm is taken."""
PATCH, EVERY = 96, 48
"""Frames of a patch, and between the beginnings of patches."""
SHORTEST = WINDOW
"""Samples of one window. Clips are filled up with zeros to whole patches."""
CLASSES = 521
CHANNELS = (32, 64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024)
"""Behind the first convolution and behind each separable one."""
HALVING = (1, 3, 5, 11)
"""Which of the separable ones take every other place, counted from 0."""


class LogMelPatches(nn.Module):
    """Waveforms [B, T] to log mel energies [B, patches, 96, 64]."""

    bands: Tensor
    window: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("bands", _mel_bands(), persistent=False)
        self.register_buffer("window", torch.hann_window(WINDOW), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Run it: what is left over at the end is filled up to a whole patch with zeros."""
        first, step = WINDOW + (PATCH - 1) * HOP, EVERY * HOP
        more = max(0, -(-(x.shape[1] - first) // step))
        frames = F.pad(x, (0, first + more * step - x.shape[1])).unfold(1, WINDOW, HOP)
        energy: Tensor = torch.fft.rfft(frames * self.window, FFT).abs() @ self.bands
        return (energy + OFFSET).log().unfold(1, PATCH, EVERY).transpose(2, 3)


class OverPatches(nn.Module):
    """A net over each patch [B, P, 96, 64] by itself: what it finds [B, P, D]."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        """Run it."""
        found: Tensor = self.net(x.flatten(0, 1)[:, None])
        return found.view(*x.shape[:2], -1)


class MeanOfPatches(nn.Module):
    """Logits [B, P, classes] to those [B, classes] of the mean probability of a clip's patches, by which YAMNet names a clip."""

    def forward(self, z: Tensor) -> Tensor:
        """Run it: log of the mean of p, less log of the mean of 1 - p. Of one patch it is the logit itself."""
        return F.logsigmoid(z).logsumexp(1) - F.logsigmoid(-z).logsumexp(1)


def yamnet() -> nn.Sequential:
    """Return the untrained net, in named stages: patches, body, classifier, clip. Waveforms [B, T] to logits [B, 521]."""
    stages: OrderedDict[str, nn.Module] = OrderedDict(first=_Convolution(1, CHANNELS[0], 3, stride=2))
    for i, (before, channels) in enumerate(pairwise(CHANNELS)):
        stages[f"depthwise{i + 1}"] = _Convolution(before, before, 3, stride=2 if i in HALVING else 1, groups=before)
        stages[f"pointwise{i + 1}"] = _Convolution(before, channels, 1)
    stages |= {"pool": nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten()}
    return nn.Sequential(
        OrderedDict(
            patches=LogMelPatches(),
            body=OverPatches(nn.Sequential(stages)),
            classifier=nn.Linear(CHANNELS[-1], CLASSES),
            clip=MeanOfPatches(),
        )
    )


class _Convolution(nn.Sequential):
    """A convolution, with batch normalization folded in, and a ReLU; of stride 2 filled up at the end, as TensorFlow does."""

    def __init__(self, before: int, channels: int, side: int, stride: int = 1, groups: int = 1) -> None:
        inner = 0 if stride == 2 else side // 2
        convolution = nn.Conv2d(before, channels, side, stride, inner, groups=groups)
        filled: list[tuple[str, nn.Module]] = [("fill", nn.ZeroPad2d((0, 1, 0, 1)))] if stride == 2 else []
        super().__init__(OrderedDict([*filled, ("conv", convolution), ("relu", nn.ReLU())]))


def _mel_bands() -> Tensor:
    """Return the weights [257, 64] of frequencies in bands: triangles that are straight in mel (HTK's), as TensorFlow has them."""
    mel = 2595 * (1 + torch.arange(FFT // 2 + 1, dtype=torch.float64) * RATE / FFT / 700).log10()
    ends = 2595 * (1 + torch.tensor([LOWEST, HIGHEST], dtype=torch.float64) / 700).log10()
    edges = torch.linspace(float(ends[0]), float(ends[1]), BANDS + 2, dtype=torch.float64)
    low, middle, high = edges[:-2], edges[1:-1], edges[2:]
    rising, falling = (mel[:, None] - low) / (middle - low), (high - mel[:, None]) / (high - middle)
    return rising.minimum(falling).clamp_min(0).float()


def read_yamnet(file: Path) -> dict[str, Tensor]:
    """Return the tensors of `yamnet()` out of a zip that holds `model.onnx` and, beside it, `model.data`.

    Convolutions have no names of their own in the file; the order of the graph's nodes tells them apart.
    """
    with zipfile.ZipFile(file) as archive:
        paths = {name.rsplit("/", 1)[-1]: name for name in archive.namelist()}
        graph = onnx.load_model_from_string(archive.read(paths["model.onnx"])).graph
        values = archive.read(paths["model.data"])
    stored = {tensor.name: _tensor(tensor, values) for tensor in graph.initializer}
    convolutions = [[name.removesuffix("_qdq") for name in n.input[1:]] for n in graph.node if n.op_type == "Conv"]
    stages = ["first", *(f"{kind}{i + 1}" for i in range(len(CHANNELS) - 1) for kind in ("depthwise", "pointwise"))]
    tensors = {f"classifier.{kind}": stored[f"model.classifier.{kind}"] for kind in ("weight", "bias")}
    for stage, names in zip(stages, convolutions, strict=True):
        tensors |= {
            f"body.net.{stage}.conv.{kind}": stored[name] for kind, name in zip(("weight", "bias"), names, strict=True)
        }
    return tensors


def _tensor(tensor: onnx.TensorProto, values: bytes) -> Tensor:
    if tensor.data_location != onnx.TensorProto.EXTERNAL:
        return torch.from_numpy(np.array(onnx.numpy_helper.to_array(tensor)))
    place = {entry.key: entry.value for entry in tensor.external_data}
    start, length = int(place.get("offset", 0)), int(place["length"])
    dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)
    return torch.from_numpy(np.frombuffer(values[start : start + length], dtype).reshape(tensor.dims).copy())
