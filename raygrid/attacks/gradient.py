"""Attacks that step along the gradient with a step size fixed in advance: FGSM, one step that is looked at, and PGD."""

import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from raygrid.attacks.best import Best
from raygrid.attacks.rows import rows, with_rows
from raygrid.constraints import Constraint
from raygrid.goals import Goal, LossName
from raygrid.oracle import GradientQuery, Oracle
from raygrid.randomness import Randomness

ScheduleName = Literal["constant", "cosine", "linear"]

SCHEDULES: dict[ScheduleName, Callable[[float], float]] = {
    "constant": lambda progress: 1.0,
    "cosine": lambda progress: 1 + math.cos(math.pi * progress),
    "linear": lambda progress: 2 * (1 - progress),
}
"""Share of the steps that are done -> length of the next one, as a share of the average step's."""


FORETOLD = {"linf": (0.5, 4.0), "l2": (0.5, 4.0), "l1": (0.25, 4.0)}
"""What a step may bring, as a share of the fall of the margin that its gradient foretells. At eps that leave a third to two thirds
standing the medians of nine plain and hardened nets lie between 0.53 and 1.1 (a quarter of the step: 0.7 and 1.05),
behind ripples of 0.02 sin(400 x) at 0.11. The few values that L1 moves go from one end of the box to the other."""
QUARTER = 0.25
"""Share of the step that is looked at as well: gradients may be right at large and wrong in detail. Behind a JPEG-like rounding
with the identity's gradient it fails on 32 to 67 % of the samples that stand, on the nets above on 0 to 2 (one: 13)."""
BACK = (0.0, 4.0)
"""What a quarter of the way back brings, as a share of what the gradient at the step's end foretells: gradients may be right near
the clean input only. Behind gradients that are turned about farther out than 0.03 the median is -1, behind shuffled ones 9 to
14, on the nets above 1; but on mnist-cnn-adv in L-inf, where the box bends the way, 0.5, and 11 % are below 0."""


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
        z[active] = constraint.project(constraint.descend(clean, g, constraint.eps), clean)
    return z


def first_order(oracle: Oracle, goal: Goal, x: Tensor, constraint: Constraint, randomness: Randomness) -> Tensor:
    """Step as far as eps goes along the gradient of the margin, look there, at a quarter of the way, and a quarter of the way back,
    and note where not even half came of what was foretold.

    What lies in between bends or shatters the loss, or the gradient is not its own (Athalye et al., ICML 2018). Nothing is noted of
    victims that answer at random and of channels, where two looks differ anyway.

    Args:
        oracle: the victim, with gradient access.
        goal: what to reach.
        x: clean inputs [B, C, H, W] in [0, 1].
        constraint: ball and box.
        randomness: unused; it is deterministic.

    Returns:
        Candidates [B, C, H, W] inside the constraint: the first point that was seen to succeed, else the full step.
    """
    z = x.clone()
    for active in oracle.rounds(1, queries=4, gradients=2):
        clean = rows(x, active)
        before = oracle.gradient(goal, clean, active, "margin")
        there = constraint.project(constraint.descend(clean, before.gradient, constraint.eps), clean)
        quarter, near_end = clean + QUARTER * (there - clean), there + QUARTER * (clean - there)
        early = oracle.look(goal, quarter, active, "margin")
        end = oracle.gradient(goal, there, active, "margin")
        late = oracle.look(goal, near_end, active, "margin")
        told = FORETOLD[constraint.norm]
        wrong = _misled(before, quarter - clean, early.loss, told) | _misled(before, there - clean, end.loss, told)
        wrong |= _misled(end, near_end - there, late.loss, BACK)
        if oracle.channel is None and oracle.numbers is None:
            oracle.false_gradients.index_add_(0, active, wrong.long())
        found = there
        for success, point in ((late.success, near_end), (end.success, there), (early.success, quarter)):
            found = torch.where(success.view(-1, *[1] * (x.dim() - 1)), point, found)
        oracle.retire(active, early.success | end.success | late.success)
        z = with_rows(z, active, found)
    return z


def _misled(at: GradientQuery, step: Tensor, after: Tensor, share: tuple[float, float]) -> Tensor:
    """Return [B] bool: whether the loss after a step [B, C, H, W] changed by another share of what the gradient foretold."""
    came, foretold = after - at.loss, (step * at.gradient).flatten(1).sum(1)
    least, most = foretold * share[0], foretold * share[1]
    return (came < torch.minimum(least, most)) | (came > torch.maximum(least, most))


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
    schedule: ScheduleName,
) -> Tensor:
    """Projected gradient descent (Madry et al., ICLR 2018).

    For L1 the sparse steps of SLIDE (Tramèr & Boneh, NeurIPS 2019), which move fewer values at a time towards the end.

    Args:
        oracle: the victim, with gradient access.
        goal: what to reach.
        x: clean inputs [B, C, H, W] in [0, 1].
        constraint: ball and box.
        randomness: the samples' streams, for the random starts.
        steps: gradient steps of a restart.
        step_size: average length of a step in input units; None: 2.5 * eps / steps, which lets the iterate cross the ball.
        restarts: runs from different starts; each attacks only what is left.
        random_start: start at a random point of the ball (L2, L1: at a random distance), else (first restart only) at x.
        loss: `ce` or `margin`.
        schedule: how the length of a step falls from twice the average to 0 during a restart; `constant`: not at all.

    Returns:
        Candidates [B, C, H, W] inside the constraint: the first point seen to succeed where that ends the search, else the best
        of the restarts' last points.
    """
    α = 2.5 * constraint.eps / steps if step_size is None else step_size
    pace, best = SCHEDULES[schedule], Best(x)
    for restart in range(restarts):
        start = oracle.active()
        if not len(start):
            break
        z = x.clone()
        if random_start or restart:
            z[start] = _start(x[start], constraint, randomness, f"start/{restart}", start)
        for step, active in enumerate(oracle.rounds(steps)):
            here = rows(z, active)
            value, success, g = oracle.gradient(goal, here, active, loss)
            on = oracle.retire(active, success)
            if on is not None:
                best.keep_successes(active, here, value, success)
                active, here, g = active[on], here[on], g[on]
            moved = constraint.project(
                constraint.descend(here, g, α * pace(step / steps), step / steps), rows(x, active)
            )
            z = with_rows(z, active, moved)
        for active in oracle.rounds(1, gradients=0):
            here = rows(z, active)
            value, success = oracle.look(goal, here, active, loss)
            oracle.retire(active, success)
            best.keep_better(active, here, value, success)
        # Where no budget was left to look at the last iterate, it is still what the attack has.
        unseen = start[best.loss[start].isinf()]
        best.x[unseen] = z[unseen]
    return best.x


def _start(x: Tensor, constraint: Constraint, randomness: Randomness, purpose: str, index: Tensor) -> Tensor:
    """A random point of the ball; for L2 and L1 at a random distance.

    Nearly all points of a round ball lie at its surface, and the steps do not suffice to forget a direction taken there: of 128
    digits, PGD-20 (L2, eps 1) leaves 78 standing from there, and 74 from a random distance.
    """
    far = constraint.random_start(x, randomness, purpose, index)
    if constraint.norm == "linf":
        return far
    share = randomness.uniform(f"{purpose}/distance", index, x.new_empty(len(x), 1))
    return torch.lerp(x, far, share.view(-1, *[1] * (x.ndim - 1)))
