"""Attacks that step along an average of the gradients seen so far, so that examples carry over to other models: MI- and NI-FGSM."""

import torch
from torch import Tensor

from raygrid.attacks.best import Best
from raygrid.attacks.rows import rows, with_rows
from raygrid.constraints import TINY, Constraint
from raygrid.goals import Goal, LossName
from raygrid.oracle import Oracle
from raygrid.randomness import Randomness


def mi_fgsm(
    oracle: Oracle,
    goal: Goal,
    x: Tensor,
    constraint: Constraint,
    randomness: Randomness,
    *,
    steps: int,
    step_size: float | None,
    mu: float,
    nesterov: bool,
    loss: LossName,
) -> Tensor:
    """MI-FGSM (Dong et al., CVPR 2018) and NI-FGSM (Lin et al., ICLR 2020): g <- μ g + ∇ / |∇|, and a step along g.

    |∇| is the mean of the absolute values: the sum that both papers write would leave NI-FGSM a look-ahead of α μ / D.

    Args:
        oracle: the victim, with gradient access.
        goal: what to reach.
        x: clean inputs [B, C, H, W] in [0, 1].
        constraint: ball and box.
        randomness: unused; both are deterministic.
        steps: gradient steps.
        step_size: α, length of a step in input units; None: eps / steps, the papers'.
        mu: μ, what is kept of the direction so far.
        nesterov: take the gradient where the direction so far leads, x + α μ g, brought into the constraint: NI-FGSM.
        loss: `ce` or `margin`.

    Returns:
        Candidates [B, C, H, W] inside the constraint: the first point seen to succeed where that ends the search, else the last.
    """
    α = constraint.eps / steps if step_size is None else step_size
    start, best = oracle.active(), Best(x)
    z, g = x.clone(), torch.zeros_like(x)
    for active in oracle.rounds(steps):
        clean, here, momentum = rows(x, active), rows(z, active), rows(g, active)
        ahead = constraint.project(here - α * mu * momentum, clean) if nesterov else here
        value, success, slope = oracle.gradient(goal, ahead, active, loss)
        on = oracle.retire(active, success)
        if on is not None:
            best.keep_successes(active, ahead, value, success)
            active, clean, here, momentum, slope = active[on], clean[on], here[on], momentum[on], slope[on]
        momentum = mu * momentum + slope / slope.abs().mean(tuple(range(1, slope.dim())), keepdim=True).clamp_min(TINY)
        g = with_rows(g, active, momentum)
        z = with_rows(z, active, constraint.project(constraint.descend(here, momentum, α), clean))
    for active in oracle.rounds(1, gradients=0):
        here = rows(z, active)
        value, success = oracle.look(goal, here, active, loss)
        oracle.retire(active, success)
        best.keep_better(active, here, value, success)
    # Where no budget was left to look at the last iterate, it is still what the attack has.
    unseen = start[best.loss[start].isinf()]
    best.x[unseen] = z[unseen]
    return best.x
