"""Attacks that look for the nearest adversarial example: DDN (L2) and FMN (L-inf, L2, L1, L0). One run serves every eps.

Below them stands what all attacks of this kind share: the nearest success so far, the last search on the way to it, and norms
with a radius for each sample. Inside, images are flat [B, D] and numbers per sample are columns [B, 1].
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from raygrid.attacks.rows import rows, with_rows
from raygrid.constraints import BALLS, Box, Constraint
from raygrid.goals import Goal
from raygrid.oracle import Oracle
from raygrid.randomness import Randomness

TINY = 1e-30
"""Stands in for a length of zero in a quotient."""
FIRST_STEP, LAST_STEP = 1.0, 0.01
"""α of both papers: L2 length of a step, annealed along a cosine, for pixels in [0, 1]."""
SEARCH_LOOKS = 5
"""Passes of `search_radius`: one at x, one at the nearest point so far, three secants."""
BEYOND = 0.05
"""Share of what is left of the bracket by which a secant aims beyond the boundary: on it, rounding decides who succeeds."""
LEVEL_ROUNDS = 60
LEVEL_SHORT = 1e-6
"""A water level is found when this share of the amount is missing: after 3 to 7 rounds on digits, 12 at most, and no more on the
150,000 values of a photo."""


def ddn(
    oracle: Oracle,
    goal: Goal,
    x: Tensor,
    constraint: Constraint,
    randomness: Randomness,
    *,
    steps: int,
    gamma: float,
    init_norm: float,
) -> Tensor:
    """Decoupled direction and norm (Rony et al., CVPR 2019): gradients choose the direction, successes the length.

    The length is only known up to a factor 1 + γ in the end, so that `search_radius` has the last word; the paper has none.

    Args:
        oracle: the victim, with gradient access.
        goal: what to reach.
        x: clean inputs [N, C, H, W] in [0, 1].
        constraint: L2, and the box; of any radius.
        randomness: unused; DDN is deterministic.
        steps: gradient steps.
        gamma: γ, the share by which the length shrinks after a success, and grows after a failure.
        init_norm: the first length.

    Returns:
        [N, C, H, W]: for each sample the nearest point seen to succeed; x itself where none was.
    """
    clean = x.flatten(1)
    closest, most = Closest(x), _farthest(clean, constraint)
    z, ε = clean.clone(), torch.full_like(most, init_norm)
    for k, on in enumerate(oracle.rounds(steps)):
        origin, here = rows(clean, on), rows(z, on)
        _, success, g = oracle.gradient(goal, here.view(-1, *x.shape[1:]), on, "ce")
        δ, g = here - origin, g.flatten(1)
        closest.offer(on, here, _l2(δ), success)
        δ = δ - g * (_cosine(FIRST_STEP, LAST_STEP, k / steps) / _l2(g).clamp_min(TINY))
        radius = rows(ε, on) * torch.where(success[:, None], 1 - gamma, 1 + gamma)
        radius = radius.minimum(rows(most, on))
        δ = δ * (radius / _l2(δ).clamp_min(TINY))
        ε = with_rows(ε, on, radius)
        z = with_rows(z, on, (origin + δ).clamp(*constraint.box))
    search_radius(oracle, goal, x, constraint, closest)
    return closest.report(oracle).view_as(x)


def fmn(
    oracle: Oracle,
    goal: Goal,
    x: Tensor,
    constraint: Constraint,
    randomness: Randomness,
    *,
    steps: int,
    gamma: float | None,
    gamma_last: float,
) -> Tensor:
    """Fast minimum-norm attack (Pintor et al., NeurIPS 2021): gradient steps in a ball that shrinks and grows.

    The ball shrinks by the share γ after a success and grows after a failure; γ falls along a cosine. Until the first success it
    reaches at least to where the linearized margin is zero. The paper's goes no farther, and where the box cuts steps short stays
    on this side of the boundary forever.

    Args:
        oracle: the victim, with gradient access.
        goal: what to reach.
        x: clean inputs [N, C, H, W] in [0, 1].
        constraint: L-inf, L2, L1 or L0, and the box; of any radius.
        randomness: unused; FMN is deterministic.
        steps: gradient steps.
        gamma: γ at first; None: 0.05, and 0.3 for L0.
        gamma_last: γ at the end.

    Returns:
        [N, C, H, W]: for each sample the nearest point seen to succeed; x itself where none was.
    """
    sphere = SPHERES[constraint.norm]
    clean = x.flatten(1)
    closest, most = Closest(x), _farthest(clean, constraint)
    z, ε = clean.clone(), torch.zeros_like(most)
    for k, on in enumerate(oracle.rounds(steps)):
        origin, here = rows(clean, on), rows(z, on)
        margin, success, g = oracle.gradient(goal, here.view(-1, *x.shape[1:]), on, "margin")
        δ, g = here - origin, g.flatten(1)
        length = sphere.length(δ)
        closest.offer(on, here, length, success)
        best = rows(closest.distance, on)
        γ = _cosine(sphere.gamma if gamma is None else gamma, gamma_last, k / steps)
        inner, outer = sphere.scale(rows(ε, on), γ)
        if bool(best.isinf().any()):
            boundary = length + sphere.reach(margin[:, None], g, _room(here, g, constraint.box))
            outer = torch.where(best.isinf(), outer.maximum(boundary), outer)
        radius = torch.where(success[:, None], inner.minimum(best), outer).minimum(rows(most, on))
        δ = δ - g * (_cosine(FIRST_STEP, LAST_STEP, k / steps) / _l2(g).clamp_min(TINY))
        ε = with_rows(ε, on, radius)
        z = with_rows(z, on, sphere.nearest(δ, radius, origin, constraint.box))
    return closest.report(oracle).view_as(x)


class Closest:
    """For each of N samples the nearest point to x [N, ...] that was seen to succeed; x itself while there is none.

    Attributes:
        z: the points, flat [N, D].
        distance: their distances [N, 1]; infinite while there is none.
    """

    def __init__(self, x: Tensor) -> None:
        self.z = x.flatten(1).clone()
        self.distance = torch.full_like(self.z[:, :1], torch.inf)

    def offer(self, index: Tensor, z: Tensor, distance: Tensor, success: Tensor) -> None:
        """Take the points z [B, D] that succeeded [B] and are nearer [B, 1], for samples at the positions `index` [B]."""
        before, nearest = rows(self.z, index), rows(self.distance, index)
        nearer = success[:, None] & (distance < nearest)
        self.z = with_rows(self.z, index, torch.where(nearer, z, before))
        self.distance = with_rows(self.distance, index, torch.where(nearer, distance, nearest))

    def report(self, oracle: Oracle) -> Tensor:
        """Tell the oracle which samples are broken, at whatever distance, and return the points [N, D]."""
        oracle.broken |= self.distance.isfinite().squeeze(1).cpu().numpy()
        return self.z


def search_radius(
    oracle: Oracle, goal: Goal, x: Tensor, constraint: Constraint, closest: Closest, kappa: float = 0.0
) -> None:
    """Draw the points found towards x as far as they go on succeeding: the final search of FAB (Croce & Hein, ICML 2020).

    The point at radius r is the nearest one, within r of x, to the point found. Secants of the margin over r look for where it
    is -kappa.
    """
    sphere = SPHERES[constraint.norm]
    clean, found, far = x.flatten(1), closest.z.clone(), closest.distance.clone()
    # Where the margin changes its sign: (radius as a share of the distance found, margin there) on either side.
    near_side, far_side = (torch.full_like(far, end).repeat(1, 2) for end in (0.0, 1.0))
    for k, on in enumerate(oracle.rounds(SEARCH_LOOKS, gradients=0)):
        on = on[far[on, 0].isfinite()]
        if not len(on):
            return
        origin, near, beyond = rows(clean, on), rows(near_side, on), rows(far_side, on)
        r_near, m_near = near[:, :1], near[:, 1:]
        r_beyond, m_beyond = beyond[:, :1], beyond[:, 1:]
        zero = (m_near / (m_near - m_beyond).clamp_min(TINY)).clamp_max(1)
        r = r_near + (r_beyond - r_near) * (zero + BEYOND * (1 - zero)) if k >= 2 else torch.full_like(zero, k)
        here = sphere.nearest(rows(found, on) - origin, r * rows(far, on), origin, constraint.box)
        margin, success = oracle.look(goal, here.view(-1, *x.shape[1:]), on, "margin")
        margin, success = margin + kappa, success & (margin <= -kappa)
        closest.offer(on, here, sphere.length(here - origin), success)
        seen = torch.cat([r, margin[:, None]], dim=1)
        near_side = with_rows(near_side, on, torch.where(success[:, None], near, seen))
        far_side = with_rows(far_side, on, torch.where(success[:, None], seen, beyond))


def level(weight: Tensor, room: Tensor, amount: Tensor) -> Tensor:
    """Return t [..., 1] >= 0 with sum_i weight_i min(t, room_i) = amount: the level of water poured into vessels.

    The sum is a concave, piecewise linear function of t, so that Newton's method from 0 rises to the solution and arrives after
    finitely many rounds. Where all vessels together hold less than the amount, t is beyond every room.

    Args:
        weight: [..., D], at least 0.
        room: [..., D], at least 0 and finite.
        amount: [..., 1]; 0 and less give t = 0.
    """
    t, missing = torch.zeros_like(amount), amount
    for _ in range(LEVEL_ROUNDS):
        short = missing > LEVEL_SHORT * amount
        if not bool(short.any()):
            break
        slope = (weight * (room > t)).sum(-1, keepdim=True)
        t = torch.where(short, t + missing / slope.clamp_min(TINY), t).clamp_max(1 / TINY)
        missing = torch.where(slope > 0, amount - (weight * room.minimum(t)).sum(-1, keepdim=True), 0.0)
    return t


class Sphere(NamedTuple):
    """A norm as functions of flat perturbations δ [B, D] and radii ε [B, 1], one for each sample."""

    length: Callable[[Tensor], Tensor]
    """[B, D] -> [B, 1]."""
    reach: Callable[[Tensor, Tensor, Tensor], Tensor]
    """(margin [B, 1], gradient, room) -> the distance [B, 1] at which a linear margin is zero."""
    nearest: Callable[[Tensor, Tensor, Tensor, Box], Tensor]
    """(δ, ε, x, box) -> a point of the box within ε of x [B, D] near x + δ."""
    scale: Callable[[Tensor, float], tuple[Tensor, Tensor]]
    """(ε, γ) -> the next smaller and the next larger radius."""
    gamma: float
    """γ at first. The paper's, but for L0: counts come down too slowly from the first success by 5 % (digits: medians of 7 and 21
    values at 0.3, 9 and 27 at 0.05)."""


def _by_share(ε: Tensor, γ: float) -> tuple[Tensor, Tensor]:
    return ε * (1 - γ), ε * (1 + γ)


def _by_count(ε: Tensor, γ: float) -> tuple[Tensor, Tensor]:
    """L0 counts: at least one value less or more."""
    inner = (ε * (1 - γ)).floor().minimum(ε - 1).clamp_min(1)
    return inner, (ε * (1 + γ)).floor().maximum(ε + 1)


def _over(dual: Callable[[Tensor], Tensor]) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """The margin over the gradient's dual norm: the distance to a linear boundary where there is no box."""
    return lambda margin, g, room: margin / dual(g).clamp_min(TINY)


def _count(margin: Tensor, g: Tensor, room: Tensor) -> Tensor:
    """So many values suffice when each moves by all its room."""
    gain = (g.abs() * room).sort(dim=1, descending=True).values.cumsum(1)
    return (gain < margin).sum(1, keepdim=True) + 1.0


def _clip(δ: Tensor, ε: Tensor, x: Tensor, box: Box) -> Tensor:
    return (x + δ.clamp(-ε, ε)).clamp(*box)


def _shrink(δ: Tensor, ε: Tensor, x: Tensor, box: Box) -> Tensor:
    return (x + δ * (ε / _l2(δ).clamp_min(TINY)).clamp_max(1)).clamp(*box)


def _soften(δ: Tensor, ε: Tensor, x: Tensor, box: Box) -> Tensor:
    """Soft threshold: what it takes off all values together is what the L1 length has too much."""
    magnitude = δ.abs()
    threshold = level(torch.ones_like(magnitude), magnitude, magnitude.sum(1, keepdim=True) - ε)
    return (x + δ.sign() * (magnitude - threshold).clamp_min(0)).clamp(*box)


def _keep_largest(δ: Tensor, ε: Tensor, x: Tensor, box: Box) -> Tensor:
    """Keep the values that move farthest inside the box: what a value would move outside it gains nothing."""
    counts, magnitude = ε.long().clamp_min(1), ((x + δ).clamp(*box) - x).abs()
    least = magnitude.topk(int(counts.max()), dim=1).values.gather(1, counts - 1)
    return torch.where(magnitude >= least, (x + δ).clamp(*box), x)


def _linf(flat: Tensor) -> Tensor:
    return BALLS["linf"].norm(flat)[:, None]


def _l2(flat: Tensor) -> Tensor:
    return BALLS["l2"].norm(flat)[:, None]


def _l1(flat: Tensor) -> Tensor:
    return BALLS["l1"].norm(flat)[:, None]


def _l0(flat: Tensor) -> Tensor:
    return (flat != 0).sum(1, keepdim=True).to(flat)


SPHERES: dict[str, Sphere] = {
    "linf": Sphere(_linf, _over(_l1), _clip, _by_share, 0.05),
    "l2": Sphere(_l2, _over(_l2), _shrink, _by_share, 0.05),
    "l1": Sphere(_l1, _over(_linf), _soften, _by_share, 0.05),
    "l0": Sphere(_l0, _count, _keep_largest, _by_count, 0.3),
}


def _room(z: Tensor, g: Tensor, box: Box) -> Tensor:
    """Return how far each value may move against the gradient [B, D]."""
    return torch.where(g > 0, z - box.low, box.high - z)


def _farthest(clean: Tensor, constraint: Constraint) -> Tensor:
    """Return the distance [N, 1] of each sample to the farthest corner of the box."""
    corner = torch.maximum(clean - constraint.low, constraint.high - clean)
    return SPHERES[constraint.norm].length(corner)


def _cosine(first: float, last: float, progress: float) -> float:
    return last + (first - last) * (1 + math.cos(math.pi * progress)) / 2
