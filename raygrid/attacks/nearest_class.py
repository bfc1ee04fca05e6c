"""Which wrong class is the nearest, not only the likeliest: a few gradients at the clean input tell, as in DeepFool.

Attacks that descend the margin go for the class of the largest logit. On a linear victim of ten classes that one is up to 1.3
times as far as the nearest. A gap between logits divided by how fast it closes is a distance, and distances can be compared.
"""

import torch
from torch import Tensor

from raygrid.attacks.planes import PROJECTIONS, TINY, to_plane
from raygrid.attacks.rows import rows, with_rows
from raygrid.attacks.spheres import SPHERES
from raygrid.constraints import Constraint
from raygrid.goals import Goal
from raygrid.oracle import Oracle


def to_nearest(oracle: Oracle, goal: Goal, x: Tensor, constraint: Constraint, rivals: int) -> Goal:
    """Return the goal with a loss that goes for the nearest class: each gap between logits counts in units of distance.

    The distance to a rival is that of the linearized boundary at x, with the box in the way (`planes.py`). All later steps
    compare gaps by the pace that this implies, so that a class that turns out to be farther than it looked is left for another.

    Args:
        oracle: the victim, with gradient access.
        goal: what to reach; a targeted one comes back as it is.
        x: clean inputs [N, C, H, W].
        constraint: norm and box.
        rivals: classes that are compared, the likeliest on x first; all others count as fast as these do on average. 0: none,
            and the goal comes back as it is. Costs one look, and a gradient for each. Samples that can't pay for as many gradients
            again are left out.
    """
    if not rivals or goal.targets is not None:
        return goal
    everyone = oracle.active(queries=1 + 2 * rivals, gradients=2 * rivals)
    if not len(everyone):
        return goal
    origin = rows(x, everyone)
    logits = oracle(origin, everyone)
    labels = goal.labels[everyone, None]
    likeliest = logits.scatter(1, labels, -torch.inf).topk(min(rivals, logits.shape[1] - 1), dim=1).indices
    pace = torch.stack(
        [_pace(oracle, goal, origin, everyone, rival, constraint) for rival in likeliest.unbind(1)], dim=1
    )
    most = pace.amax(1, keepdim=True).clamp_min(TINY)
    share = (pace / most).clamp_min(TINY)  # the fastest stays in logits
    paces = share.mean(1, keepdim=True).expand_as(logits).scatter(1, likeliest, share)
    return goal.at_pace(with_rows(logits.new_ones(len(x), logits.shape[1]), everyone, paces))


def _pace(oracle: Oracle, goal: Goal, x: Tensor, index: Tensor, rival: Tensor, constraint: Constraint) -> Tensor:
    """Return how fast the gap to the rivals [B] closes [B], in logits per unit of distance, on the way to the boundary."""
    towards = goal.rival(_where(goal.labels, index, rival))
    gap, _, g = oracle.gradient(towards, x, index, "margin")
    flat, slope = x.flatten(1), g.flatten(1)
    way = to_plane(PROJECTIONS[constraint.norm], flat[None], slope, gap[None, :, None], constraint)[0]
    closed = -(slope * way).sum(1)
    return closed / SPHERES[constraint.norm].length(way).squeeze(1).clamp_min(TINY)


def _where(labels: Tensor, index: Tensor, classes: Tensor) -> Tensor:
    """Return classes [B] at the positions `index` of all samples, and the label itself elsewhere [N]."""
    return with_rows(labels.clone(), index, classes)


def likeliest_rivals(oracle: Oracle, goal: Goal, x: Tensor, most: int) -> Tensor:
    """Return the likeliest classes [N, T] other than the true one; any others for samples that can't be attacked."""
    on = oracle.active()
    labels = goal.labels[on, None]
    if not len(on):
        return goal.labels[:, None][:, :0]
    others = oracle(x[on], on).scatter(1, labels, float("-inf"))
    likeliest = others.topk(min(most, others.shape[1] - 1), dim=1).indices
    return with_rows(goal.labels[:, None].repeat(1, likeliest.shape[1]), on, likeliest)
