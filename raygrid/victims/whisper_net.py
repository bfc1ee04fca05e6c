"""Whisper (Radford et al. 2022) in plain torch, as far as a judge needs it: waveforms in, the most probable tokens out, one after
the other. Modules are named as in CTranslate2's files."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torchaudio
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - its usual name

RATE, WINDOW, HOP, BANDS = 16_000, 400, 160, 80
HEARD = 30 * RATE
"""Samples of every clip: shorter ones are filled up with zeros, of longer ones the beginning is heard."""
WIDTH, HEADS, LAYERS = 384, 6, 4
PLACES, MOST_TOKENS = 1500, 448
TOKENS = 51_864


class Control(NamedTuple):
    """Tokens that steer the writing, and those that are never written."""

    prompt: tuple[int, ...]
    end: int
    never: tuple[int, ...]
    never_first: tuple[int, ...]
    most: int
    """Tokens that are written at most."""


class Attention(nn.Module):
    """Attention of a layer to itself, normalized before."""

    def __init__(self) -> None:
        super().__init__()
        self.layer_norm = nn.LayerNorm(WIDTH)
        self.linear_0, self.linear_1 = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor, before: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Map x [B, L, 384]; keys and values of what came before are looked at too, and returned with the new ones."""
        query, key, value = map(_heads, self.linear_0(self.layer_norm(x)).chunk(3, -1))
        if before is not None:
            key, value = torch.cat([before[0], key], 2), torch.cat([before[1], value], 2)
        return x + self.linear_1(_mixed(query, key, value)), (key, value)


class CrossAttention(nn.Module):
    """Attention of the writer to what was heard."""

    def __init__(self) -> None:
        super().__init__()
        self.layer_norm = nn.LayerNorm(WIDTH)
        self.linear_0, self.linear_1, self.linear_2 = (nn.Linear(WIDTH, n * WIDTH) for n in (1, 2, 1))

    def heard(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return keys and values of what was heard, [B, frames, 384]."""
        key, value = map(_heads, self.linear_1(x).chunk(2, -1))
        return key, value

    def forward(self, x: Tensor, heard: tuple[Tensor, Tensor]) -> Tensor:
        """Run it."""
        out: Tensor = x + self.linear_2(_mixed(_heads(self.linear_0(self.layer_norm(x))), *heard))
        return out


class FeedForward(nn.Module):
    """The part of a layer that looks at each place by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.layer_norm = nn.LayerNorm(WIDTH)
        self.linear_0, self.linear_1 = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        """Run it."""
        out: Tensor = x + self.linear_1(F.gelu(self.linear_0(self.layer_norm(x))))
        return out


class Positions(nn.Module):
    """What is added to each place."""

    def __init__(self, places: int) -> None:
        super().__init__()
        self.encodings = nn.Parameter(torch.zeros(places, WIDTH))


class EncoderLayer(nn.Module):
    """A layer of the listener."""

    def __init__(self) -> None:
        super().__init__()
        self.self_attention, self.ffn = Attention(), FeedForward()

    def forward(self, x: Tensor) -> Tensor:
        """Run it."""
        out: Tensor = self.ffn(self.self_attention(x)[0])
        return out


class Encoder(nn.Module):
    """The listener: log mel energies [B, 80, 3000] to [B, 1500, 384]."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(BANDS, WIDTH, 3, padding=1)
        self.conv2 = nn.Conv1d(WIDTH, WIDTH, 3, stride=2, padding=1)
        self.position_encodings = Positions(PLACES)
        for number in range(LAYERS):
            setattr(self, f"layer_{number}", EncoderLayer())
        self.layer_norm = nn.LayerNorm(WIDTH)

    def forward(self, mel: Tensor) -> Tensor:
        """Run it."""
        x = F.gelu(self.conv2(F.gelu(self.conv1(mel)))).transpose(1, 2) + self.position_encodings.encodings
        for number in range(LAYERS):
            x = getattr(self, f"layer_{number}")(x)
        out: Tensor = self.layer_norm(x)
        return out


class DecoderLayer(nn.Module):
    """A layer of the writer."""

    def __init__(self) -> None:
        super().__init__()
        self.self_attention, self.attention, self.ffn = Attention(), CrossAttention(), FeedForward()


class Decoder(nn.Module):
    """The writer: one token more at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.embeddings = nn.Embedding(TOKENS, WIDTH)
        self.position_encodings = Positions(MOST_TOKENS)
        self.layers = [DecoderLayer() for _ in range(LAYERS)]
        for number, layer in enumerate(self.layers):
            setattr(self, f"layer_{number}", layer)
        self.layer_norm = nn.LayerNorm(WIDTH)

    def forward(self, heard: Tensor, control: Control) -> Tensor:
        """Return the tokens [B, L] written about [B, 1500, 384], the most probable one each time, behind its end `control.end`."""
        x_heard = [layer.attention.heard(heard) for layer in self.layers]
        memory: list[tuple[Tensor, Tensor] | None] = [None] * LAYERS
        written: list[Tensor] = []
        ended = torch.zeros(len(heard), dtype=torch.bool, device=heard.device)
        for place, token in enumerate(control.prompt[:-1]):
            self._step(torch.full_like(ended, token, dtype=torch.long), place, x_heard, memory)
        last = torch.full_like(ended, control.prompt[-1], dtype=torch.long)
        for place in range(len(control.prompt) - 1, len(control.prompt) - 1 + control.most):
            scores = self._step(last, place, x_heard, memory)
            scores[:, control.never if written else (*control.never, *control.never_first)] = -torch.inf
            last = scores.argmax(-1).masked_fill(ended, control.end)
            written.append(last)
            ended = ended | (last == control.end)
            if bool(ended.all()):
                break
        return torch.stack(written, 1)

    def _step(
        self,
        token: Tensor,
        place: int,
        heard: Sequence[tuple[Tensor, Tensor]],
        memory: list[tuple[Tensor, Tensor] | None],
    ) -> Tensor:
        """Return scores [B, tokens] of what follows the token [B] at its place; `memory` takes it in."""
        x = self.embeddings(token)[:, None] + self.position_encodings.encodings[place]
        for number, layer in enumerate(self.layers):
            x, memory[number] = layer.self_attention(x, memory[number])
            x = layer.ffn(layer.attention(x, heard[number]))
        return F.linear(self.layer_norm(x[:, 0]), self.embeddings.weight)


class WhisperNet(nn.Module):
    """Waveforms [B, T] at 16 kHz to tokens [B, L]."""

    undivided = "it writes one token after another"
    bands: Tensor
    window: Tensor

    def __init__(self, control: Control) -> None:
        super().__init__()
        self.control = control
        self.encoder, self.decoder = Encoder(), Decoder()
        bands = torchaudio.functional.melscale_fbanks(WINDOW // 2 + 1, 0, RATE / 2, BANDS, RATE, "slaney", "slaney")
        self.register_buffer("bands", bands.T.contiguous(), persistent=False)
        self.register_buffer("window", torch.hann_window(WINDOW), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Run it."""
        tokens: Tensor = self.decoder(self.encoder(self.mel(x)), self.control)
        return tokens

    def mel(self, x: Tensor) -> Tensor:
        """Return log mel energies [B, 80, 3000], the least of each clip 80 dB below its greatest."""
        x = F.pad(x[:, :HEARD], (0, max(0, HEARD - x.shape[1])))
        spectrum = torch.stft(x, WINDOW, HOP, window=self.window, return_complex=True)[..., :-1]
        energy = (self.bands @ spectrum.abs().square()).clamp_min(1e-10).log10()
        floor = energy.amax((1, 2), keepdim=True) - 8
        return (torch.maximum(energy, floor) + 4) / 4


def _heads(x: Tensor) -> Tensor:
    return x.view(*x.shape[:2], HEADS, -1).transpose(1, 2)


def _mixed(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    return F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
