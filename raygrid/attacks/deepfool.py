"""DeepFool: from boundary to boundary of the linearized victim, each time the nearest of several classes. One run serves every eps.

Inside, images are flat [B, D] and numbers per sample are columns [B, 1].
"""

from collections.abc import Callable

import torch
from torch import Tensor

from raygrid.attacks.closest import Closest, search_radius
from raygrid.attacks.nearest_class import likeliest_rivals, way_to_plane
from raygrid.attacks.planes import TINY
from raygrid.attacks.rows import rows, with_rows
from raygrid.attacks.spheres import SPHERES
from raygrid.constraints import Constraint
from raygrid.goals import Goal
from raygrid.oracle import Oracle
from raygrid.randomness import Randomness

FREE_STEPS = 5
"""So many steps are the paper's, which know no box, are cut by it, and end short of the boundary; the others are the shortest ways
inside the box, which arrive. With those alone medians on mnist-cnn are 1.43 in L2 and 0.098 in L-inf, with these first 1.31 and
0.088 (foolbox: 1.32 and 0.092)."""
BEYOND = 1e-4
"""Distance by which every step aims beyond the boundary: on it, rounding decides."""


def deepfool(
    oracle: Oracle,
    goal: Goal,
    x: Tensor,
    constraint: Constraint,
    randomness: Randomness,
    *,
    steps: int,
    candidates: int,
    overshoot: float,
) -> Tensor:
    """DeepFool (Moosavi-Dezfooli et al., CVPR 2016): step onto the nearest linearized boundary until one is crossed.

    The paper has no box; here it cuts the steps, the later of which allow for it (`planes.py`). `search_radius` has the last word.

    Args:
        oracle: the victim, with gradient access.
        goal: untargeted.
        x: clean inputs [N, C, H, W] in [0, 1].
        constraint: L-inf or L2, and the box; of any radius.
        randomness: unused; DeepFool is deterministic.
        steps: linearizations at most; a sample that is fooled costs no more.
        candidates: rival classes that are compared at each step, the likeliest on x; all of them where there are fewer.
        overshoot: η, the share by which a step is made longer, to cross the boundary.

    Returns:
        [N, C, H, W]: for each sample the nearest point seen to succeed; x itself where none was.
    """
    clean, length = x.flatten(1), SPHERES[constraint.norm].length
    closest = Closest(x)
    rivals = likeliest_rivals(oracle, goal, x, candidates)
    count = rivals.shape[1]
    z = clean.clone()
    for k, on in enumerate(oracle.rounds(steps, queries=count + 1, gradients=count)):
        on = on[closest.distance[on, 0].isinf()]
        if not len(on):
            break
        origin, here = rows(clean, on), rows(z, on)
        shortest, step = torch.full_like(here[:, :1], torch.inf), torch.zeros_like(here)
        for rival in rivals.unbind(1):
            gap, _, g = oracle.gradient(goal.rival(rival), here.view(-1, *x.shape[1:]), on, "margin")
            w = g.flatten(1)
            unit = UNITS[constraint.norm](w)  # of the way that closes the gap by 1
            f = gap[:, None] + BEYOND / length(unit).clamp_min(TINY)
            way, distance = way_to_plane(here, w, f, constraint)
            step = torch.where(distance < shortest, -f * unit if k < FREE_STEPS else way, step)
            shortest = shortest.minimum(distance)
        there = (here + (1 + overshoot) * step).clamp(*constraint.box)
        z = with_rows(z, on, there)
        success = oracle.decide(goal, there.view(-1, *x.shape[1:]), on)
        closest.offer(on, there, length(there - origin), success)
    search_radius(oracle, goal, x, constraint, closest)
    return closest.report(oracle).view_as(x)


UNITS: dict[str, Callable[[Tensor], Tensor]] = {
    "linf": lambda w: w.sign() / w.abs().sum(1, keepdim=True).clamp_min(TINY),
    "l2": lambda w: w / w.square().sum(1, keepdim=True).clamp_min(TINY),
}
"""Slopes w [B, D] -> the shortest d [B, D] with <w, d> = 1, without a box."""
