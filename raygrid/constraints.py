"""The sets a perturbation must stay in: L-inf, L2 and L1 balls around the clean input, always inside the box of valid inputs."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from raygrid.randomness import Randomness

TOLERANCE = 1e-6
"""How far a distance may exceed eps, as a share of the input range and of eps: float32 rounding of x + delta, no more."""

SLIDE_SHARE = 0.01
"""Share of the coordinates that an L1 step moves (Tramèr & Boneh, NeurIPS 2019)."""

SUM = torch.float64
"""What lengths are summed in: float32 sums over the 150,000 values of a photo miss eps by more than the tolerance."""

BISECTIONS = 30
"""Halvings of the threshold in the L1 projection: 2**-30 of the largest entry, below float32 resolution."""


class Box(NamedTuple):
    """The range of valid inputs."""

    low: float
    high: float


def _column(values: Tensor, like: Tensor) -> Tensor:
    return values.view(-1, *[1] * (like.dim() - 1))


def _clamp_linf(delta: Tensor, eps: float, x: Tensor, box: Box) -> Tensor:
    return delta.clamp(-eps, eps)


def _shrink_l2(delta: Tensor, eps: float, x: Tensor, box: Box) -> Tensor:
    norm = delta.flatten(1).norm(dim=1, dtype=SUM).clamp_min(1e-30)
    return delta * _column((eps / norm).clamp_max(1.0).to(delta), delta)


def _shrink_l1(delta: Tensor, eps: float, x: Tensor, box: Box) -> Tensor:
    """Nearest point of the L1 ball and the box together: soft-threshold, then clip, with the least threshold that fits.

    Projecting on one after the other is not the projection on both, and costs L1 attacks much of their strength (Croce & Hein,
    ICML 2021).
    """
    magnitude = delta.abs()
    room = torch.where(delta > 0, box.high - x, x - box.low)

    def kept(threshold: Tensor) -> Tensor:
        return torch.minimum((magnitude - _column(threshold, delta)).clamp_min(0), room)

    def fits(threshold: Tensor) -> Tensor:
        return kept(threshold).flatten(1).sum(1, dtype=SUM) <= eps

    below = torch.zeros_like(magnitude.flatten(1)[:, 0])
    above = torch.where(fits(below), below, magnitude.flatten(1).amax(1))
    for _ in range(BISECTIONS):
        middle = (below + above) / 2
        good = fits(middle)
        below, above = torch.where(good, below, middle), torch.where(good, middle, above)
    return delta.sign() * kept(above)


def _normalize_l2(gradient: Tensor) -> Tensor:
    return gradient / _column(gradient.flatten(1).norm(dim=1).clamp_min(1e-30), gradient)


def _largest_l1(gradient: Tensor) -> Tensor:
    flat = gradient.flatten(1)
    top = flat.abs().topk(max(1, int(SLIDE_SHARE * flat.shape[1])), dim=1)
    step = torch.zeros_like(flat).scatter(1, top.indices, (top.values > 0).to(flat) / top.indices.shape[1])
    return (step * flat.sign()).view_as(gradient)


def _in_cube(randomness: Randomness, purpose: str, index: Tensor, like: Tensor) -> Tensor:
    return 2 * randomness.uniform(purpose, index, like) - 1


def _in_l2_ball(randomness: Randomness, purpose: str, index: Tensor, like: Tensor) -> Tensor:
    direction = _normalize_l2(randomness.normal(purpose, index, like))
    radius = randomness.uniform(f"{purpose}/radius", index, like[:, :1].flatten(1)[:, :1]).pow(1 / like[0].numel())
    return direction * _column(radius.flatten(), like)


def _in_l1_ball(randomness: Randomness, purpose: str, index: Tensor, like: Tensor) -> Tensor:
    signed = 2 * randomness.uniform(purpose, index, like) - 1
    exponential = -torch.log1p(-signed.abs().clamp_max(1 - 1e-7))
    radius = randomness.uniform(f"{purpose}/radius", index, like[:, :1].flatten(1)[:, :1]).pow(1 / like[0].numel())
    share = _column(radius.flatten() / exponential.flatten(1).sum(1), like)
    return signed.sign() * exponential * share


class Ball(NamedTuple):
    """An Lp ball around the clean input, as functions of the perturbation delta [B, ...]."""

    norm: Callable[[Tensor], Tensor]
    """Length [B] of flat perturbations [B, D]."""
    project: Callable[[Tensor, float, Tensor, Box], Tensor]
    """(delta, eps, x, box) -> the nearest perturbation of length at most eps; L1 alone looks at the box as well."""
    steepest: Callable[[Tensor], Tensor]
    """Step of length 1 (at most, for L1) along which a linear function of this gradient rises fastest."""
    uniform: Callable[[Randomness, str, Tensor, Tensor], Tensor]
    """Random points of the ball of radius 1."""


BALLS: dict[str, Ball] = {
    "linf": Ball(lambda flat: flat.abs().amax(1), _clamp_linf, torch.sign, _in_cube),
    "l2": Ball(lambda flat: flat.norm(dim=1), _shrink_l2, _normalize_l2, _in_l2_ball),
    "l1": Ball(lambda flat: flat.abs().sum(1), _shrink_l1, _largest_l1, _in_l1_ball),
}


@dataclass(frozen=True)
class Constraint:
    """A ball of radius eps (input units) around the clean input, and the box [low, high]."""

    norm: str
    eps: float
    low: float = 0.0
    high: float = 1.0

    @property
    def ball(self) -> Ball:
        """The ball's functions."""
        return BALLS[self.norm]

    def project(self, z: Tensor, x: Tensor) -> Tensor:
        """Return points [B, ...] inside ball and box near z [B, ...], for clean inputs x [B, ...]."""
        delta = self.ball.project(z - x, self.eps, x, Box(self.low, self.high))
        return delta.add_(x).clamp_(self.low, self.high)

    def steepest(self, gradient: Tensor, z: Tensor) -> Tensor:
        """Return the step of length 1 from z [B, ...] that lowers a loss of this gradient fastest.

        L1 steps skip coordinates that already stand at the box's edge and would leave it: few coordinates move, and those must.
        """
        if self.norm == "l1":
            blocked = ((z <= self.low) & (gradient > 0)) | ((z >= self.high) & (gradient < 0))
            gradient = gradient.masked_fill(blocked, 0.0)
        return -self.ball.steepest(gradient)

    def random_start(self, x: Tensor, randomness: Randomness, purpose: str, index: Tensor) -> Tensor:
        """Return points [B, ...] drawn uniformly from the ball, then brought into the box."""
        return self.project(x + self.eps * self.ball.uniform(randomness, purpose, index, x), x)

    def distance(self, z: Tensor, x: Tensor) -> Tensor:
        """Return the distances [B], in float64."""
        return self.ball.norm((z.double() - x.double()).flatten(1))

    def allows(self, z: Tensor, x: Tensor) -> Tensor:
        """Return [B] bool: z is finite, inside the box and within eps of x, up to the tolerance."""
        span = self.high - self.low
        inside = (z >= self.low - TOLERANCE * span) & (z <= self.high + TOLERANCE * span)
        near = self.distance(z, x) <= self.eps + TOLERANCE * max(span, self.eps)
        return inside.flatten(1).all(1) & near & torch.isfinite(z).flatten(1).all(1)
