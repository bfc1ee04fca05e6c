"""What is Auto-PGD's own: its checkpoints, and steps that shrink where they make no progress."""

import pytest
import torch
from cases import batch_of
from models import Linear, Tiny, pixels

from raygrid.attacks.autopgd import apgd, checkpoints
from raygrid.constraints import Constraint
from raygrid.goals import Goal
from raygrid.oracle import Oracle
from raygrid.randomness import Randomness


def test_checkpoints_are_the_papers():
    assert checkpoints(100) == [0, 22, 41, 57, 70, 80, 87, 93, 99]


@pytest.mark.parametrize("steps", [2, 5, 20, 1000])
def test_checkpoints_shrink_with_the_steps(steps):
    marks = checkpoints(steps)
    assert marks[0] == 0 and marks == sorted(set(marks)) and marks[-1] <= steps


class Path(torch.nn.Module):
    """A victim that keeps where it was asked for gradients."""

    def __init__(self, model):
        super().__init__()
        self.model, self.points = model, []

    def forward(self, x):
        if torch.is_grad_enabled():
            self.points.append(x.detach().clone())
        return self.model(x)


def path(model, x, constraint, steps=40, rho=0.75):
    watched = Path(model)
    batch = batch_of(x, model(x).argmax(1), 3)
    oracle = Oracle(watched, len(x), stop_early=False)
    goal, randomness = Goal("untargeted", batch.labels), Randomness(0, "apgd-ce", batch.ids)
    best = apgd(oracle, goal, x, constraint, randomness, steps=steps, restarts=1, rho=rho, loss="ce")
    return torch.stack(watched.points), best


@pytest.mark.parametrize("constraint", [Constraint("linf", 0.1), Constraint("l2", 0.8)], ids=lambda c: c.norm)
def test_steps_start_long_and_shrink_where_the_loss_no_longer_falls(constraint):
    points, _ = path(Tiny(), 0.2 + 0.6 * pixels(6, 1, 6, 6), constraint)
    lengths = (points[1:] - points[:-1]).flatten(2).norm(dim=2)
    assert (lengths[-5:].mean(0) < 0.25 * lengths[:3].mean(0)).all()


def test_steps_stay_long_while_every_one_makes_progress():
    """With rho 0 a step is halved only when a whole stretch brought nothing new."""
    model = Linear(torch.stack([torch.ones(36), -torch.ones(36), torch.zeros(36)]) / 6, torch.tensor([0.0, 0.0, -50.0]))
    x = torch.full((2, 1, 6, 6), 0.9)
    points, best = path(model, x, Constraint("linf", 0.5), steps=6, rho=0.01)
    assert torch.allclose(best, x - 0.5)
    assert torch.allclose(points[-1], x - 0.5)


def test_returns_the_best_point_that_it_saw():
    x = pixels(6, 1, 6, 6)
    goal = Goal("untargeted", Tiny()(x).argmax(1))
    points, best = path(Tiny(), x, Constraint("l2", 0.2))
    losses = torch.stack([goal.loss(Tiny()(point)) for point in points])
    assert (goal.loss(Tiny()(best)) <= losses.amin(0) + 1e-5).all()
