"""Attacks that look for the nearest adversarial example: DDN (L2) and FMN (L-inf, L2, L1, L0). One run serves every eps.

Inside, images are flat [B, D] and numbers per sample are columns [B, 1].
"""

import math

import torch
from torch import Tensor

from raygrid.attacks.closest import Closest, search_radius
from raygrid.attacks.nearest_class import legs
from raygrid.attacks.planes import TINY, room_along
from raygrid.attacks.rows import rows, with_rows
from raygrid.attacks.spheres import SPHERES, farthest, l2
from raygrid.constraints import Constraint
from raygrid.goals import Goal
from raygrid.oracle import Oracle
from raygrid.randomness import Randomness

FIRST_STEP, LAST_STEP = 1.0, 0.01
"""α of both papers: L2 length of a step, annealed along a cosine, for pixels in [0, 1]."""


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
    rivals: int,
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
        rivals: classes that are compared for a second leg, a third as long (`nearest_class`): ours; 0: the paper's one leg.

    Returns:
        [N, C, H, W]: for each sample the nearest point seen to succeed; x itself where none was.
    """
    clean = x.flatten(1)
    closest, most = Closest(x), farthest(clean, constraint)
    for towards, leg, z in legs(oracle, goal, x, constraint, closest, steps, rivals, again=True):
        ε = torch.where(closest.distance.isfinite(), closest.distance, init_norm)
        for k, on in enumerate(oracle.rounds(leg)):
            origin, here = rows(clean, on), rows(z, on)
            _, success, g = oracle.gradient(towards, here.view(-1, *x.shape[1:]), on, "ce")
            δ, g = here - origin, g.flatten(1)
            closest.offer(on, here, l2(δ), success)
            δ = δ - g * (cosine(FIRST_STEP, LAST_STEP, k / leg) / l2(g).clamp_min(TINY))
            radius = rows(ε, on) * torch.where(success[:, None], 1 - gamma, 1 + gamma)
            radius = radius.minimum(rows(most, on))
            δ = δ * (radius / l2(δ).clamp_min(TINY))
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
    rivals: int,
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
        rivals: classes that are compared for a second leg, a third as long (`nearest_class`): ours; 0: the paper's one leg.

    Returns:
        [N, C, H, W]: for each sample the nearest point seen to succeed; x itself where none was.
    """
    sphere = SPHERES[constraint.norm]
    clean = x.flatten(1)
    closest, most = Closest(x), farthest(clean, constraint)
    for towards, leg, z in legs(oracle, goal, x, constraint, closest, steps, rivals, again=constraint.norm == "l0"):
        ε = closest.distance.nan_to_num(posinf=0.0)
        for k, on in enumerate(oracle.rounds(leg)):
            origin, here = rows(clean, on), rows(z, on)
            margin, success, g = oracle.gradient(towards, here.view(-1, *x.shape[1:]), on, "margin")
            δ, g = here - origin, g.flatten(1)
            length = sphere.length(δ)
            closest.offer(on, here, length, success)
            best = rows(closest.distance, on)
            γ = cosine(sphere.gamma if gamma is None else gamma, gamma_last, k / leg)
            inner, outer = sphere.scale(rows(ε, on), γ)
            far = best.isinf()[:, 0].nonzero()[:, 0]  # those alone: to count values is to sort them
            if len(far):
                w, room = rows(g, far), room_along(-rows(g, far).sign(), rows(here, far), constraint.box)
                boundary = rows(length, far) + sphere.reach(rows(margin[:, None], far), w, room)
                outer = with_rows(outer, far, rows(outer, far).maximum(boundary))
            radius = torch.where(success[:, None], inner.minimum(best), outer).minimum(rows(most, on))
            δ = δ - g * (cosine(FIRST_STEP, LAST_STEP, k / leg) / l2(g).clamp_min(TINY))
            ε = with_rows(ε, on, radius)
            z = with_rows(z, on, sphere.nearest(δ, radius, origin, constraint.box))
    return closest.report(oracle).view_as(x)


def cosine(first: float, last: float, progress: float) -> float:
    """Return the value at this share of the way along half a cosine from first to last."""
    return last + (first - last) * (1 + math.cos(math.pi * progress)) / 2
