"""Natural-looking patches: one of the drawn insects on each picture, and where it sits, at which angle and size."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from raygrid.attacks.insects import BANK, CANVAS, insects
from raygrid.attacks.paste import paste
from raygrid.attacks.placements import Placed, Search, search_placements
from raygrid.constraints import Constraint
from raygrid.goals import Goal
from raygrid.oracle import Oracle
from raygrid.randomness import Randomness

NUMBERS = 5
"""Of any insect anywhere: which; down, right, angle and size."""
ANGLE = 2


def insect_search(
    oracle: Oracle,
    goal: Goal,
    x: Tensor,
    constraint: Constraint,
    randomness: Randomness,
    *,
    area: float,
    least: float,
    queries: int,
    explore: float,
    search: Search,
    within: str,
) -> Tensor:
    """Paste an insect where it fools, after Yakura, Akimoto & Sakuma (AAAI 2020).

    Theirs trains a GAN whose moths fool the victim, and learns a placement for all by PGPE (Sehnke et al., Neural Networks 2010).
    Ours chooses among 24 drawings, and seeks a placement for each sample, see `search_placements`.

    Args:
        oracle: the victim, with score access, seen through the channel.
        goal: what to reach.
        x: clean inputs [N, 3, H, W] in [0, 1].
        constraint: the box, and the mask that insects are cut to.
        randomness: the samples' streams.
        area: of the largest insect's square, as a share of the picture's.
        least: of the smallest one's, as a share of that.
        queries: looks, at most.
        explore: share of the steps that try any insect anywhere.
        search: how the best is refined, see `search_placements`.
        within: made `constraint.mask`.

    Returns:
        [N, 3, H, W]: the pictures with their best insect, or the first seen to succeed where that ends the search.
    """
    pasted = _paster(x, constraint, area, least)
    return search_placements(
        oracle, goal, x, randomness, _placed, NUMBERS, pasted, queries=queries, explore=explore, search=search
    )


def _placed(numbers: Tensor) -> Placed:
    """Return any insect anywhere, by uniform numbers [B, 5]: down, right, angle and size are shares of their ranges."""
    return Placed((numbers[:, 0] * len(BANK)).long(), numbers[:, 1:].clone(), round=ANGLE)


def _paster(x: Tensor, constraint: Constraint, area: float, least: float) -> Callable[[Placed, Tensor], Tensor]:
    """Return what pastes insects on the samples at some positions, inside their masks."""
    height, width = x.shape[-2:]
    largest = math.sqrt(area * height * width)
    bank = insects(min(CANVAS, math.ceil(largest))).to(x)
    everywhere = torch.ones_like(x[:, :1], dtype=torch.bool) if constraint.mask is None else constraint.mask
    top, bottom = _ends(everywhere[:, 0].any(2))
    left, right = _ends(everywhere[:, 0].any(1))

    def pasted(placed: Placed, index: Tensor) -> Tensor:
        down, across, angle, size = placed.at.unbind(1)
        side = largest * (least + (1 - least) * size).sqrt() / min(height, width)
        row, column = top[index].lerp(bottom[index], down), left[index].lerp(right[index], across)
        z = paste(x[index], bank[placed.which], row, column, 2 * math.pi * angle, side)
        return constraint.at(index).paint(z, x[index])

    return pasted


def _ends(true: Tensor) -> tuple[Tensor, Tensor]:
    """Return where the first and the last true of each row [N, L] lie, as shares of L."""
    length = true.shape[1]
    first = true.long().argmax(1)
    last = length - true.flip(1).long().argmax(1)
    return first / length, last / length
