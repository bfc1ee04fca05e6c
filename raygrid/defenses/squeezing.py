"""Feature squeezing: an adversarial example betrays itself where the answer changes with less detail (Xu et al., NDSS 2018)."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from raygrid.defenses.bpda import as_if_identity
from raygrid.defenses.catalog_views import Squeezing
from raygrid.defenses.defended import Defended, answer, soft_answer, some_draws
from raygrid.defenses.preprocess import median, to_bits
from raygrid.defenses.votes import VOTES
from raygrid.randomness import Draws
from raygrid.victims.victim import Victim


class Squeezed(Defended):
    """A victim that answers as before, and raises the alarm where squeezed pictures are answered otherwise.

    An attacker who knows of it wants the same wrong answer to the picture and to all squeezed ones, which also brings the
    distance between them down: his gradient is that of the mean of their probabilities (as He et al., WOOT 2017, attack it).
    """

    detects = True

    def __init__(self, params: Squeezing, victim: Victim) -> None:
        super().__init__(victim)
        self.params = params

    def soft(self, x: Tensor, draws: Draws | None = None) -> Tensor:
        """Return the logarithms [B, classes] of the mean probabilities of pictures [B, C, H, W], as they are and squeezed."""
        draws = draws or some_draws(len(x))
        return VOTES["mean"](self._each(x, draws, soft_answer))

    def suspicious(self, x: Tensor, draws: Draws) -> Tensor:
        """Return [B] bool: some squeezed picture's probabilities are farther than the threshold from those of x."""
        return self.distance(x, draws) > self.params.threshold

    def distance(self, x: Tensor, draws: Draws) -> Tensor:
        """Return the largest L1 distance [B], in [0, 2], between the probabilities of x [B, C, H, W] and of x squeezed."""
        each = self._each(x, draws, answer).softmax(2)
        return (each[:, 1:] - each[:, :1]).abs().sum(2).amax(1)

    def _each(self, x: Tensor, draws: Draws, ask: Callable[[Victim, Tensor, Draws], Tensor]) -> Tensor:
        """Return the logits [B, 1 + squeezers, classes], the picture's own first; all at the same draw."""
        return torch.stack([ask(self.victim, z, draws) for z in (x, *self._squeezed(x))], dim=1)

    def _squeezed(self, x: Tensor) -> Iterator[Tensor]:
        if self.params.bits is not None:
            yield as_if_identity(x, to_bits(x.detach(), self.params.bits))
        if self.params.median is not None:
            yield median(x, self.params.median)
