"""DeepFool: from boundary to boundary of the linearized victim, each time the nearest of several classes. One run serves every eps.

Inside, images are flat [B, D] and numbers per sample are columns [B, 1].
"""

import torch
from torch import Tensor

from raygrid.attacks.closest import Closest, search_radius
from raygrid.attacks.nearest_class import likeliest_rivals, way_to_plane
from raygrid.attacks.rows import rows, with_rows
from raygrid.attacks.spheres import SPHERES
from raygrid.constraints import Constraint
from raygrid.goals import Goal
from raygrid.oracle import Oracle
from raygrid.randomness import Randomness


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
    """DeepFool (Moosavi-Dezfooli et al., CVPR 2016): the shortest ways onto the nearest boundary, added up until one is crossed.

    Ways are the shortest inside the box (`planes.py`); the paper has no box, and no `search_radius`, which has the last word here.

    Args:
        oracle: the victim, with gradient access.
        goal: untargeted.
        x: clean inputs [N, C, H, W] in [0, 1].
        constraint: L-inf or L2, and the box; of any radius.
        randomness: unused; DeepFool is deterministic.
        steps: linearizations at most; a sample that is fooled costs no more.
        candidates: rival classes that are compared at each step, the likeliest on x; all of them where there are fewer.
        overshoot: η, the share by which the way is made longer, to cross the boundary.

    Returns:
        [N, C, H, W]: for each sample the nearest point seen to succeed; x itself where none was.
    """
    clean, length = x.flatten(1), SPHERES[constraint.norm].length
    closest = Closest(x)
    rivals = likeliest_rivals(oracle, goal, x, candidates)
    count = rivals.shape[1]
    r, z = torch.zeros_like(clean), clean.clone()
    for on in oracle.rounds(steps, queries=count + 1, gradients=count):
        on = on[closest.distance[on, 0].isinf()]
        if not len(on):
            break
        origin, here = rows(clean, on), rows(z, on)
        images = here.view(-1, *x.shape[1:])
        shortest, step = torch.full_like(here[:, :1], torch.inf), torch.zeros_like(here)
        for rival in rivals.unbind(1):
            gap, _, g = oracle.gradient(goal.rival(rival), images, on, "margin")
            way, distance = way_to_plane(here, g.flatten(1), gap[:, None], constraint)
            step = torch.where(distance < shortest, way, step)
            shortest = shortest.minimum(distance)
        r = with_rows(r, on, rows(r, on) + step)
        there = (origin + (1 + overshoot) * rows(r, on)).clamp(*constraint.box)
        z = with_rows(z, on, there)
        success = oracle.decide(goal, there.view(-1, *x.shape[1:]), on)
        closest.offer(on, there, length(there - origin), success)
    search_radius(oracle, goal, x, constraint, closest)
    return closest.report(oracle).view_as(x)
