"""The schedule of the Square attack: how large the squares are that it tries."""

import pytest
import torch
from torch import Tensor, nn

from raygrid.attacks.square import square
from raygrid.constraints import Constraint
from raygrid.goals import Goal
from raygrid.oracle import Oracle
from raygrid.randomness import Randomness

SIDE = 28


class Unmoved(nn.Module):
    """Answers 0 to everything, so that no square helps, and keeps what it was shown."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append(x)
        return torch.eye(2)[torch.zeros(len(x), dtype=torch.long)]


def changed(queries: int, p_init: float = 0.8) -> list[int]:
    """Which part of the picture each square in turn changes: how high its tallest column is, in pixels."""
    victim, x = Unmoved(), torch.full((8, 1, SIDE, SIDE), 0.5)
    oracle = Oracle(victim, len(x), access="score")
    randomness = Randomness(0, "square", [str(i) for i in range(len(x))])
    goal, constraint = Goal("untargeted", torch.zeros(len(x), dtype=torch.long)), Constraint("linf", 0.1)
    square(oracle, goal, x, constraint, randomness, queries=queries, p_init=p_init, rescale=True)
    start, *tried = victim.seen
    return [int((z != start).sum(2).max()) for z in tried]


@pytest.mark.parametrize("queries", [2, 20, 200])
def test_the_first_square_covers_p_init_however_few_the_queries(queries):
    assert changed(queries)[0] == 25  # 25 x 25 pixels are 0.8 of 28 x 28
    assert changed(queries, 0.3)[0] == 15


def test_squares_shrink_to_a_pixel_at_the_same_shares_of_the_queries():
    sides = changed(1000)
    assert sides[:2] == [25, 25] and sides[2] == 18 and max(sides[802:]) == 1
    assert sides == sorted(sides, reverse=True)
