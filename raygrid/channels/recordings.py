"""Recordings that ship in packages: pinned WAV files as waveforms of one voice at 16 kHz."""

import warnings
from functools import lru_cache
from math import gcd
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.io import wavfile
from scipy.signal import resample_poly
from torch import Tensor

from raygrid.assets import fetch
from raygrid.channels.sound import RATE
from raygrid.errors import UsageError, did_you_mean
from raygrid.pins import ASSETS

KEPT = 16
"""Recordings kept in memory; half a minute takes 2 MB."""


@lru_cache(maxsize=KEPT)
def pinned(name: str) -> Tensor:
    """Return the waveform [T], at 16 kHz, of a pinned WAV file, which is fetched where the cache lacks it.

    Raises:
        UsageError: there is no such file, or it can't be fetched.
    """
    asset = ASSETS.get(name)
    if asset is None or not asset.path.lower().endswith(".wav"):
        known = [each for each, found in ASSETS.items() if found.path.lower().endswith(".wav")]
        hint = did_you_mean(name, known) or f"; known: {', '.join(known)}"
        raise UsageError(f'unknown recording "{name}"{hint}')
    waveform, rate = read_wav(fetch(asset))
    return torch.from_numpy(to_rate(waveform, rate))


def read_wav(file: Path) -> tuple[NDArray[np.float32], int]:
    """Read a WAV file: the mean of its voices [T], full scale 1, and its rate in Hz.

    Raises:
        UsageError: it is none, or its values are of a kind that is not read here.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore", wavfile.WavFileWarning
            )  # of chunks besides the data, such as a list of credits
            rate, values = wavfile.read(file, mmap=False)
    except (ValueError, EOFError) as error:
        raise UsageError(f"{file}: not a WAV file that can be read: {error}") from error
    scale = {"int16": 1 << 15, "int32": 1 << 31, "float32": 1, "float64": 1}.get(values.dtype.name)
    if scale is None:
        raise UsageError(f"{file}: a WAV file of {values.dtype} values; 16, 24 or 32 bits or floating point are read")
    waveform = (values / scale).astype(np.float32)
    return (waveform.mean(axis=1) if waveform.ndim == 2 else waveform), int(rate)


def to_rate(waveform: NDArray[np.float32], rate: int, wanted: int = RATE) -> NDArray[np.float32]:
    """Return a waveform [T] at another rate: a polyphase filter cuts off what the lower of both can't hold.

    Raises:
        ValueError: a rate is not positive.
    """
    if rate <= 0 or wanted <= 0:
        raise ValueError(f"sample rates are positive, not {rate} and {wanted} Hz")
    common = gcd(rate, wanted)
    return np.asarray(resample_poly(waveform, wanted // common, rate // common), dtype=np.float32)
