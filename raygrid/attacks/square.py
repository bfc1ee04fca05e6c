"""Square attack: random search over square patches, by scores alone."""

import math
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from raygrid.attacks.best import Best
from raygrid.attacks.rows import rows
from raygrid.constraints import Constraint
from raygrid.goals import Goal
from raygrid.oracle import Oracle
from raygrid.randomness import Randomness

HALVINGS = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
"""Squares, of 10,000, after which the share of pixels in a square is halved (section 3.1 of the paper)."""
TILES = 5
"""The L2 search starts from a grid of so many bumps a side."""
MIN_BUMP = 3
"""Pixels a side of the smallest bump."""
TINY = 1e-12


class Draws(NamedTuple):
    """The random numbers of one step, for samples [B]: the same whatever stands beside a sample in its batch."""

    place: Tensor
    """[B, 4] in [0, 1): row and column of the square, and of the square that gives its length away (L2)."""
    turn: Tensor
    """[B] in [0, 1): which way the bump lies (L2)."""
    color: Tensor
    """[B, C, 1, 1] in {-1, 1}."""


class Search(NamedTuple):
    """How a norm starts, and how it changes a square."""

    start: Callable[[Tensor, Constraint, Randomness, Tensor], Tensor]
    """(x, constraint, randomness, index) -> the first points [B, C, H, W]."""
    step: Callable[[Tensor, Tensor, Constraint, Draws, float], Tensor]
    """(best points so far, x, constraint, draws, side of the square) -> the next points [B, C, H, W]."""


def square(
    oracle: Oracle,
    goal: Goal,
    x: Tensor,
    constraint: Constraint,
    randomness: Randomness,
    *,
    queries: int,
    p_init: float,
    rescale: bool,
) -> Tensor:
    """Square attack (Andriushchenko et al., ECCV 2020): keep a random change of a square where it lowers the margin.

    For L1 the version of Croce & Hein (ICML 2021): as for L2, with steeper bumps whose length is a sum, and the exact projection
    on ball and box, which keeps the largest values and drops the others.

    Args:
        oracle: the victim, with score access.
        goal: what to reach.
        x: clean inputs [B, C, H, W] in [0, 1], or, for L-inf, waveforms [B, T], in which squares are stretches of time.
        constraint: L-inf, L2 or L1 ball, and box.
        randomness: the samples' streams.
        queries: looks at the victim, the first one at the starting point.
        p_init: share of the pixels that the first squares cover.
        rescale: whether the schedule of their sizes is stretched to the queries; else it is that of 10,000.

    Returns:
        Candidates like x inside the constraint: a point seen to succeed, else the one of lowest margin.
    """
    search, shape = SEARCHES[constraint.norm], x.shape[1:]
    x = x.view(len(x), *(1, 1, *shape)[-3:])
    best = Best(x)
    n, c, h, w = x.shape
    everyone = torch.arange(n, device=x.device)
    numbers = randomness.uniform("steps", everyone, x.new_empty((n, queries, 5 + c)))
    for step, active in enumerate(oracle.rounds(queries, gradients=0)):
        clean = rows(x, active)
        if step == 0:
            z = search.start(clean, constraint, randomness, active)
        else:
            row = rows(numbers[:, step], active)
            draws = Draws(row[:, :4], row[:, 4], _signs(row[:, 5:])[:, :, None, None])
            squares = step - 1  # that were tried before: the first has all of p_init, however few there are to be
            at = squares * 10_000 // queries if rescale else squares
            share = p_init / 2 ** sum(at > mark for mark in HALVINGS)
            z = search.step(rows(best.x, active), clean, constraint, draws, math.sqrt(share * h * w))
        value, success = oracle.look(goal, z.view(-1, *shape), active, "margin")
        oracle.retire(active, success)
        best.keep_better(active, z, value, success)
    return best.x.view(-1, *shape)


def _stripes(x: Tensor, constraint: Constraint, randomness: Randomness, index: Tensor) -> Tensor:
    """Vertical stripes of +-eps, one color a channel."""
    signs = _signs(randomness.uniform("stripes", index, x[:, :, :1, :]))
    return constraint.project(x + constraint.eps * signs, x)


def _step_linf(z: Tensor, x: Tensor, constraint: Constraint, draws: Draws, side: float) -> Tensor:
    length = side**2 if x.shape[2] == 1 else side  # of sound, which is one row, a stretch of as many values
    rows, columns = _places(x, draws.place[:, :2], max(round(length), 1))
    inside = _mask(x, rows, columns)
    # From one edge of the ball to the other, by the authors' arithmetic, see _on_sphere.
    colored = (z + 2 * constraint.eps * draws.color).clamp(x - constraint.eps, x + constraint.eps)
    return constraint.paint(torch.where(inside, colored.clamp(*constraint.box), z), x)


class Length(NamedTuple):
    """What the bumps of L2 and L1 differ in."""

    power: int
    """Lengths are sums of this power of the values; it is additive, so that squares can give each other theirs."""
    steepness: int
    """The k-th rectangle of a pyramid adds 1 / k to this power."""


ROUND, SPARSE = Length(2, 2), Length(1, 4)


def _bumps_l2(x: Tensor, constraint: Constraint, randomness: Randomness, index: Tensor) -> Tensor:
    delta = _bumps(x, randomness, index, ROUND)
    return constraint.random_start(x, randomness, "bumps", index) if delta is None else _on_sphere(delta, x, constraint)


def _bumps_l1(x: Tensor, constraint: Constraint, randomness: Randomness, index: Tensor) -> Tensor:
    """Bumps of length 1 each, mostly more than eps in all: the projection leaves their peaks."""
    delta = _bumps(x, randomness, index, SPARSE)
    return constraint.random_start(x, randomness, "bumps", index) if delta is None else constraint.project(x + delta, x)


def _bumps(x: Tensor, randomness: Randomness, index: Tensor, length: Length) -> Tensor | None:
    """A grid of bumps over the whole picture, each lying either way and of either sign in each channel; None where too small."""
    n, c, h, w = x.shape
    s = min(h, w) // TILES
    if s < MIN_BUMP:
        return None
    numbers = randomness.uniform("bumps", index, x.new_empty((n, TILES, TILES, 1 + c)))
    bumps = (
        _lying(_bump(s, length, x.dtype, x.device), numbers[..., 0])[:, :, :, None]
        * _signs(numbers[..., 1:])[..., None, None]
    )
    delta = torch.zeros_like(x)
    top, left = (h - s * TILES) // 2, (w - s * TILES) // 2
    grid = bumps.permute(0, 3, 1, 4, 2, 5).reshape(n, c, s * TILES, s * TILES)
    delta[:, :, top : top + s * TILES, left : left + s * TILES] = grid
    return delta


def _step_l2(z: Tensor, x: Tensor, constraint: Constraint, draws: Draws, side: float) -> Tensor:
    return _on_sphere(_moved(z - x, constraint.eps, draws, side, ROUND), x, constraint)


def _step_l1(z: Tensor, x: Tensor, constraint: Constraint, draws: Draws, side: float) -> Tensor:
    """The new bump asks for c times what there is, for c channels, and more than eps in all: the projection drops the least."""
    return constraint.project(x + _moved(z - x, constraint.eps, draws, side, SPARSE, x.shape[1]), x)


def _moved(delta: Tensor, eps: float, draws: Draws, side: float, length: Length, times: int = 1) -> Tensor:
    """Move the length of one square into a new bump on another, within what eps leaves."""
    n, c, h, w = delta.shape
    s = min(max(round(side), MIN_BUMP) | 1, h, w)
    to, away = (_places(delta, draws.place[:, i : i + 2], s) for i in (0, 2))
    both = _mask(delta, *to) | _mask(delta, *away)
    here = (
        torch.arange(n, device=delta.device)[:, None, None, None],
        torch.arange(c, device=delta.device)[None, :, None, None],
        to[0][:, None, :, None],
        to[1][:, None, None, :],
    )
    old, p = delta[here], length.power
    bump = _lying(_bump(s, length, delta.dtype, delta.device), draws.turn)[:, None] * draws.color
    # In one order of memory whichever way it lies, since sums hang on it.
    bump = (bump + old / (_length(old, (2, 3), length) + TINY)).contiguous()
    # eps in the precision of delta, as the authors' code has it: from one look to the next, what is left is mostly rounding.
    left = (delta.new_tensor(eps) ** p - _length(delta, (1, 2, 3), length) ** p).clamp_min(0) / c
    budget = times * (left + _length(delta.masked_fill(~both, 0.0), (2, 3), length) ** p) ** (1 / p)
    delta = delta.masked_fill(both, 0.0)
    delta[here] = bump / (_length(bump, (2, 3), length) + TINY) * budget
    return delta


SEARCHES: dict[str, Search] = {
    "linf": Search(_stripes, _step_linf),
    "l2": Search(_bumps_l2, _step_l2),
    "l1": Search(_bumps_l1, _step_l1),
}


def _signs(numbers: Tensor) -> Tensor:
    return torch.where(numbers < 0.5, -1.0, 1.0).to(numbers)


def _places(x: Tensor, place: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """Return rows and columns [B, side] of squares at the places drawn [B, 2]."""
    h, w = x.shape[2:]
    down, right = min(side, h), min(side, w)
    across = (place[:, :1] * (h - down + 1)).long() + torch.arange(down, device=x.device)
    along = (place[:, 1:] * (w - right + 1)).long() + torch.arange(right, device=x.device)
    return across, along


def _mask(x: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Return [B, 1, H, W] bool: the square of these rows and columns."""
    h, w = torch.arange(x.shape[2], device=x.device), torch.arange(x.shape[3], device=x.device)
    in_rows = (h >= rows[:, :1]) & (h <= rows[:, -1:])
    in_columns = (w >= columns[:, :1]) & (w <= columns[:, -1:])
    return in_rows[:, None, :, None] & in_columns[:, None, None, :]


@lru_cache(maxsize=64)
def _bump(side: int, length: Length, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Two pyramids of opposite sign side by side, of length 1: [side, side] (appendix B of the paper)."""
    half = side // 2
    both = torch.cat([_pyramid(half, side, length), -_pyramid(side - half, side, length)]).to(device, dtype)
    return both / _length(both, (0, 1), length)


def _pyramid(height: int, width: int, length: Length) -> Tensor:
    """Rectangles around the middle, the k-th adding 1 / k to the power of the steepness, of length 1: [height, width]."""
    middle_h, middle_w = height // 2 + 1, width // 2 + 1
    pyramid = torch.zeros(height, width)
    for k in range(max(middle_h, middle_w)):
        top, left = middle_h - 1 - k, middle_w - 1 - k
        pyramid[max(top, 0) : top + 2 * k + 1, max(left, 0) : left + 2 * k + 1] += 1 / (k + 1) ** length.steepness
    return pyramid / _length(pyramid, (0, 1), length)


def _lying(bump: Tensor, turn: Tensor) -> Tensor:
    """Return the bump [*turn.shape, side, side], transposed where the draw says so."""
    return torch.where(turn[..., None, None] > 0.5, bump.T, bump)


def _length(delta: Tensor, over: tuple[int, ...], length: Length) -> Tensor:
    if length.power == 1:
        return delta.abs().sum(over, keepdim=True)
    return delta.square().sum(over, keepdim=True).sqrt()


def _on_sphere(delta: Tensor, x: Tensor, constraint: Constraint) -> Tensor:
    """Stretch perturbations to the ball's surface and bring them into the box.

    To the bit as in the authors' code, and not by a projection: where a bump changes nothing that the victim sees, one look in ten
    on digits, rounding says whether it is kept, and a projection that ends just inside the ball keeps half as many again.
    """
    stretched = delta / (_length(delta, (1, 2, 3), ROUND) + TINY) * constraint.eps
    return constraint.paint((x + stretched).clamp(*constraint.box), x)
