"""The shortest way onto a plane inside the box, in closed form for every norm: what a linear victim asks of an attack.

Images are flat [B, D] and numbers per sample are columns [B, 1].
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from raygrid.constraints import Box, Constraint

TINY = 1e-30
"""Stands in for a length of zero in a quotient."""
FLAT, NEVER = 1e-8, 1e12
"""Slope below which the authors' code moves no value, and the level at which it is said to be stopped."""
LEVEL_ROUNDS = 60
LEVEL_SHORT = 1e-6
"""A water level is found when this share of the amount is missing: after 3 to 7 rounds on digits, 12 at most, and no more on the
150,000 values of a photo."""
STEEPEST = 64
"""So many values are sorted first where the steepest move: they nearly always suffice, and to sort all 784 of a digit takes ten
times as long."""


Projection = Callable[[Tensor, Tensor, Tensor], Tensor]
"""One of PROJECTIONS."""


def to_plane(onto: Projection, z: Tensor, w: Tensor, f: Tensor, constraint: Constraint) -> Tensor:
    """Return the shortest d with f + <w, d> = 0 and z + d in the box; as far as the box allows where there is none.

    Args:
        onto: one of PROJECTIONS.
        z: points of the box [K, B, D], K for each sample.
        w: slopes [B, D].
        f: values [K, B, 1] at z of the linear functions.
        constraint: the box.
    """
    scale = w.abs().amax(1, keepdim=True).clamp_min(TINY)  # slopes are squared below, and may be as small as 1e-20
    direction = -f.sign() * w.sign()
    return onto(w.abs() / scale, room_along(direction, z, constraint.box), f.abs() / scale).mul_(direction)


def to_plane_as_published(z: Tensor, w: Tensor, f: Tensor, constraint: Constraint) -> Tensor:
    """`to_plane` in L2 as the authors of FAB compute it, rounding included; slopes as they are, since 1e-8 is flat whatever others
    are."""
    direction = -f.sign() * w.sign()
    return _onto_l2_as_published(w.abs(), room_along(direction, z, constraint.box), f.abs()).mul_(direction)


def room_along(direction: Tensor, z: Tensor, box: Box) -> Tensor:
    """Return how far points z [..., D] of the box may move: up where the direction [..., D], of 1, 0 and -1, is 1, else down."""
    # Ten times as fast as a choice between two tensors by a comparison.
    edge = direction.relu()
    if (box.low, box.high) != (0, 1):
        edge = edge.mul_(box.high - box.low).add_(box.low)
    return edge.sub(z).abs_()


def level(weight: Tensor | None, room: Tensor, amount: Tensor) -> Tensor:
    """Return t [..., 1] >= 0 with sum_i weight_i min(t, room_i) = amount: the level of water poured into vessels.

    The sum is a concave, piecewise linear function of t, so that Newton's method from 0 rises to the solution and arrives after
    finitely many rounds. Where all vessels together hold less than the amount, t is beyond every room.

    Args:
        weight: [..., D], at least 0; None: 1.
        room: [..., D], at least 0 and finite.
        amount: [..., 1]; 0 and less give t = 0.
    """
    t, missing = torch.zeros_like(amount), amount
    for _ in range(LEVEL_ROUNDS):
        short = missing > LEVEL_SHORT * amount
        if not bool(short.any()):
            break
        above = (room - t).sign_().relu_()  # a comparison takes four times as long
        slope = (above if weight is None else above.mul_(weight)).sum(-1, keepdim=True)
        t = torch.where(short, t + missing / slope.clamp_min(TINY), t).clamp_max(1 / TINY)
        below = room.minimum(t)
        held = (below if weight is None else below.mul_(weight)).sum(-1, keepdim=True)
        missing = torch.where(slope > 0, amount - held, 0.0)
    return t


def _onto_linf(slope: Tensor, room: Tensor, gap: Tensor) -> Tensor:
    """All values move alike, or to the edge of the box."""
    return room.minimum(level(slope, room, gap))


def _onto_l2(slope: Tensor, room: Tensor, gap: Tensor) -> Tensor:
    """Values move in proportion to their slopes, or to the edge of the box."""
    return room.minimum(slope * level(slope.square(), room / slope.clamp_min(TINY), gap))


def _onto_l2_as_published(slope: Tensor, room: Tensor, gap: Tensor) -> Tensor:
    """`_onto_l2` by values sorted by the level at which the box stops them, float32 sums and bisection.

    Where a sum over all values should leave nothing it leaves a residue, and flat slopes, whose values are stopped late, multiply
    it: the bisection goes astray, and about one plane in a thousand that lies within reach is missed by far, up to all the room.
    """
    w = slope.expand_as(room)
    moves = w >= FLAT
    stop = torch.where(moves, room / w, NEVER).clamp_max(NEVER)
    stops, order = stop.sort(dim=-1)
    following = functional.pad(stops[..., 1:], (0, 1))
    stops, following = (levels.masked_fill(levels == NEVER, 0.0) for levels in (stops, following))
    weight = w.square().gather(-1, order)
    whole = weight.sum(-1, keepdim=True)
    left = whole - weight.cumsum(-1)
    first = whole * stops[..., :1]
    held = torch.cat([first, first + ((following - stops) * left).cumsum(-1)], dim=-1)
    low, high = torch.zeros_like(gap), torch.full_like(gap, w.shape[-1] - 1)
    for _ in range(math.ceil(math.log2(w.shape[-1]))):
        middle = ((low + high) / 2).floor()
        more = gap > held.gather(-1, middle.long())
        low, high = torch.where(more, middle, low), torch.where(more, high, middle)
    last = low.long()
    rest = left.gather(-1, last)
    reached = torch.where(rest == 0, 0.0, (gap - held.gather(-1, last)) / rest + stops.gather(-1, last))
    move = torch.where(reached > stop, room, reached * w)
    move = torch.where(gap > (room * w * moves).sum(-1, keepdim=True), room, move)
    return torch.where(gap < first, gap / whole * w, move) * moves


def _onto_l1(slope: Tensor, room: Tensor, gap: Tensor) -> Tensor:
    """Values move to the edge of the box one after the other, the steepest first."""
    size = slope.shape[1]
    move, arrives = _steepest_first(slope, room, gap, min(STEEPEST, size))
    # Only the samples that need more are sorted further: how ties are broken must not hang on who else is in the batch.
    short = ~arrives.all(0)
    if size > STEEPEST and bool(short.any()):
        move[:, short] = _steepest_first(slope[short], room[:, short], gap[:, short], size)[0]
    return move


def _steepest_first(slope: Tensor, room: Tensor, gap: Tensor, most: int) -> tuple[Tensor, Tensor]:
    """Move the `most` steepest values. Returns moves [K, B, D], and whether they close the gap [K, B]."""
    steepest, order = slope.topk(most, dim=1)
    order = order.expand(*room.shape[:-1], most)
    reach = room.gather(-1, order)
    gain = steepest * reach
    through = gain.cumsum(-1)
    missing = gap - (through - gain)
    move = (missing / steepest.clamp_min(TINY)).clamp_min(0).minimum(reach)
    return torch.zeros_like(room).scatter(-1, order, move), through[..., -1] >= gap[..., 0]


def _onto_l0(slope: Tensor, room: Tensor, gap: Tensor) -> Tensor:
    """Values move to the edge of the box one after the other, those that gain the most first."""
    gain, order = (slope * room).sort(dim=-1, descending=True)
    needed = gain.cumsum(-1) - gain < gap
    return torch.zeros_like(room).scatter(-1, order, room.gather(-1, order) * needed)


PROJECTIONS: dict[str, Projection] = {
    "linf": _onto_linf,
    "l2": _onto_l2,
    "l1": _onto_l1,
    "l0": _onto_l0,
}
"""(slope [B, D] in [0, 1], room [K, B, D], gap [K, B, 1]) -> the shortest moves [K, B, D] of at most `room` in all with
sum_i slope_i move_i = gap (L0: or a little more), or all the room where that does not suffice."""
