"""SurFree: walks along the boundary by geometry alone, without estimating its normal."""

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from raygrid.attacks.dct import to_frequencies, to_images
from raygrid.attacks.decision import TINY, Walk
from raygrid.attacks.rows import rows
from raygrid.constraints import Box, Constraint
from raygrid.goals import Goal
from raygrid.oracle import Oracle
from raygrid.randomness import Randomness

FIRST_ANGLE, LAST_ANGLE = math.radians(30), math.radians(89)
"""θ_max at first, and what no angle goes beyond."""
ANGLES = 3
"""T: how many angles are tried on either side."""
SHARES = [sign * (ANGLES - i) / ANGLES for i in range(ANGLES) for sign in (1, -1)]
"""The angles that are tried, as shares of θ_max."""
RHO = 0.98
"""How much θ_max shrinks where a direction fails; it grows by as much where one succeeds."""
BISECTIONS, PRECISION = 7, 0.01
"""The search for the best angle ends after so many decisions, or when the distance is known to this share."""
FAINTEST = 0.01
"""Least weight of a frequency that the clean image lacks; with the paper's 0, a black image has no directions."""


def surfree(
    oracle: Oracle,
    goal: Goal,
    x: Tensor,
    constraint: Constraint,
    randomness: Randomness,
    *,
    queries: int,
    start_tries: int,
    frequencies: float,
    history: int,
) -> Tensor:
    """SurFree (Maho, Furon & Le Merrer, CVPR 2021): turn the perturbation towards random directions, each orthogonal to the last.

    With u the unit perturbation of length d and v orthogonal to it, the points d cos θ (u cos θ + v sin θ) lie on a circle through
    x; where the boundary is flat, those on one side of it are nearer successes. Angles of either sign are tried, the largest
    first, then the largest that succeeds is searched for.

    Args:
        oracle: the victim, with decision access.
        goal: what to reach.
        x: clean inputs [N, C, H, W] in [0, 1].
        constraint: L2, and the box; of any radius.
        randomness: the samples' streams.
        queries: decisions for each sample at most, those for the start included.
        start_tries: random points tried as a start, after what the oracle offers.
        frequencies: share of the frequencies of each side, the lowest, that directions are made of, weighted as in the image.
        history: directions back to which a new one is orthogonal, at most half of the dimensions there are.

    Returns:
        [N, C, H, W]: for each sample the nearest point seen to succeed.

    Raises:
        NoStartError: none of the starts met the goal, for the samples it names.
    """
    walk = Walk(oracle, goal, x, constraint, queries)
    z = walk.start(randomness, start_tries)
    everyone = torch.arange(len(z), device=x.device)
    z = walk.towards_x(z, everyone)
    turns = _Turns(walk, x, frequencies, history)
    θ_max = torch.full_like(z[:, :1], FIRST_ANGLE)
    for k in range(queries):
        who = everyone[walk.left > 0]
        if not len(who):
            break
        origin = walk.clean[who]
        d = walk.distance(z[who], who)
        u = (z[who] - origin) / d.clamp_min(TINY)
        circle = Circle(origin, d, u, turns.next(randomness, k, u, who), constraint.box)
        θ = _largest_angle(walk, circle, θ_max[who], who)
        turned = (θ != 0).squeeze(1)
        θ_max[who] = torch.where(θ != 0, θ_max[who] / RHO, θ_max[who] * RHO).clamp_max(LAST_ANGLE)
        z[who[turned]] = circle.at(θ[turned], torch.nonzero(turned).squeeze(1))
        walk.offer(z[who[turned]], who[turned])
    return walk.report()


class Circle(NamedTuple):
    """The circles of B samples through x [B, D] and x + d u, in the planes of the unit vectors u and v."""

    x: Tensor
    d: Tensor
    u: Tensor
    v: Tensor
    box: Box

    def at(self, θ: Tensor, some: Tensor) -> Tensor:
        """Return the points [R, D] at these angles [R, 1] on the circles of these samples [R], brought into the box."""
        turned = self.u[some] * θ.cos() + self.v[some] * θ.sin()
        return (self.x[some] + self.d[some] * θ.cos() * turned).clamp(*self.box)


def _largest_angle(walk: Walk, circle: Circle, θ_max: Tensor, who: Tensor) -> Tensor:
    """Return an angle [B, 1] that succeeds, about the largest there is; 0 where none was found."""

    def succeeds(θ: Tensor, some: Tensor) -> Tensor:
        return walk.ask(circle.at(θ[some], some)[:, None], who[some]).squeeze(1)

    found, trying = torch.zeros_like(θ_max), torch.arange(len(who), device=who.device)
    for share in SHARES:
        θ = share * θ_max
        success = succeeds(θ, trying)
        found[trying[success]] = θ[trying[success]]
        trying = trying[~success]
        if not len(trying):
            break

    step = found.sign() * θ_max / ANGLES
    beyond = found + step  # known to fail, unless the largest angle that was tried succeeded
    growing = torch.nonzero((found.abs() == θ_max).squeeze(1)).squeeze(1)
    while len(growing):
        growing = growing[succeeds(beyond, growing)]
        found[growing] = beyond[growing]
        beyond[growing] += step[growing]
        growing = growing[(beyond[growing].abs() < LAST_ANGLE).squeeze(1)]

    for _ in range(BISECTIONS):
        apart = (found != 0) & (found.cos() - beyond.cos() > PRECISION)
        open_ = torch.nonzero(apart.squeeze(1)).squeeze(1)
        if not len(open_):
            break
        middle = (found + beyond) / 2
        success = succeeds(middle, open_)
        inner, outer = open_[success], open_[~success]
        found[inner], beyond[outer] = middle[inner], middle[outer]
    return found


class _Turns:
    """Random unit vectors of low frequencies, each orthogonal to a sample's u and to its last ones: kept as coefficients."""

    def __init__(self, walk: Walk, x: Tensor, frequencies: float, history: int) -> None:
        c, h, w = x.shape[1:]
        self._walk, self._shape = walk, (c, h, w)
        self._low = (max(1, round(frequencies * h)), max(1, round(frequencies * w)))
        self._weight = self._coefficients(walk.clean).abs().tanh().clamp_min(FAINTEST)
        size = self._weight.shape[1]
        self._last = x.new_zeros(len(walk.clean), min(history, size // 2), size)

    def next(self, randomness: Randomness, k: int, u: Tensor, who: Tensor) -> Tensor:
        """Return the k-th direction [B, D] of these samples, orthogonal to u [B, D]."""
        weight, last = rows(self._weight, who), rows(self._last, who)
        signs = (3 * randomness.uniform(f"turn/{k}", self._walk.index[who], weight)).floor() - 1  # -1, 0 or 1
        v = _beside(last, weight * signs)
        low = _beside(last, self._coefficients(u))
        # u has high frequencies, too, but v has none: what counts is the part of u that v could lie along.
        v = v - low * ((v * low).sum(1, keepdim=True) / low.square().sum(1, keepdim=True).clamp_min(TINY))
        v = v / v.norm(dim=1, keepdim=True).clamp_min(TINY)
        if last.shape[1]:
            self._last[who, k % last.shape[1]] = v
        return self._image(v)

    def _coefficients(self, flat: Tensor) -> Tensor:
        h, w = self._low
        return to_frequencies(flat.view(-1, *self._shape))[..., :h, :w].flatten(1)

    def _image(self, coefficients: Tensor) -> Tensor:
        c, h, w = self._shape
        low = coefficients.view(-1, c, *self._low)
        return to_images(pad(low, (0, w - self._low[1], 0, h - self._low[0]))).flatten(1)


def _beside(basis: Tensor, v: Tensor) -> Tensor:
    """Return what of v [B, D] is orthogonal to orthonormal (or zero) vectors [B, L, D]."""
    return v - ((basis @ v[:, :, None]).mT @ basis).squeeze(1)
