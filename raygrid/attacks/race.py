"""A race of rival classes: a short Auto-PGD run towards each, and long ones towards those that came the farthest."""

import torch
from torch import Tensor

from raygrid.attacks.autopgd import descend
from raygrid.attacks.best import Best
from raygrid.attacks.nearest_class import likeliest_rivals
from raygrid.constraints import Constraint
from raygrid.goals import Goal
from raygrid.oracle import Oracle
from raygrid.randomness import Randomness


def apgd_race(
    oracle: Oracle,
    goal: Goal,
    x: Tensor,
    constraint: Constraint,
    randomness: Randomness,
    *,
    targets: int,
    heat: int,
    finalists: int,
    steps: int,
    rho: float,
) -> Tensor:
    """APGD-T (Croce & Hein, ICML 2020) for about half its passes. The race is ours: most rivals are out of reach, and show it soon.

    Args:
        oracle: the victim, with gradient access.
        goal: untargeted.
        x: clean inputs [N, C, H, W] in [0, 1].
        constraint: L-inf, L2 or L1 ball, and box.
        randomness: the samples' streams, for the random starts.
        targets: rival classes that have a heat, the likeliest on x first; all of them where there are fewer.
        heat: gradient steps of a short run.
        finalists: rivals that have a long run from another start: those to which the short runs left the least to go.
        steps: gradient steps of a long run.
        rho: as in `apgd`.

    Returns:
        Candidates [N, C, H, W] inside the constraint: a point seen to succeed, else the one of lowest margin.
    """
    best, everyone = Best(x), torch.arange(len(x), device=x.device)
    rivals = likeliest_rivals(oracle, goal, x, targets)
    left = torch.full(rivals.shape, torch.inf, device=x.device)
    for k in range(rivals.shape[1]):
        short = Best(x)
        descend(oracle, goal.rival(rivals[:, k]), x, constraint, randomness, f"heat/{k}", short, heat, rho, "margin")
        left[:, k] = short.loss
        best.keep_better(everyone, short.x, short.loss, short.success)
    order = left.argsort(dim=1, stable=True)
    for place in range(min(finalists, rivals.shape[1])):
        rival = goal.rival(rivals.gather(1, order[:, place, None]).squeeze(1))
        descend(oracle, rival, x, constraint, randomness, f"final/{place}", best, steps, rho, "margin")
    return best.x
