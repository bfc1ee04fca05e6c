"""Waveforms and small banks of rooms for the tests of the channels of sound."""

import numpy as np
import torch

from raygrid.channels.catalog_audio import Room
from raygrid.channels.room_bank import bank_of, recorded
from raygrid.randomness import Randomness

SMALL = Room(train=4, validation=2, held_out=3, rt60=(0.15, 0.2), length=(3, 4), width=(2.5, 3.5), height=(2.3, 2.6))
"""Rooms that take some 30 ms each."""


def waves(batch: int, length: int, seed: int = 0, size: float = 0.1) -> torch.Tensor:
    """Waveforms of noise well inside [-1, 1]."""
    return (size * torch.randn(batch, length, generator=torch.Generator().manual_seed(seed))).clamp(-1, 1)


def streams(samples: int, seed: int = 0) -> Randomness:
    return Randomness(seed, "channel", [f"sample-{k}" for k in range(samples)])


def impulses(length: int = 1, rooms: int = 2):
    """A bank of rooms without walls."""
    rows = {f"free-{k}": np.eye(1, length, dtype=np.float32)[0] for k in range(rooms)}
    return bank_of(recorded(rows, "train"))
