"""Auto-PGD in L1: sparse steps whose number of values and size follow the example found so far."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from raygrid.attacks.best import Best
from raygrid.attacks.rows import rows, with_rows
from raygrid.constraints import Constraint
from raygrid.goals import Goal, LossName
from raygrid.oracle import Oracle

STAGES = ((3.0, 0.3), (2.0, 0.3), (1.0, 0.4))
"""(radius in units of eps, share of the steps): the search starts in a larger ball and ends in the one that counts."""
CHECK = 0.04
"""Share of a stage's steps between two checks."""
DENSER = 1.5
"""The next steps move as many values as the best point so far has changed, over this."""
SHORTEN = 1.5
"""By which the step is divided where the best point hardly became sparser."""
SPARSER = 0.95
"""Share of the values changed before, below which a point has become sparser."""
SHORTEST = 0.1
"""Shortest step, in units of eps; the longest is eps."""

Project = Callable[[Constraint, Tensor, Tensor], Tensor]
"""(constraint, points z [B, ...], clean inputs x) -> points of ball and box."""
Sparse = Callable[[Tensor, Tensor, Tensor, Constraint], Tensor]
"""(gradient [B, ...], share [B] of its values, points [B, ...], constraint) -> a step of L1 length 1."""


def descend_l1(
    oracle: Oracle,
    goal: Goal,
    x: Tensor,
    z: Tensor,
    constraint: Constraint,
    best: Best,
    steps: int,
    loss: LossName,
    sparse: Sparse,
    project: Project,
) -> None:
    """One run of L1-APGD (Croce & Hein, ICML 2021: "Mind the box"), the form that starts with larger radii.

    Args:
        oracle: the victim, with gradient access.
        goal: what to reach.
        x: clean inputs [N, C, H, W] in [0, 1].
        z: where the run starts [N, C, H, W]; projected onto the first ball.
        constraint: L1 ball, and box.
        best: takes what lies inside the ball.
        steps: gradient steps of the run.
        loss: the surrogate loss.
        sparse: makes a step of a gradient, `sparse_movable` or `sparse_anywhere`.
        project: brings a step back.
    """
    start = oracle.active()
    counts = [math.ceil(share * steps) for _, share in STAGES[:-1]]
    counts.append(steps - sum(counts))  # none where there are 2 or 4 steps: what the others found is looked at, then
    for (factor, _), count in zip(STAGES, counts, strict=True):
        ball = Constraint("l1", factor * constraint.eps, constraint.low, constraint.high)
        on = oracle.active()
        if len(on):
            z = with_rows(z, on, project(ball, rows(z, on), rows(x, on)))
            z = _stage(oracle, goal, x, z, ball, best if factor == 1 else None, count, loss, sparse, project)
    # Where no budget was left for a look in the ball that counts, what was found in a larger one is what the attack has.
    unseen = start[best.loss[start].isinf()]
    best.x[unseen] = project(constraint, z[unseen], x[unseen])


def _stage(
    oracle: Oracle,
    goal: Goal,
    x: Tensor,
    z: Tensor,
    ball: Constraint,
    best: Best | None,
    steps: int,
    loss: LossName,
    sparse: Sparse,
    project: Project,
) -> Tensor:
    """Search a ball for `steps` steps and return the points [N, ...] of lowest loss.

    Without `best` the ball is larger than the one that counts, so that a success there is none.
    """
    n, size = len(x), math.prod(x.shape[1:])
    η = torch.full((n,), ball.eps, device=x.device)
    changed = (z != x).flatten(1).sum(1).to(η)
    share = changed / size / DENSER
    lowest = torch.full((n,), math.inf, device=x.device)
    x_best, g_best = z.clone(), torch.zeros_like(z)
    every = max(int(CHECK * steps), 1)
    for k, on in enumerate(oracle.rounds(steps)):
        here = rows(z, on)
        value, success, g = oracle.gradient(goal, here, on, loss)
        lower = (value < lowest[on]).nonzero()[:, 0]
        where = on[lower]
        lowest[where], x_best[where], g_best[where] = value[lower], here[lower], g[lower]
        if best is not None:
            best.keep_better(on, here, value, success)
            go = oracle.retire(on, success)
            if go is not None:
                on, here, g = on[go], here[go], g[go]
        if k and k % every == 0:
            nonzero = (x_best[on] != x[on]).flatten(1).sum(1).to(η)
            sparser = nonzero < SPARSER * changed[on]
            η[on] = torch.where(sparser, ball.eps, η[on] / SHORTEN).clamp(SHORTEST * ball.eps, ball.eps)
            share[on], changed[on] = nonzero / size / DENSER, nonzero
            here = torch.where(_as(sparser, g), x_best[on], here)
            g = torch.where(_as(sparser, g), g_best[on], g)
        step = sparse(g, share[on], here, ball) * _as(η[on], g)
        z = with_rows(z, on, project(ball, here - step, rows(x, on)))
    for on in oracle.rounds(1, gradients=0):
        here = rows(z, on)
        value, success = oracle.look(goal, here, on, loss)
        lower = (value < lowest[on]).nonzero()[:, 0]
        x_best[on[lower]] = here[lower]
        if best is not None:
            best.keep_better(on, here, value, success)
            oracle.retire(on, success)
    return x_best


def sparse_movable(g: Tensor, share: Tensor, z: Tensor, ball: Constraint) -> Tensor:
    """Signs of the largest share of a gradient's values, of those that the box does not stop, rounded down to one at least.

    `sparse_anywhere`, which is the authors' code, stops short of the ball's best corner on linear victims: it also chooses values
    that can't move, and rounds up, so that two values that move alike never become one.
    """
    movable = torch.where(g > 0, z > ball.low, z < ball.high)
    return _signs(g * movable, ((1 - share) * math.prod(g.shape[1:])).ceil())


def sparse_anywhere(g: Tensor, share: Tensor, z: Tensor, ball: Constraint) -> Tensor:
    """Signs of the largest share of a gradient's values, rounded up."""
    return _signs(g, (1 - share) * math.prod(g.shape[1:]))


def _signs(g: Tensor, smaller: Tensor) -> Tensor:
    """Signs of a gradient [B, ...] but for its smallest values, so many [B] rounded down, of L1 length 1 together."""
    flat = g.flatten(1)
    rank = smaller.clamp(0, flat.shape[1] - 1).long()
    least = flat.abs().sort(dim=1).values.gather(1, rank[:, None])
    signs = flat.sign() * (flat.abs() >= least)
    return (signs / signs.abs().sum(1, keepdim=True).clamp_min(1)).view_as(g)


def _as(values: Tensor, like: Tensor) -> Tensor:
    return values.view(-1, *[1] * (like.dim() - 1))
