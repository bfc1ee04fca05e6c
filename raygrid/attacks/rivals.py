"""Which classes an untargeted attack steers for in turn: APGD-T and FAB-T."""

from torch import Tensor

from raygrid.attacks.rows import with_rows
from raygrid.goals import Goal
from raygrid.oracle import Oracle


def likeliest_rivals(oracle: Oracle, goal: Goal, x: Tensor, most: int) -> Tensor:
    """Return the likeliest classes [N, T] other than the true one, for one look; any others for samples that can't be attacked.

    Args:
        oracle: the victim, with score access.
        goal: whose labels are the true classes.
        x: clean inputs [N, C, H, W].
        most: T at most; all other classes where there are fewer.
    """
    on = oracle.active()
    labels = goal.labels[on, None]
    if not len(on):
        return goal.labels[:, None][:, :0]
    others = oracle(x[on], on).scatter(1, labels, float("-inf"))
    likeliest = others.topk(min(most, others.shape[1] - 1), dim=1).indices
    return with_rows(goal.labels[:, None].repeat(1, likeliest.shape[1]), on, likeliest)
