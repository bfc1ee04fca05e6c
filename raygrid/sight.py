"""A victim at one look, with gradients: what attacks make losses of their own of."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from raygrid.sample_errors import require_finite


class Insight(NamedTuple):
    """What may be asked of a victim at one draw of a look; the last two arguments are the sample and the look of each [B]."""

    logits: Callable[[Tensor, Tensor, Tensor], Tensor]
    """(inputs [B, C, H, W], index, looks) -> [B, classes]."""
    features: Callable[[Tensor, str, Tensor, Tensor], Tensor]
    """(inputs [B, C, H, W], layer, index, looks) -> values [B, ...] of a hidden layer."""
    resume: Callable[[Tensor, str, Tensor], Tensor]
    """(values [B, ...] of a hidden layer, layer, index) -> [B, classes]."""


class Sight:
    """A victim at one look at some samples [b], with gradients: what a loss of an attack's own may be made of.

    Each question takes values of b * k inputs, k copies of every sample side by side, and counts as k passes, whatever part of the
    victim it runs. Every pass is a look of its own to a random victim and to a channel.
    """

    def __init__(self, insight: Insight, index: Tensor, looks: Tensor, passes: int) -> None:
        self._insight, self._index, self._looks, self._passes = insight, index, looks, passes
        self._taken = 0

    def logits(self, z: Tensor) -> Tensor:
        """Return the logits [b * k, classes] of inputs z [b * k, C, H, W]."""
        index, looks = self._copies(z)
        return _checked(self._insight.logits(z, index, looks), index)

    def features(self, z: Tensor, layer: str) -> Tensor:
        """Return the values [b * k, ...] of a hidden layer for inputs z [b * k, C, H, W]."""
        index, looks = self._copies(z)
        return _checked(self._insight.features(z, layer, index, looks), index)

    def resume(self, h: Tensor, layer: str) -> Tensor:
        """Return the logits [b * k, classes] that follow from values h [b * k, ...] of a hidden layer; values below 0 behind a
        layer that has none count as 0."""
        index, _ = self._copies(h)
        return _checked(self._insight.resume(h, layer, index), index)

    def _copies(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Count the passes that values [b * k, ...] take. Returns the sample and the look of each [b * k]."""
        k = len(z) // len(self._index)
        numbers = self._looks[:, None] + torch.arange(self._taken, self._taken + k)
        self._taken += k
        if self._taken > self._passes or k * len(self._index) != len(z):
            raise ValueError("a loss takes whole copies of its samples, and no more passes than it said")
        return self._index.repeat_interleave(k), numbers.flatten()


def _checked(values: Tensor, index: Tensor) -> Tensor:
    # A hinge is finite where the scores behind it are not.
    require_finite("score", values.detach(), index)
    return values


Loss = Callable[[Sight, Tensor, Tensor], tuple[Tensor, Tensor]]
"""A loss of an attack's own: (sight, z [b, C, H, W], positions of the samples [b]) -> loss [b], lower is better, success [b] bool.
Each sample's must hang on that sample alone."""
