"""σ-zero: the fewest values, by descent on a smooth count of them. One run serves every eps.

Inside, images are flat [B, D] and numbers per sample are columns [B, 1].
"""

import torch
from torch import Tensor

from raygrid.attacks.closest import Closest
from raygrid.attacks.minimal_norm import cosine
from raygrid.attacks.nearest_class import legs
from raygrid.attacks.planes import TINY
from raygrid.attacks.rows import rows, with_rows
from raygrid.attacks.spheres import SPHERES
from raygrid.constraints import Constraint
from raygrid.goals import Goal
from raygrid.oracle import Oracle
from raygrid.randomness import Randomness

LAST_STEP = 0.0
"""Of the cosine along which η falls."""


def sigma_zero(
    oracle: Oracle,
    goal: Goal,
    x: Tensor,
    constraint: Constraint,
    randomness: Randomness,
    *,
    steps: int,
    lr: float,
    sigma: float,
    threshold: float,
    pace: float,
    rivals: int,
) -> Tensor:
    """σ-zero (Cinà et al., ICLR 2025): descend max(margin, 0) + 1/D sum_i δ_i^2 / (δ_i^2 + σ), and drop values below a threshold.

    The threshold τ rises after a success and falls after a failure, so that the number of values follows the boundary.

    Args:
        oracle: the victim, with gradient access.
        goal: what to reach.
        x: clean inputs [N, C, H, W] in [0, 1].
        constraint: L0, and the box; of any radius.
        randomness: unused; σ-zero is deterministic.
        steps: gradient steps.
        lr: η at first: what the steepest value moves by; it falls along a cosine.
        sigma: σ, how sharply values are counted.
        threshold: τ at first.
        pace: t: τ moves by t η.
        rivals: classes that are compared for a second leg, a third as long (`nearest_class`): ours; 0: the paper's one leg.

    Returns:
        [N, C, H, W]: for each sample the point of the fewest changed values seen to succeed; x itself where none was.
    """
    clean, count = x.flatten(1), SPHERES["l0"].length
    closest = Closest(x)
    for towards, leg, z in legs(oracle, goal, x, constraint, closest, steps, rivals, again=True):
        τ = torch.full_like(closest.distance, threshold)
        for k, on in enumerate(oracle.rounds(leg)):
            origin, here = rows(clean, on), rows(z, on)
            _, success, g = oracle.gradient(towards, here.view(-1, *x.shape[1:]), on, "margin")
            δ = here - origin
            closest.offer(on, here, count(δ), success)
            η = cosine(lr, LAST_STEP, k / leg)
            if k:  # the paper moves τ after the step, when it sees what became of it
                moved = rows(τ, on) + pace * η * torch.where(success[:, None], 1.0, -1.0)
                τ = with_rows(τ, on, moved.clamp(0, constraint.high - constraint.low))
            smooth = 2 * sigma * δ / (δ.square() + sigma).square() / δ.shape[1]
            g = torch.where(success[:, None], 0.0, g.flatten(1)) + smooth
            δ = δ - g * (η / g.abs().amax(1, keepdim=True).clamp_min(TINY))
            there = (origin + δ).clamp(*constraint.box)
            z = with_rows(z, on, torch.where((there - origin).abs() < rows(τ, on), origin, there))
    return closest.report(oracle).view_as(x)
