"""Attacks that step along the gradient with a step size fixed in advance: FGSM and PGD."""

from torch import Tensor

from raygrid.attacks.best import Best
from raygrid.constraints import Constraint
from raygrid.goals import Goal, LossName
from raygrid.oracle import Oracle
from raygrid.randomness import Randomness


def fgsm(
    oracle: Oracle, goal: Goal, x: Tensor, constraint: Constraint, randomness: Randomness, *, loss: LossName
) -> Tensor:
    """Fast gradient sign method (Goodfellow et al., ICLR 2015): one step of length eps; the normalized gradient for L2.

    Args:
        oracle: the victim, with gradient access.
        goal: what to reach.
        x: clean inputs [B, C, H, W] in [0, 1].
        constraint: ball and box.
        randomness: unused; FGSM is deterministic.
        loss: `ce` or `margin`.

    Returns:
        Candidates [B, C, H, W] inside the constraint. Whether they fool anyone is the judge's business.
    """
    z = x.clone()
    for active in oracle.rounds(1):
        clean = x[active]
        g = oracle.gradient(goal, clean, active, loss).gradient
        z[active] = constraint.project(clean + constraint.eps * constraint.steepest(g, clean), clean)
    return z


def pgd(
    oracle: Oracle,
    goal: Goal,
    x: Tensor,
    constraint: Constraint,
    randomness: Randomness,
    *,
    steps: int,
    step_size: float | None,
    restarts: int,
    random_start: bool,
    loss: LossName,
) -> Tensor:
    """Projected gradient descent (Madry et al., ICLR 2018); for L1 the sparse steps of SLIDE (Tramèr & Boneh, NeurIPS 2019).

    Args:
        oracle: the victim, with gradient access.
        goal: what to reach.
        x: clean inputs [B, C, H, W] in [0, 1].
        constraint: ball and box.
        randomness: the samples' streams, for the random starts.
        steps: gradient steps of a restart.
        step_size: length of a step in input units; None: 2.5 * eps / steps, which lets the iterate cross the ball.
        restarts: runs from different starts; each attacks only what is left.
        random_start: start at a random point of the ball, else (first restart only) at x.
        loss: `ce` or `margin`.

    Returns:
        Candidates [B, C, H, W] inside the constraint: a point seen to succeed, else the last iterate of lowest loss.
    """
    α = 2.5 * constraint.eps / steps if step_size is None else step_size
    best = Best(x)
    for restart in range(restarts):
        z = x.clone()
        if random_start or restart:
            start = oracle.active()
            z[start] = constraint.random_start(x[start], randomness, f"start/{restart}", start)
        for active in oracle.rounds(steps):
            here = z[active]
            value, success, g = oracle.gradient(goal, here, active, loss)
            on = oracle.retire(active, success)
            if not on.all():
                best.keep_successes(active, here, value, success)
                active, here, g = active[on], here[on], g[on]
            z[active] = constraint.project(here + α * constraint.steepest(g, here), x[active])
        for active in oracle.rounds(1, gradients=0):
            value, success = oracle.look(goal, z[active], active, loss)
            oracle.retire(active, success)
            best.keep_better(active, z[active], value, success)
    return best.x
