"""Attacks that step along the gradient with a step size fixed in advance: FGSM, one step that is looked at, and PGD."""

import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from raygrid.attacks.best import Best
from raygrid.attacks.planes import TINY
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
FAR = 0.9
"""Share of the step at which a second gradient is asked for: one may be right near the clean input only. At the step's end, as at
clean pixels of 0, kinks that training against that very eps has left are in the way (mnist-cnn-adv, L-inf)."""
PROBE = 1 / 64
"""What a step up and down along signs drawn at random would bring, all of one sign, as a share of the first step."""
UNLIKE = 0.3
"""How far its two ends may lie apart otherwise than that gradient foretells, as a share of what is typical of such a step. It fails
on none of the nets above (mnist-cnn-adv in L-inf: 12 % of what stands); behind a gradient shifted by a pixel, without half of its
values, noisy, shuffled or turned about far out on 47 to 86 %, and behind JPEG-like rounding on 67 to 97."""


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
    """Step as far as eps goes along the gradient of the margin, and note where gradients do not foretell what steps bring: where
    less than half comes of that one, or of a quarter of it, or small ones at random near its end bring something else.

    What lies in between bends or shatters the loss, or the gradient is not its own (Athalye et al., ICML 2018). Nothing is noted of
    victims that answer at random and of channels, where two looks differ anyway.

    Args:
        oracle: the victim, with gradient access.
        goal: what to reach.
        x: clean inputs [B, C, H, W] in [0, 1].
        constraint: ball and box.
        randomness: the samples' streams, for the random direction; no candidate depends on it.

    Returns:
        Candidates [B, C, H, W] inside the constraint: the first point that was seen to succeed, else the full step.
    """
    z = x.clone()
    for active in oracle.rounds(1, queries=6, gradients=2):
        clean = rows(x, active)
        before = oracle.gradient(goal, clean, active, "margin")
        there = constraint.project(constraint.descend(clean, before.gradient, constraint.eps), clean)
        quarter, far = (clean + share * (there - clean) for share in (QUARTER, FAR))
        early, end = (oracle.look(goal, point, active, "margin") for point in (quarter, there))
        late = oracle.gradient(goal, far, active, "margin")

        told = FORETOLD[constraint.norm]
        wrong = _misled(before, quarter - clean, early.loss, told) | _misled(before, there - clean, end.loss, told)
        fall = ((there - clean) * before.gradient).flatten(1).sum(1).abs()
        step = PROBE * fall / before.gradient.flatten(1).abs().sum(1).clamp_min(TINY)
        way = _both_ways(far, step.view(-1, *[1] * (x.dim() - 1)), constraint, randomness, active)
        up, down = (oracle.look(goal, point, active, "margin").loss for point in (far + way, far - way))
        said = 2 * (way * late.gradient).flatten(1).sum(1)
        typical = 2 * step * late.gradient.flatten(1).norm(dim=1)
        wrong |= (up - down - said).abs() > UNLIKE * typical
        if oracle.channel is None and oracle.numbers is None:
            oracle.false_gradients.index_add_(0, active, wrong.long())

        found = there
        for success, point in ((end.success, there), (late.success, far), (early.success, quarter)):
            found = torch.where(success.view(-1, *[1] * (x.dim() - 1)), point, found)
        oracle.retire(active, early.success | late.success | end.success)
        z = with_rows(z, active, found)
    return z


def _both_ways(z: Tensor, step: Tensor, constraint: Constraint, randomness: Randomness, index: Tensor) -> Tensor:
    """Return a way [B, C, H, W] of plus or minus `step` a value, drawn at random; 0 where the box leaves no room on both sides."""
    signs = (randomness.uniform("way", index, torch.empty_like(z)) < 0.5).to(z.dtype) * 2 - 1
    return step * signs * ((z - step >= constraint.low) & (z + step <= constraint.high))


def _misled(at: GradientQuery, step: Tensor, after: Tensor, share: tuple[float, float]) -> Tensor:
    """Return [B] bool: whether the loss after a step [B, C, H, W] fell by another share of what the gradient foretold."""
    came, foretold = after - at.loss, (step * at.gradient).flatten(1).sum(1)
    return (came > share[0] * foretold) | (came < share[1] * foretold)


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
