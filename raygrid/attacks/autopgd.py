"""Auto-PGD in L-inf and L2: gradient steps with momentum whose size follows the progress made. L1 stands in autopgd_l1.py."""

import math
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from raygrid.attacks.autopgd_l1 import Project, Sparse, descend_l1, sparse_anywhere, sparse_movable
from raygrid.attacks.best import Best
from raygrid.attacks.nearest_class import likeliest_rivals
from raygrid.attacks.rows import rows, with_rows
from raygrid.constraints import ROUNDING, TINY, Constraint
from raygrid.goals import Goal, LossName
from raygrid.oracle import Oracle
from raygrid.randomness import Randomness

MOMENTUM = 0.75
"""α of the paper: weight of the new step against the last one."""
FIRST_STEP = 2.0
"""Initial step size, in units of eps."""

FIRST_LOSS = 0.0
"""What the loss after the first step is compared with, to see whether it made progress: as in the authors' code, whose record lacks
that of the starting point, which the paper takes. One step in 22 decides whether the next ones of a sample are halved."""

VariantName = Literal["exact", "published"]


class Variant(NamedTuple):
    """How steps are made and brought back, where the authors' code and the best known way differ."""

    project: Project
    sparse: Sparse
    """In L1."""


def _as_published(constraint: Constraint, z: Tensor, x: Tensor) -> Tensor:
    """L2: scale to eps and then clip, which stays short of eps where the box stops values. L1: the nearest point of both, as the
    sum of x, the perturbation and its correction: rounding keeps some values apart from x, which the steps count as changed."""
    if constraint.norm == "linf":
        return constraint.project(z, x)
    delta = constraint.paint(z, x) - x
    if constraint.norm == "l1":
        correction = constraint.ball.project(delta.clone(), constraint.eps, x, z, constraint.box) - delta
        return (x + delta).add_(correction).clamp_(constraint.low, constraint.high)
    length = delta.flatten(1).square().sum(1).sqrt()
    rounding = ROUNDING * math.sqrt(math.prod(x.shape[1:])) * (constraint.high - constraint.low)
    factor = (max(constraint.eps - rounding, 0.0) / length.clamp_min(TINY)).clamp_max(1.0)
    return torch.addcmul(x, delta, _as(factor, delta)).clamp_(constraint.low, constraint.high)


VARIANTS: dict[VariantName, Variant] = {
    "exact": Variant(Constraint.project, sparse_movable),
    "published": Variant(_as_published, sparse_anywhere),
}


def checkpoints(steps: int) -> list[int]:
    """Return the iterations at which the step size may be halved: p_0 = 0, p_1 = 0.22, then shrinking gaps down to 0.06."""
    p = [0.0, 0.22]
    while p[-1] < 1:
        p.append(p[-1] + max(p[-1] - p[-2] - 0.03, 0.06))
    return sorted({math.ceil(round(share * steps, 6)) for share in p if share <= 1})  # 0.57 * 100 is 57.00000000000001


def apgd(
    oracle: Oracle,
    goal: Goal,
    x: Tensor,
    constraint: Constraint,
    randomness: Randomness,
    *,
    steps: int,
    restarts: int,
    rho: float,
    loss: LossName,
    variant: VariantName,
) -> Tensor:
    """Auto-PGD (Croce & Hein, ICML 2020), with the paper's notation: η step size, ρ the share of steps that must make progress.

    Args:
        oracle: the victim, with gradient access.
        goal: what to reach.
        x: clean inputs [B, C, H, W] in [0, 1].
        constraint: L-inf, L2 or L1 ball, and box.
        randomness: the samples' streams, for the random starts.
        steps: gradient steps of a restart.
        restarts: runs from different random starts; each attacks only what is left.
        rho: share of the steps since the last checkpoint that must lower the loss, else the step is halved; unused in L1.
        loss: the surrogate loss: `ce` is APGD-CE, `dlr` APGD-DLR.
        variant: `published` steps as the authors' code in L2 and L1.

    Returns:
        Candidates [B, C, H, W] inside the constraint: a point seen to succeed, else the one of lowest loss.
    """
    best, how = Best(x), VARIANTS[variant]
    for restart in range(restarts):
        descend(oracle, goal, x, constraint, randomness, f"start/{restart}", best, steps, rho, loss, how)
    return best.x


def apgd_t(
    oracle: Oracle,
    goal: Goal,
    x: Tensor,
    constraint: Constraint,
    randomness: Randomness,
    *,
    targets: int,
    steps: int,
    restarts: int,
    rho: float,
    loss: LossName,
    variant: VariantName,
) -> Tensor:
    """APGD-T (Croce & Hein, ICML 2020): Auto-PGD towards the likeliest rival classes, one after the other.

    Args:
        oracle: the victim, with gradient access.
        goal: untargeted.
        x: clean inputs [B, C, H, W] in [0, 1].
        constraint: L-inf, L2 or L1 ball, and box.
        randomness: the samples' streams, for the random starts.
        targets: rival classes, the likeliest on x first; all of them where there are fewer.
        steps: gradient steps of a run.
        restarts: runs for each rival.
        rho: as in `apgd`.
        loss: `dlr`, the targeted form of the paper, or `margin`, its numerator.
        variant: `published` steps as the authors' code in L2 and L1.

    Returns:
        As `apgd`; among points that fail, losses with different rivals are compared.
    """
    best, how = Best(x), VARIANTS[variant]
    rivals = likeliest_rivals(oracle, goal, x, targets)
    for restart in range(restarts):
        for k in range(rivals.shape[1]):
            steered = goal.rival(rivals[:, k])
            descend(oracle, steered, x, constraint, randomness, f"start/{restart}/{k}", best, steps, rho, loss, how)
    return best.x


def _start(
    x: Tensor, constraint: Constraint, randomness: Randomness, purpose: str, index: Tensor, project: Project
) -> Tensor:
    """A random direction, stretched to the ball's surface as the reference implementation does; in L1 left to the projection."""
    if constraint.norm == "l1":
        return x + randomness.normal(purpose, index, x)
    cube = constraint.norm == "linf"
    t = 2 * randomness.uniform(purpose, index, x) - 1 if cube else randomness.normal(purpose, index, x)
    length = constraint.ball.norm(t.flatten(1)).clamp_min(1e-12)
    return project(constraint, x + constraint.eps * t / length.view(-1, *[1] * (x.ndim - 1)), x)


def descend(
    oracle: Oracle,
    goal: Goal,
    x: Tensor,
    constraint: Constraint,
    randomness: Randomness,
    purpose: str,
    best: Best,
    steps: int,
    rho: float,
    loss: LossName,
    variant: Variant = VARIANTS["exact"],
) -> None:
    """One run from a random start, over the samples that still stand; what it finds goes into `best`."""
    start = oracle.active()
    if not len(start):
        return
    z = x.clone()
    z[start] = _start(x[start], constraint, randomness, purpose, start, variant.project)
    if constraint.norm == "l1":
        descend_l1(oracle, goal, x, z, constraint, best, steps, loss, variant.sparse, variant.project)
        return
    n, project = len(x), variant.project
    η = torch.full((n,), FIRST_STEP * constraint.eps, device=x.device)
    f = torch.full((n,), -math.inf, device=x.device)  # the first look is no progress
    lowest, lowest_at_checkpoint = -f, -f
    progress = torch.zeros(n, device=x.device)
    halved = torch.zeros(n, dtype=torch.bool, device=x.device)
    x_best, g_best, previous = z.clone(), torch.zeros_like(z), z.clone()
    marks = checkpoints(steps)
    last_mark = 0

    for k, on in enumerate(oracle.rounds(steps)):
        here = rows(z, on)
        value, success, g = oracle.gradient(goal, here, on, loss)
        best.keep_better(on, here, value, success)
        progress[on] += (value < f[on]).float()
        f[on] = value if k else FIRST_LOSS
        lower = (value < lowest[on]).nonzero()[:, 0]
        where = on[lower]
        lowest[where], x_best[where], g_best[where] = value[lower], here[lower], g[lower]

        if k in marks and k > 0:
            stalled = progress[on] <= rho * (k - last_mark)
            stuck = ~halved[on] & (lowest[on] >= lowest_at_checkpoint[on])
            halve = stalled | stuck
            halved[on], lowest_at_checkpoint[on] = halve, lowest[on]
            progress[on], last_mark = 0.0, k
            η[on[halve]] /= 2
            here = torch.where(_as(halve, g), x_best[on], here)
            g = torch.where(_as(halve, g), g_best[on], g)

        go = oracle.retire(on, success)
        if go is not None:
            on, here, g = on[go], here[go], g[go]
        clean = rows(x, on)
        step = project(constraint, constraint.descend(here, g, _as(η[on], g)), clean)
        if k > 0:
            momentum = (1 - MOMENTUM) * (here - rows(previous, on))
            step = project(constraint, here + MOMENTUM * (step - here) + momentum, clean)
        previous, z = with_rows(previous, on, here), with_rows(z, on, step)

    for on in oracle.rounds(1, gradients=0):
        here = rows(z, on)
        value, success = oracle.look(goal, here, on, loss)
        oracle.retire(on, success)
        best.keep_better(on, here, value, success)


def _as(values: Tensor, like: Tensor) -> Tensor:
    return values.view(-1, *[1] * (like.dim() - 1))
