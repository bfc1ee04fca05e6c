"""DeepFool: from boundary to boundary of the linearized victim, each time the nearest of several classes. One run serves every eps.

Inside, images are flat [B, D] and numbers per sample are columns [B, 1].
"""

import torch
from torch import Tensor

from raygrid.attacks.closest import Closest
from raygrid.attacks.nearest_class import likeliest_rivals
from raygrid.attacks.planes import PROJECTIONS, TINY, to_plane
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

    Ways are the shortest inside the box (`planes.py`); the paper has no box.

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
        [N, C, H, W]: the first point of each sample that succeeded; x itself where none did.
    """
    clean, length = x.flatten(1), SPHERES[constraint.norm].length
    closest = Closest(x)
    rivals = likeliest_rivals(oracle, goal, x, candidates)
    count = rivals.shape[1]
    way, z = torch.zeros_like(clean), clean.clone()

    def arrived(on: Tensor, success: Tensor) -> None:
        here = rows(z, on)
        closest.offer(on, here, length(here - rows(clean, on)), success)

    for on in oracle.rounds(steps if count else 0, queries=count, gradients=count):
        on = on[closest.distance[on, 0].isinf()]
        if not len(on):
            break
        shortest = d = torch.empty(0)
        for k in range(count):
            here = rows(z, on)
            gap, success, g = oracle.gradient(goal.rival(rivals[:, k]), here.view(-1, *x.shape[1:]), on, "margin")
            if k == 0:
                arrived(on, success)
                stands = ~success
                on, here, gap, g = on[stands], here[stands], gap[stands], g[stands]
                if not len(on):
                    break
                shortest, d = torch.full_like(gap[:, None], torch.inf), torch.zeros_like(here)
            w, f = g.flatten(1), gap[:, None]
            move = to_plane(PROJECTIONS[constraint.norm], here[None], w, f[None], constraint)[0]
            # A boundary that the box does not reach counts as far as its gap, at the pace of the way that there is.
            far = length(move) * (f / -(w * move).sum(1, keepdim=True).clamp_max(-TINY))
            nearer = far < shortest
            shortest, d = torch.where(nearer, far, shortest), torch.where(nearer, move, d)
        if len(on):
            way = with_rows(way, on, rows(way, on) + d)
            z = with_rows(z, on, (rows(clean, on) + (1 + overshoot) * rows(way, on)).clamp(*constraint.box))
    for on in oracle.rounds(1, gradients=0):
        on = on[closest.distance[on, 0].isinf()]
        if len(on):
            arrived(on, oracle.decide(goal, rows(z, on).view(-1, *x.shape[1:]), on))
    return closest.report(oracle).view_as(x)
