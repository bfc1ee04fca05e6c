"""Resemblyzer's voice encoder in plain torch, with the weights of the package resemblyzer 0.1.4: three LSTM layers over the mel
energies of stretches of 1.6 s (Wan et al., Generalized end-to-end loss for speaker verification, ICASSP 2018).

The package cuts long silences out of recordings before it listens, by a detector that has no gradient; here they are heard.
"""

from collections import OrderedDict

import torch
import torchaudio
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - its usual name

from raygrid.assets import fetch
from raygrid.component import Params
from raygrid.pins import ASSETS
from raygrid.victims.info import VictimInfo
from raygrid.victims.listener import Listener
from raygrid.victims.loading import load_into

RATE = 16_000
WINDOW, HOP, BANDS = 400, 160, 40
"""Samples a window and between windows; mel bands."""
LOUDNESS = -30.0
"""dB below full scale to which softer recordings are amplified."""
STRETCH, EVERY = 160, 77
"""Frames of a stretch, and between the beginnings of stretches: 1.3 a second."""
COVERED = 0.75
"""Share of the last stretch that has to be recorded, or it does not count, unless it is the only one."""
WIDTH = 256
TINY = 1e-8


class MelStretches(nn.Module):
    """Waveforms [B, T] to mel energies [B, stretches, 160, 40]."""

    bands: Tensor
    window: Tensor

    def __init__(self) -> None:
        super().__init__()
        bands = torchaudio.functional.melscale_fbanks(WINDOW // 2 + 1, 0, RATE / 2, BANDS, RATE, "slaney", "slaney")
        self.register_buffer("bands", bands, persistent=False)
        self.register_buffer("window", torch.hann_window(WINDOW), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Run it: soft recordings are amplified first, and the end is filled up with zeros."""
        gain = 10 ** (LOUDNESS / 20) / x.square().mean(1, keepdim=True).add(TINY**2).sqrt()
        starts = stretches(x.shape[1])
        end = (starts[-1] + STRETCH) * HOP
        padded = F.pad(x * gain.clamp_min(1.0), (WINDOW // 2, max(0, end - x.shape[1]) + WINDOW // 2))
        spectrum = torch.fft.rfft(padded.unfold(1, WINDOW, HOP) * self.window)
        energy: Tensor = (spectrum.real.square() + spectrum.imag.square()) @ self.bands
        return torch.stack([energy[:, start : start + STRETCH] for start in starts], dim=1)


def stretches(samples: int) -> list[int]:
    """Return the frames at which the stretches of a recording begin."""
    frames = -(-(samples + 1) // HOP)
    starts = list(range(0, max(1, frames - STRETCH + EVERY + 1), EVERY))
    if len(starts) > 1 and (samples - starts[-1] * HOP) / (STRETCH * HOP) < COVERED:
        starts.pop()
    return starts


class Encoder(nn.Module):
    """Mel energies [B, S, 160, 40] to an embedding of length 1 for each stretch [B, S, 256]."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(BANDS, WIDTH, 3, batch_first=True)
        self.linear = nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        """Run it."""
        with torch.backends.cudnn.flags(enabled=False):  # cuDNN gives no gradients in eval mode
            _, (hidden, _) = self.lstm(x.flatten(0, 1))
        return F.normalize(F.relu(self.linear(hidden[-1])), dim=1).view(*x.shape[:2], WIDTH)


class MeanOfStretches(nn.Module):
    """Embeddings [B, S, 256] to that of the recording [B, 256], of length 1."""

    def forward(self, x: Tensor) -> Tensor:
        """Run it."""
        return F.normalize(x.mean(1), dim=1)


def resemblyzer() -> nn.Sequential:
    """Return the untrained net, in named stages: stretches, encoder, voice."""
    return nn.Sequential(OrderedDict(stretches=MelStretches(), encoder=Encoder(), voice=MeanOfStretches()))


def build(params: Params, info: VictimInfo) -> Listener:
    """Build the net with its published weights."""
    checkpoint = torch.load(fetch(ASSETS["resemblyzer"]), map_location="cpu", weights_only=True)
    model = resemblyzer()
    stored: dict[str, Tensor] = checkpoint["model_state"]
    # The others scale similarities while it is trained.
    load_into(model, {f"encoder.{k}": v for k, v in stored.items() if not k.startswith("similarity")}, info.id)
    return Listener(model, info, WINDOW)
