"""Votes over the picture at several scales, crops and mirrored (Lu et al. 2017 found attacks to depend on scale)."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.nn.functional import interpolate, pad

from raygrid.defenses.catalog_views import MultiScale
from raygrid.defenses.defended import Defended, answer, soft_answer, some_draws
from raygrid.defenses.votes import poll
from raygrid.randomness import Draws
from raygrid.victims.victim import Victim

PLACES = {"center": ((0.5, 0.5),), "corners": ((0.5, 0.5), (0.0, 0.0), (0.0, 1.0), (1.0, 0.0), (1.0, 1.0))}
"""Where a view's spare room lies: the share of it above, and on the left."""


class MultiScaled(Defended):
    """A victim whose answer is the vote over views. The attacker's gradient is that of the mean of their probabilities: of all the
    views at once, which is the expectation that an adaptive attack has to take."""

    def __init__(self, params: MultiScale, victim: Victim) -> None:
        super().__init__(victim)
        self.params = params
        self.detects = params.detects()

    def forward(self, x: Tensor, draws: Draws | None = None) -> Tensor:
        """Return the logits [B, classes] of pixels [B, C, H, W]: logarithms of the shares of votes, or of mean probabilities."""
        return self._vote(self._each(x, draws or some_draws(len(x)), answer))

    def soft(self, x: Tensor, draws: Draws | None = None) -> Tensor:
        """Return the logits [B, classes]: logarithms of the mean probabilities, whatever the vote."""
        each = self._each(x, draws or some_draws(len(x)), soft_answer)
        return each[:, 0] if each.shape[1] == 1 else poll("mean", self.info.task)(each)

    def suspicious(self, x: Tensor, draws: Draws) -> Tensor:
        """Return [B] bool: more of the views than the given share disagree with the vote."""
        each = self._each(x, draws, answer)
        decided = self._vote(each).argmax(1)
        return (each.argmax(2) != decided[:, None]).double().mean(1) > (self.params.alarm_above or 0.0)

    def _vote(self, each: Tensor) -> Tensor:
        return each[:, 0] if each.shape[1] == 1 else poll(self.params.vote, self.info.task)(each)

    def _each(self, x: Tensor, draws: Draws, ask: Callable[[Victim, Tensor, Draws], Tensor]) -> Tensor:
        """Return the logits [B, views, classes], one pass a view."""
        seen = views(x, self.params)
        return torch.stack([ask(self.victim, z, draws.copied([number])) for number, z in enumerate(seen)], dim=1)


def views(x: Tensor, params: MultiScale) -> Iterator[Tensor]:
    """Yield the views of pictures x [B, C, H, W], each of the same size; a picture of its own size has one place only."""
    for scale in params.scales:
        for down, right in PLACES["center"] if scale == 1 else PLACES[params.crops]:
            seen = x if scale == 1 else _shown(x, scale, down, right)
            yield seen
            if params.flips:
                yield seen.flip(3)


def _shown(x: Tensor, scale: float, down: float, right: float) -> Tensor:
    """Return x [B, C, H, W] scaled, then cropped or on black; bilinear, over as many pixels as become one."""
    height, width = x.shape[2:]
    rows, columns = max(1, round(height * scale)), max(1, round(width * scale))
    scaled = interpolate(x, (rows, columns), mode="bilinear", align_corners=False, antialias=scale < 1)
    top, left = round(down * (height - rows)), round(right * (width - columns))
    return pad(scaled, (left, width - columns - left, top, height - rows - top))  # what is less than 0 is cropped
