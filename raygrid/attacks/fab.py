"""FAB-T, the targeted fast adaptive boundary attack: projections on linearized class boundaries. One run serves every eps.

Inside, images are flat [B, D] and numbers per sample are columns [B, 1].
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from raygrid.attacks.closest import Closest, search_radius
from raygrid.attacks.nearest_class import likeliest_rivals
from raygrid.attacks.planes import PROJECTIONS, TINY, to_plane, to_plane_as_published
from raygrid.attacks.rows import rows, with_rows
from raygrid.attacks.spheres import SPHERES
from raygrid.constraints import Constraint
from raygrid.goals import Goal
from raygrid.oracle import Oracle
from raygrid.randomness import Randomness

Way = Callable[[Tensor, Tensor, Tensor, Constraint], Tensor]
"""(points z [K, B, D], slopes w [B, D], values f [K, B, 1], constraint) -> the way onto the planes, [K, B, D]."""
USUAL_EPS = {"linf": 0.3, "l2": 1.0, "l1": 5.0}
"""Random starts lie at half of it, as the reference implementation's."""
SHORTEST = 1e-8
"""Least length of a projection, for the quotient of two."""
PATIENCE = {"linf": math.inf, "l2": 10, "l1": 10}
"""After so many steps that came no nearer, a run leaps..."""
LEAP = 0.5
"""...this share of the way to the corner of the box that lowers the margin the most. Ours: the paper's runs and AutoAttack's stay.

Of 183 digits of mnist-cnn-adv (L2 1.6) that APGD-CE left, 124 stand, and 157 without leaps; where projections round as those of the
authors' code, and miss about one in a thousand planes that lie within reach, a stuck run ends near that corner by accident and
comes back by another way: 152 stand then, and 152 by their code. In L1 (60 steps; eps 6, 9, 12) 50, 44 and 35 of 63 digits stand
without leaps and 36, 22 and 12 with them; on mnist-cnn they change nothing. L-inf runs hardly get stuck, and leaps cost them 3 of
63 in 60 steps.
"""
NEARER = 1e-3
"""Share of the distance by which a step must come nearer to count."""


def fab(
    oracle: Oracle,
    goal: Goal,
    x: Tensor,
    constraint: Constraint,
    randomness: Randomness,
    *,
    targets: int,
    steps: int,
    restarts: int,
    alpha_max: float,
    eta: float,
    beta: float,
    targeted: bool,
    leaps: bool,
) -> Tensor:
    """FAB (Croce & Hein, ICML 2020), targeted as in AutoAttack: towards the boundaries with the likeliest rivals, one by one.

    A run that comes no nearer may leap away and go on from there; the paper's stays.

    Args:
        oracle: the victim, with gradient access.
        goal: untargeted.
        x: clean inputs [N, C, H, W] in [0, 1].
        constraint: L-inf, L2 or L1, and the box; of any radius.
        randomness: the samples' streams, for the starts after the first.
        targets: rival classes, the likeliest on x first; all of them where there are fewer.
        steps: projections of a run.
        restarts: runs for each rival; the first starts at x, the others near it.
        alpha_max: the most that the projection of x weighs, against that of the iterate.
        eta: η, by which factor a step overshoots.
        beta: β, the share of its perturbation from which a success goes on.
        targeted: go for one rival after the other; off, as at first in the paper, each step goes to the nearest of all boundaries.
        leaps: leap away where a run comes no nearer; off: as the authors' code, of which AutoAttack consists: such runs stay, and
            L2 projections round as theirs.

    Returns:
        [N, C, H, W]: for each sample the nearest point seen to succeed; x itself where none was.
    """
    closest = Closest(x, constraint.eps)
    theirs = constraint.norm == "l2" and not leaps
    way: Way = to_plane_as_published if theirs else partial(to_plane, PROJECTIONS[constraint.norm])
    lean = Lean(alpha_max, eta, beta, PATIENCE[constraint.norm] if leaps else math.inf)
    likeliest = likeliest_rivals(oracle, goal, x, targets)
    rivals = [goal.rival(likeliest[:, k]) for k in range(likeliest.shape[1])]
    runs = [[rival] for rival in rivals] if targeted else [rivals] if rivals else []
    for restart in range(restarts):
        for k, chosen in enumerate(runs):
            z = x.flatten(1).clone()
            if restart:
                on = oracle.active()
                z[on] = _start(x[on], constraint, randomness, f"start/{restart}/{k}", on)
            _approach(oracle, goal, chosen, x, z, constraint, closest, steps, way, lean)
    search_radius(oracle, goal, x, constraint, closest)
    return closest.report(oracle).view_as(x)


@dataclass(frozen=True)
class Lean:
    """How far steps lean towards x, α_max, η and β of the paper; and after how many steps without progress a run leaps."""

    alpha_max: float
    eta: float
    beta: float
    patience: float


def _approach(
    oracle: Oracle,
    goal: Goal,
    rivals: Sequence[Goal],
    x: Tensor,
    z: Tensor,
    constraint: Constraint,
    closest: Closest,
    steps: int,
    way: Way,
    lean: Lean,
) -> None:
    """Walk from z [N, D] along the boundary with the nearest rival; what succeeds against any class goes into `closest`."""
    clean, length = x.flatten(1), SPHERES[constraint.norm].length
    nearest, waited = torch.full_like(closest.distance, torch.inf), torch.zeros_like(closest.distance)
    for on in oracle.rounds(steps, queries=1 + len(rivals), gradients=len(rivals)):
        origin, here = rows(clean, on), rows(z, on)
        w, f = _nearest_plane(oracle, rivals, here, on, x.shape[1:], constraint.norm)
        f_clean = f + (w * (origin - here)).sum(1, keepdim=True)
        d = way(torch.stack([here, origin]), w, torch.stack([f, f_clean]), constraint)
        a, b = length(d.flatten(0, 1)).clamp_min(SHORTEST).chunk(2)
        α = (a / (a + b)).clamp_max(lean.alpha_max)
        there = (1 - α) * (here + lean.eta * d[0]) + α * (origin + lean.eta * d[1])
        there = there.clamp(*constraint.box)
        leaps = rows(waited, on) >= lean.patience
        if bool(leaps.any()):
            corner = torch.where(w > 0, constraint.low, torch.where(w < 0, constraint.high, here))
            there = torch.where(leaps, torch.lerp(here, corner, LEAP), there)
        success = oracle.decide(goal, there.view(-1, *x.shape[1:]), on)
        δ = there - origin
        distance, before = length(δ), rows(nearest, on)
        closest.offer(on, there, distance, success)
        closest.settle(oracle, on)
        gained = success[:, None] & (distance < (1 - NEARER) * before)
        nearest = with_rows(nearest, on, torch.where(success[:, None], distance.minimum(before), before))
        waited = with_rows(waited, on, torch.where(gained | leaps, 0.0, rows(waited, on) + 1))
        z = with_rows(z, on, torch.where(success[:, None], origin + lean.beta * δ, there))


def _nearest_plane(
    oracle: Oracle, rivals: Sequence[Goal], here: Tensor, on: Tensor, shape: Sequence[int], norm: str
) -> tuple[Tensor, Tensor]:
    """Return slope w [B, D] and value f [B, 1] of the margin with the rival whose linearized boundary is the nearest to `here`."""
    w, f, nearest = torch.zeros_like(here), torch.zeros_like(here[:, :1]), torch.full_like(here[:, :1], torch.inf)
    for rival in rivals:
        margin, _, gradient = oracle.gradient(rival, here.view(-1, *shape), on, "margin")
        g, m = gradient.flatten(1), margin[:, None]
        if len(rivals) == 1:
            return g, m
        distance = SPHERES[norm].reach(m.abs(), g, g)
        nearer = distance < nearest
        w, f, nearest = (torch.where(nearer, new, old) for new, old in ((g, w), (m, f), (distance, nearest)))
    return w, f


def _start(x: Tensor, constraint: Constraint, randomness: Randomness, purpose: str, index: Tensor) -> Tensor:
    """Random points [B, D] of the box near x [B, C, H, W]."""
    length, radius = SPHERES[constraint.norm].length, USUAL_EPS[constraint.norm] / 2
    cube = constraint.norm == "linf"
    t = 2 * randomness.uniform(purpose, index, x) - 1 if cube else randomness.normal(purpose, index, x)
    t = t.flatten(1)
    return (x.flatten(1) + t * (radius / length(t).clamp_min(TINY))).clamp(*constraint.box)
