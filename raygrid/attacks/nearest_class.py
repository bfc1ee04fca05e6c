"""Which wrong classes to go for: the likeliest, or the nearest by linearized boundaries.

Attacks that descend the margin arrive at the class of the likeliest logit. On a linear victim of ten classes that one can be 1.2
times as far as the nearest, and on a network, too, another is often nearer. So they go on with a second leg, a third as long.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from raygrid.attacks.closest import Closest
from raygrid.attacks.planes import PROJECTIONS, TINY, to_plane
from raygrid.attacks.rows import rows, with_rows
from raygrid.attacks.spheres import SPHERES
from raygrid.constraints import Constraint
from raygrid.goals import Goal
from raygrid.oracle import Oracle

CONVERGED = 0.97
"""Share of the distance of a point found at which its linearized boundary says that the first leg has arrived. Descent of
cross-entropy ends at up to 1.4 times the optimum on linear victims of small logits, and in L0 one of 3 values is soon too many."""
SECOND_LEG = 3
"""Its length is this part of the first leg's: a third. Taken off the first leg, it cost FMN 2 % in L-inf on mnist-cnn-adv."""


def legs(
    oracle: Oracle,
    goal: Goal,
    x: Tensor,
    constraint: Constraint,
    closest: Closest,
    steps: int,
    rivals: int,
    *,
    again: bool = False,
) -> Iterator[tuple[Goal, int, Tensor]]:
    """Yield the goals to go for, one after the other, how many steps each gets, and where it starts [N, D].

    The first is the goal itself, from x, for all the steps of the paper. The second steers for the nearest class but the one found:
    from x again, in L0 from where the linearized boundary would be crossed by the fewest values.

    Args:
        oracle: the victim, with gradient access.
        goal: what to reach; a target leaves nothing to choose, and has one leg.
        x: clean inputs [N, C, H, W].
        constraint: norm and box.
        closest: what the legs find, in which the second looks for its class.
        steps: of the first leg.
        rivals: classes that are compared, the likeliest first: one look, and a gradient for each. 0: one leg.
        again: whether the second may go for the class found, where its point lies beyond the linearized boundary. What descends
            cross-entropy is drawn aside by other classes; in L0 one value more may be as much as half of the optimum.
    """
    second = steps // SECOND_LEG if rivals and goal.targets is None else 0
    yield goal, steps, x.flatten(1).clone()
    if second:
        other, start = _nearest_other(oracle, goal, x, constraint, closest, rivals, CONVERGED if again else 0.0)
        yield other, second, start


def _nearest_other(
    oracle: Oracle, goal: Goal, x: Tensor, constraint: Constraint, closest: Closest, rivals: int, converged: float
) -> tuple[Goal, Tensor]:
    """Steer for the class of the nearest boundary, linearized at the points found, that is not the class found; for that one where
    its boundary lies at less than the share `converged` of the distance found, and no other is nearer. Also returns where the leg
    is to start [N, D]."""
    start = x.flatten(1).clone()
    on = oracle.active(queries=1 + rivals, gradients=rivals)
    if not len(on):
        return goal, start
    clean, here, labels = rows(x.flatten(1), on), rows(closest.z, on), goal.labels[on, None]
    logits = oracle(here.view(-1, *x.shape[1:]), on)
    found = logits.argmax(1, keepdim=True)
    others = logits.scatter(1, labels, -torch.inf).topk(min(rivals, logits.shape[1] - 1), dim=1).indices
    far, ways = [], []
    for rival in others.unbind(1):
        towards = goal.rival(with_rows(goal.labels.clone(), on, rival))
        gap, _, g = oracle.gradient(towards, here.view(-1, *x.shape[1:]), on, "margin")
        w = g.flatten(1)
        at_x = gap[:, None] + (w * (clean - here)).sum(1, keepdim=True)
        way, length = way_to_plane(clean, w, at_x, constraint)
        far.append(length)
        ways += [way] * (constraint.norm == "l0")
    distances, found = torch.cat(far, dim=1), others == found
    missed = distances < converged * rows(closest.distance, on)
    distances = distances.masked_fill(found & ~missed, torch.finfo(x.dtype).max)  # the last resort
    nearest = distances.argmin(1, keepdim=True)
    chosen = others.gather(1, nearest).squeeze(1)
    if ways:
        way = torch.stack(ways, 1).gather(1, nearest[:, :, None].expand(-1, -1, clean.shape[1])).squeeze(1)
        start = with_rows(start, on, (clean + way).clamp(*constraint.box))
    return goal.rival(with_rows(goal.labels.clone(), on, chosen)), start


def likeliest_rivals(oracle: Oracle, goal: Goal, x: Tensor, most: int) -> Tensor:
    """Return the likeliest classes [N, T] other than the true one; any others for samples that can't be attacked."""
    on = oracle.active()
    labels = goal.labels[on, None]
    if not len(on):
        return goal.labels[:, None][:, :0]
    others = oracle(x[on], on).scatter(1, labels, float("-inf"))
    likeliest = others.topk(min(most, others.shape[1] - 1), dim=1).indices
    return with_rows(goal.labels[:, None].repeat(1, likeliest.shape[1]), on, likeliest)


def way_to_plane(z: Tensor, w: Tensor, f: Tensor, constraint: Constraint) -> tuple[Tensor, Tensor]:
    """Return the shortest way d [B, D] inside the box from z to where f + <w, d> = 0, and its length [B, 1].

    Where the box ends the way too early, its length is what the whole of it would be at the same pace.
    """
    way = to_plane(PROJECTIONS[constraint.norm], z[None], w, f[None], constraint)[0]
    closed = (w * way).sum(1, keepdim=True).abs()
    return way, SPHERES[constraint.norm].length(way) * (f.abs() / closed.clamp_min(TINY))
