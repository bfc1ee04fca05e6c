"""What inputs are made of: pictures, whose values lie in [0, 1], or sound in [-1, 1]; and what a file holds of them."""

from typing import NamedTuple

import torch
from torch import Tensor


class Medium(NamedTuple):
    """The range of valid inputs, and how a file divides it."""

    low: float
    high: float
    levels: int
    """A file holds multiples of 1 / levels."""
    dtype: torch.dtype
    """As which it holds how many."""
    guard: float
    """Levels by which x + eps may miss one through float32 rounding, and still counts as that level: several times that rounding,
    and for pictures less than what a distance may exceed eps by (constraints.TOLERANCE)."""

    @property
    def most(self) -> int:
        """The largest number that a file holds."""
        return torch.iinfo(self.dtype).max


PICTURE = Medium(0.0, 1.0, 255, torch.uint8, 2e-4)
SOUND = Medium(-1.0, 1.0, 32768, torch.int16, 1e-3)


def medium_of(x: Tensor) -> Medium:
    """Return what inputs x are: pictures [B, C, H, W], or sound [B, T]."""
    return SOUND if x.ndim == 2 else PICTURE


def stored(x_adv: Tensor, x: Tensor) -> Tensor:
    """Return x_adv [B, ...] as a file holds it (pictures uint8, sound int16), each value rounded towards the clean input x."""
    medium = medium_of(x)
    levels = x_adv.double() * medium.levels
    up = (levels + medium.guard).floor()
    down = (levels - medium.guard).ceil()
    return torch.where(x_adv >= x, up, down).clamp(medium.low * medium.levels, medium.most).to(medium.dtype)


def read_back(filed: Tensor, x: Tensor) -> Tensor:
    """Return what a file holds of examples of x [B, ...], as a victim takes it."""
    return filed.to(x) / medium_of(x).levels
