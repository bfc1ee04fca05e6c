"""What is left of sound in a file of a lossy codec. Encoders make the same of the same sound; none has a gradient."""

from io import BytesIO
from typing import Any

import numpy as np
import soundfile
import torch
from torch import Tensor

from raygrid.channels.catalog_audio import Lossy
from raygrid.channels.sound import RATE, Sound
from raygrid.randomness import Randomness

FORMATS = {"mp3": ("MP3", "MPEG_LAYER_III"), "opus": ("OGG", "OPUS"), "vorbis": ("OGG", "VORBIS")}
"""Container and encoding of each codec, in libsndfile's words."""


def _draw(params: Lossy, randomness: Randomness, purpose: str, index: Tensor, like: Tensor) -> int:
    """Draw nothing, for so many waveforms."""
    return len(index)


def decoded(params: Lossy, x: Tensor, plays: int) -> Tensor:
    """Return what players make of x [B, T], cut to [-1, 1].

    Raises:
        ValueError: a gradient is asked for, and `straight_through` does not stand in for it.
    """
    if x.requires_grad and params.without_slope():
        raise ValueError("a lossy codec has no gradient; straight_through: true takes that of the identity for it")
    waves = x.detach().cpu().numpy().astype(np.float32)
    heard = torch.from_numpy(np.stack([_through(wave, params) for wave in waves])).to(x).clamp(-1, 1)
    return x + (heard - x.detach()) if params.straight_through else heard


def _through(wave: np.ndarray, params: Lossy) -> np.ndarray:
    """Return a waveform [T] as it comes out of a file: as long, and no later."""
    container, encoding = FORMATS[params.codec]
    file = BytesIO()
    soundfile.write(file, wave, RATE, format=container, subtype=encoding, compression_level=params.compression)
    file.seek(0)
    heard, rate = soundfile.read(file, dtype="float32")
    if rate != RATE or heard.shape != wave.shape:
        raise ValueError(
            f"{params.codec} made {heard.shape} values at {rate} Hz of {wave.shape} at {RATE}: this build of libsndfile "
            f"({soundfile.__libsndfile_version__}) keeps neither time nor rate"
        )
    return np.asarray(heard)


def told(params: Lossy, plays: int) -> dict[str, list[Any]]:
    """Return the codec and how much it compresses."""
    return {"codec": [params.codec] * plays, "compression": [params.compression] * plays}


lossy = Sound(_draw, decoded, told)
