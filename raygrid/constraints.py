"""The sets a perturbation must stay in: L-inf, L2, L1 and L0 balls around the clean input, always inside the box of valid inputs,
and masks, outside of which nothing may change.

L0 counts values, not pixels: a value is one channel of one pixel, so that a recolored pixel of a photo costs up to three.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from raygrid.randomness import Randomness

TOLERANCE = 1e-6
"""How far a distance may exceed eps, as a share of the input range and of eps: float32 rounding of x + delta, no more."""

L1_SHARE = 0.01
"""Share of the values that an L1 step moves at first (Tramèr & Boneh, NeurIPS 2019)."""

L1_SPARE = 4
"""Values that an L1 step chooses among at first, beside those that it moves where all have room. To choose twelve of a digit's
values takes a fifth of what thirteen take."""

L1_CANDIDATES = 24
"""Values that it chooses among where these had too little room, at least; twice those that it moves at first, where that is
more."""

L1_ROUNDS = 80
"""Rounds of the L1 projection at most; 3 to 6 for points that a step has taken out of the ball."""

L1_OVER = 1e-6
"""The L1 projection ends when the length exceeds eps by this share of it at most; what is left is scaled off."""

TINY = 1e-30
"""Stands in for a length of zero in a quotient."""

FAR = 1e38
"""So many times a gradient leaves the box, whatever its size but for the smallest that float32 holds."""

ROUNDING = 2.0**-25
"""Half the last bit of float32 values in [0.5, 1]: what x + delta may be off by."""

L2_SHORT = 1e-4
"""The L2 projection ends when the length is this close to eps, as a share of it."""

L2_ROUNDS = 6
"""Rounds from above that the L2 projection tries; on digits one to three do."""

ON_SURFACE = 1e-5
"""Points this close to the surface of an L2 ball, as a share of eps, are taken to lie on it."""

L2_RISING = 40
"""Rounds from below where these do not; more than twenty only for points that lie a thousand radii away."""


class Box(NamedTuple):
    """The range of valid inputs."""

    low: float
    high: float


Length = float | Tensor
"""Of a step: one for all samples, or one each [B, 1, ...]."""


def _column(values: Tensor, like: Tensor) -> Tensor:
    return values.view(-1, *[1] * (like.dim() - 1))


def _values(like: Tensor) -> int:
    return math.prod(like.shape[1:])


def _clamp_linf(delta: Tensor, eps: float, x: Tensor, z: Tensor, box: Box) -> Tensor:
    return delta.clamp_(-eps, eps)


def _shrink_l2(delta: Tensor, eps: float, x: Tensor, z: Tensor, box: Box) -> Tensor:
    """Nearest point of the L2 ball and the box together: scale, then clip, with the largest factor that fits.

    The squared length after clipping is a concave function of the squared factor, and 0 at 0: what eps allows of a length is a
    factor that is too large, if anything, and less so the next time. Where the box stops nearly all values that takes long. Sums
    of squares are pairwise: in float32 they are right to 1e-7 for the 150,000 values of a photo, where `Tensor.norm` misses eps
    by more than the tolerance.
    """
    # x + delta is rounded as well: steps shorter than its last bit round back to where they came from, all of them outwards.
    inner = eps - ROUNDING * math.sqrt(_values(delta)) * (box.high - box.low)
    if inner <= 0 or not len(delta):
        return torch.zeros_like(delta)
    # Few operations: after a victim's pass each of them finds its code out of all caches.
    most, point = eps**2, (delta + x).clamp_(box.low, box.high).sub_(x)
    if math.isinf(eps):
        return point
    divisor = (_power(point) / most).clamp_min_(1.0)
    for _ in range(L2_ROUNDS):
        point = _scaled_and_clipped(delta, divisor.rsqrt(), x, box)
        power = _power(point)
        over = power > most * (1 + 2 * L2_SHORT)
        if not bool(over.any()):
            break
        divisor = torch.where(over, divisor * (power / most), divisor)
    else:
        point[over] = _risen(delta[over], most, x[over], box)
        power = _power(point)
    length = functional.threshold(power.sqrt_().div_(inner), (1 - ON_SURFACE) * eps / inner, 1.0)
    return point.div_(_column(length, point))


def _scaled_and_clipped(delta: Tensor, factor: Tensor, x: Tensor, box: Box) -> Tensor:
    return torch.addcmul(x, delta, _column(factor, delta)).clamp_(box.low, box.high).sub_(x)


def _risen(delta: Tensor, most: float, x: Tensor, box: Box) -> Tensor:
    """Scale and clip with factors that rise by secants to what the squared length `most` allows, and do not pass it."""
    point, factor = delta, (most / _power(delta).clamp_min(TINY)).clamp_max_(1.0)
    factor_before, power_before = torch.zeros_like(factor), torch.zeros_like(factor)
    for _ in range(L2_RISING):
        point = _scaled_and_clipped(delta, factor.sqrt(), x, box)
        power = _power(point)
        short = (factor < 1) & (power < most * (1 - 2 * L2_SHORT))
        if not bool(short.any()):
            break
        gained = (power - power_before).maximum(1e-6 * torch.full_like(power, most))  # less than that is rounding
        step = (most - power) * (factor - factor_before) / gained
        factor_before, power_before = factor, power
        factor = torch.where(short, factor + step, factor).clamp_max(1.0)
    return point


def _power(delta: Tensor) -> Tensor:
    return delta.flatten(1).square().sum(1)


def _shrink_l1(delta: Tensor, eps: float, x: Tensor, z: Tensor, box: Box) -> Tensor:
    """Nearest point of the L1 ball and the box together: soft-threshold, then clip, with the least threshold that fits.

    Projecting on one after the other is not the projection on both, and costs L1 attacks much of their strength (Croce & Hein,
    ICML 2021). Where the nearest point of the ball lies in the box, though, it is the nearest of both. From a point of the box it
    does, and attacks that step inside the box ask for no other.
    """
    rounding = ROUNDING * (box.high - box.low)
    shrunk = torch.copysign(_soften(delta.abs().flatten(1), eps, rounding).view_as(delta), delta)
    if not z.numel() or (float(z.amin()) >= box.low and float(z.amax()) <= box.high):
        return shrunk
    z = x + shrunk
    beyond = ((z < box.low) | (z > box.high)).flatten(1).any(1)
    far, origin = delta[beyond], x[beyond]
    room = torch.where(far > 0, box.high - origin, origin - box.low).flatten(1)
    shrunk[beyond] = torch.copysign(_soften_and_clip(far.abs().flatten(1), room, eps, rounding).view_as(far), far)
    return shrunk


def _soften(magnitude: Tensor, eps: float, rounding: float) -> Tensor:
    """Take the same off all values [B, D], down to 0, so that a sample's sum is at most eps.

    x + delta is rounded as well, and an L1 length adds up the rounding of all values: each that is left counts so much more.
    """
    # The length is a convex function of the threshold: Newton's method from 0 rises to the solution.
    threshold, kept = None, magnitude
    for _ in range(L1_ROUNDS):
        length, moved = kept.sum(1, keepdim=True), kept.sign().sum(1, keepdim=True)  # a third of what counting takes
        excess = functional.threshold(length.add(moved, alpha=rounding) - eps, L1_OVER * eps, 0.0)
        if not bool(excess.any()):
            break
        step = excess / moved.clamp_min(1)
        threshold = step if threshold is None else threshold + step
        kept = (magnitude - threshold).clamp_min_(0)
    return _scaled_off(kept, length, moved, eps, rounding)


def _soften_and_clip(magnitude: Tensor, room: Tensor, eps: float, rounding: float) -> Tensor:
    """`_soften`, with no value larger than its room."""
    # The length falls with the threshold, first slowly: values that the box stops do not shorten yet. Where there are none it is
    # convex, and Newton's method rises to the solution; once it has gone too far, every other round halves what is in question.
    threshold = torch.zeros_like(magnitude[:, :1])
    below, above = threshold, torch.full_like(threshold, math.inf)
    for k in range(L1_ROUNDS):
        left = magnitude - threshold
        kept = left.clamp_min(0).minimum(room)
        length, moved = kept.sum(1, keepdim=True), kept.sign().sum(1, keepdim=True)
        excess = length.add(moved, alpha=rounding) - eps
        over = excess > L1_OVER * eps
        closing = above.isinf() | (above - below > L1_OVER * above)
        loose = (excess < -L1_OVER * eps) & (threshold > 0) & closing
        if not bool((over | loose).any()):
            break
        below, above = torch.where(over, threshold, below), torch.where(loose, threshold, above)
        falling = ((left > 0) & (left <= room)).sum(1, keepdim=True).clamp_min(1)
        step = threshold + excess / falling
        newton = above.isinf() | ((step > below) & (step < above) & (k % 2 == 0))
        step = torch.where(newton, step, (below + above) / 2)
        threshold = torch.where(over | loose, step, threshold)
    return _scaled_off(kept, length, moved, eps, rounding)


def _scaled_off(kept: Tensor, length: Tensor, moved: Tensor, eps: float, rounding: float) -> Tensor:
    """Scale values [B, D] of this length to what rounding leaves of eps, where they exceed it."""
    share = (eps - rounding * moved) / length.clamp_min(TINY)
    return kept * share.clamp_(0, 1)


def _signs_linf(gradient: Tensor, length: Length, z: Tensor, box: Box, progress: float) -> Tensor:
    if isinstance(length, Tensor):
        return z - gradient.sign().mul_(length)
    return z.sub(gradient.sign(), alpha=length)  # the same bits, by one operation less


def _along_l2(gradient: Tensor, length: Length, z: Tensor, box: Box, progress: float) -> Tensor:
    return torch.addcmul(z, gradient, -length / _column(gradient.flatten(1).norm(dim=1).clamp_min_(TINY), gradient))


def _sparse_l1(gradient: Tensor, length: Length, z: Tensor, box: Box, progress: float) -> Tensor:
    """The sparse step of SLIDE, and fewer values with progress, down to the one of the largest gradient.

    Many values at a time come far on a curved loss, but share eps among them all; the corner of the ball, which is the best point
    of a linear loss, is only reached by moving one value after the other. Each moves up to the edge of the box at most, and what
    is left of the length goes to the next.
    """
    size, slope = _values(gradient), gradient.flatten(1)
    first = max(1.0, L1_SHARE * size)
    at_once = round(first ** min(1.0, max(0.0, 3 - 4 * progress)))  # SLIDE's until half way, one from three quarters on
    room = z.sub(gradient, alpha=FAR).clamp_(box.low, box.high).sub_(z).flatten(1)  # signed, as the moves are
    falls = room.sign().mul_(slope)  # of the loss, if a value moves; 0 where it can't
    most = length.to(slope).view(-1, 1) if isinstance(length, Tensor) else length
    few, many = (min(size, n) for n in (at_once + L1_SPARE, max(L1_CANDIDATES, round(2 * first))))
    where = falls.topk(few, dim=1, largest=False).indices
    moves = _spent(room.gather(1, where), most, at_once)
    moved = z.flatten(1).scatter_add(1, where, moves)
    short = moves.abs().sum(1, keepdim=True) < most * (1 - L1_OVER)
    if few < many and bool(short.any()):
        some = short.nonzero()[:, 0]
        where = falls[some].topk(many, dim=1, largest=False).indices
        limit = most.expand(len(slope), 1)[some] if isinstance(most, Tensor) else most
        moves = _spent(room[some].gather(1, where), limit, at_once)
        moved[some] = z.flatten(1)[some].scatter_add_(1, where, moves)
    return moved.view_as(z)


def _spent(room: Tensor, most: Length, at_once: int) -> Tensor:
    """Return the moves [B, K] that spend `most`, one for all or [B, 1], from the left, on values of this signed room: each its room
    or an `at_once`-th."""
    reach = room.abs().clamp_max_(most / at_once)
    return reach.minimum((most - (reach.cumsum(1) - reach)).clamp_min_(0.0)).copysign_(room)


def _keep_l0(delta: Tensor, eps: float, x: Tensor, z: Tensor, box: Box) -> Tensor:
    """Nearest point of the L0 ball and the box together: clip, and keep the eps values that this brings nearest to where they go.

    A value left at its place is |delta| away, a clipped one |delta - clipped|: what the square gains decides. Inside the box these
    are the largest values.
    """
    clipped = delta.clamp(box.low - x, box.high - x)
    return keep_largest(clipped, clipped * (2 * delta - clipped), eps)


def keep_largest(values: Tensor, gain: Tensor, count: Length) -> Tensor:
    """Return values [B, ...] with all set to 0 but those of the largest gain [B, ...]: `count` of them, rounded down."""
    flat, size = gain.flatten(1), _values(gain)
    counts = torch.as_tensor(count, dtype=torch.float64, device=gain.device).floor().clamp(0, size).long().view(-1, 1)
    most = int(counts.max()) if counts.numel() else 0
    where = flat.topk(most, dim=1).indices
    taken = (torch.arange(most, device=gain.device) < counts).to(flat).expand(len(flat), -1)
    return values * torch.zeros_like(flat).scatter(1, where, taken).view_as(gain)


def _edges_l0(gradient: Tensor, length: Length, z: Tensor, box: Box, progress: float) -> Tensor:
    """Move as many values as the length says to the edge of the box: those by which a linear loss falls the most."""
    room = torch.where(gradient > 0, z - box.low, box.high - z)
    return z - keep_largest(gradient.sign() * room, gradient.abs() * room, length)


def _in_cube(randomness: Randomness, purpose: str, index: Tensor, x: Tensor, eps: float, box: Box) -> Tensor:
    return eps * (2 * randomness.uniform(purpose, index, x) - 1)


def _in_l2_ball(randomness: Randomness, purpose: str, index: Tensor, x: Tensor, eps: float, box: Box) -> Tensor:
    direction = randomness.normal(purpose, index, x)
    direction /= _column(direction.flatten(1).norm(dim=1), x)
    radius = randomness.uniform(f"{purpose}/radius", index, x[:, :1].flatten(1)[:, :1]).pow(1 / _values(x))
    return eps * (direction * _column(radius.flatten(), x))


def _in_l1_ball(randomness: Randomness, purpose: str, index: Tensor, x: Tensor, eps: float, box: Box) -> Tensor:
    signed = 2 * randomness.uniform(purpose, index, x) - 1
    exponential = -torch.log1p(-signed.abs().clamp_max(1 - 1e-7))
    radius = randomness.uniform(f"{purpose}/radius", index, x[:, :1].flatten(1)[:, :1]).pow(1 / _values(x))
    share = _column(radius.flatten() / exponential.flatten(1).sum(1), x)
    return eps * (signed.sign() * exponential * share)


def _some_values(randomness: Randomness, purpose: str, index: Tensor, x: Tensor, eps: float, box: Box) -> Tensor:
    """As many values as eps says, at random places, each anywhere in the box."""
    there = box.low + (box.high - box.low) * randomness.uniform(purpose, index, x)
    return keep_largest(there - x, randomness.uniform(f"{purpose}/places", index, x), eps)


class Ball(NamedTuple):
    """An Lp ball around the clean input, as functions of the perturbation delta [B, ...]."""

    norm: Callable[[Tensor], Tensor]
    """Length [B] of flat perturbations [B, D]."""
    project: Callable[[Tensor, float, Tensor, Tensor, Box], Tensor]
    """(delta, eps, x, z = x + delta, box) -> the nearest perturbation of length at most eps that leads into the box; L-inf leaves
    the box to a clip afterwards, which gives the nearest point just as well, and overwrites delta."""
    descend: Callable[[Tensor, Length, Tensor, Box, float], Tensor]
    """(gradient, length, z, box, progress) -> z after the step of this length along which a loss falls fastest."""
    uniform: Callable[[Randomness, str, Tensor, Tensor, float, Box], Tensor]
    """(randomness, purpose, index, x, eps, box) -> random perturbations in the ball around x."""
    tolerance: float = TOLERANCE
    """How far a length may exceed eps, as a share of the input range and of eps: nothing where lengths are counts."""


BALLS: dict[str, Ball] = {
    "linf": Ball(lambda flat: flat.abs().amax(1), _clamp_linf, _signs_linf, _in_cube),
    "l2": Ball(lambda flat: flat.norm(dim=1), _shrink_l2, _along_l2, _in_l2_ball),
    "l1": Ball(lambda flat: flat.abs().sum(1), _shrink_l1, _sparse_l1, _in_l1_ball),
    "l0": Ball(lambda flat: (flat != 0).sum(1).to(flat), _keep_l0, _edges_l0, _some_values, tolerance=0.0),
}


@dataclass(frozen=True)
class Constraint:
    """A ball of radius eps (input units; L0: a number of values) around the clean input, the box [low, high], and a part of the
    picture."""

    norm: str
    eps: float
    low: float = 0.0
    high: float = 1.0
    mask: Tensor | None = None
    """Which pixels may change, bool [N, 1, H, W], one for each sample; None: all."""
    pixels: int | None = None
    """How many of them may; None: all. For attacks that choose them; no projection knows of it."""

    def at(self, index: Tensor) -> "Constraint":
        """Return the constraint of the samples at the positions `index`."""
        return self if self.mask is None else replace(self, mask=self.mask[index])

    def paint(self, z: Tensor, x: Tensor) -> Tensor:
        """Return z [B, ...] inside the mask, and x [B, ...] elsewhere."""
        return z if self.mask is None else torch.where(self.mask, z, x)

    @property
    def ball(self) -> Ball:
        """The ball's functions."""
        return BALLS[self.norm]

    @property
    def box(self) -> Box:
        """The range of valid inputs."""
        return Box(self.low, self.high)

    def project(self, z: Tensor, x: Tensor) -> Tensor:
        """Return the nearest points [B, ...] of ball, box and mask to z [B, ...], for clean inputs x [B, ...]."""
        # In place: to fill another ten megabytes takes longer than all the arithmetic on 32 frames of faces.
        z = self.paint(z, x)
        delta = self.ball.project(z - x, self.eps, x, z, self.box)
        return delta.add_(x).clamp_(self.low, self.high)

    def descend(self, z: Tensor, gradient: Tensor, length: Length, progress: float = 0.0) -> Tensor:
        """Return z [B, ...] moved by a step of this length along which a loss of this gradient falls fastest; not projected.

        Args:
            z: points inside the box.
            gradient: of the loss at z.
            length: of the step, in input units; one for all or [B, 1, ...].
            progress: share of the attack's steps that are done; L1 steps move fewer values at a time towards the end.
        """
        g = gradient if self.mask is None else gradient * self.mask
        return self.ball.descend(g, length, z, self.box, progress)

    def random_start(self, x: Tensor, randomness: Randomness, purpose: str, index: Tensor) -> Tensor:
        """Return points [B, ...] drawn uniformly from the ball, then brought into the box."""
        return self.project(x + self.ball.uniform(randomness, purpose, index, x, self.eps, self.box), x)

    def distance(self, z: Tensor, x: Tensor) -> Tensor:
        """Return the distances [B], in float64."""
        return self.ball.norm((z.double() - x.double()).flatten(1))

    def allows(self, z: Tensor, x: Tensor) -> Tensor:
        """Return [B] bool, up to the tolerance: z is finite, inside the box, within eps of x, x itself outside the mask, and other
        than x in no more pixels than may be."""
        span = self.high - self.low
        inside = (z >= self.low - TOLERANCE * span) & (z <= self.high + TOLERANCE * span)
        slack = (
            self.ball.tolerance * max(span, self.eps) if math.isfinite(self.eps) else 0.0
        )  # 0 times infinity is no number
        near = self.distance(z, x) <= self.eps + slack
        same = (z - x).abs() <= TOLERANCE * span
        if self.mask is not None:
            inside &= self.mask | same
        if self.pixels is not None:
            near &= (~same).any(1).flatten(1).sum(1) <= self.pixels
        return inside.flatten(1).all(1) & near & torch.isfinite(z).flatten(1).all(1)
