"""The first-order step: what it hands in, and what it notes."""

import torch
from models import Linear, numbers, pixels
from torch import nn

from raygrid.attacks.gradient import first_order
from raygrid.constraints import Constraint
from raygrid.goals import Goal
from raygrid.oracle import Oracle
from raygrid.randomness import Randomness


class Ridge(nn.Module):
    """Wrong in a narrow band around a quarter of the way, right everywhere else."""

    def forward(self, x):
        mean = x.flatten(1).mean(1)
        margin = torch.where((mean - 0.45).abs() < 0.02, -1.0 * torch.ones_like(mean), 1.0 + 20 * (mean - 0.5))
        return torch.stack([margin.clamp_min(-1.0).where(mean > 0.4, torch.ones_like(mean)), torch.zeros_like(mean)], 1)


def run(victim, x, y, eps):
    oracle = Oracle(victim, len(x))
    streams = Randomness(0, "first-order", [str(number) for number in range(len(x))])
    return first_order(oracle, Goal("untargeted", y), x, Constraint("linf", eps), streams), oracle


def test_a_success_seen_at_a_quarter_of_the_way_is_handed_in():
    x = torch.full((2, 1, 4, 4), 0.5)
    z, oracle = run(Ridge(), x, torch.zeros(2, dtype=torch.long), 0.2)
    assert oracle.broken.all()
    assert torch.allclose(z, torch.full_like(x, 0.45))
    assert (Ridge()(z).argmax(1) == 1).all()


def test_a_linear_victim_foretells_and_one_whose_gradient_is_turned_about_does_not():
    x = 0.3 + 0.4 * pixels(6, 1, 4, 4)
    plain = Linear(numbers(3, 16), torch.zeros(3))
    y = plain(x).argmax(1)

    def turned(z):
        return plain(2 * z.detach() - z)  # the same values, and gradients of the other sign

    assert not run(plain, x, y, 0.05)[1].false_gradients.any()
    assert run(turned, x, y, 0.05)[1].false_gradients.all()


def test_gradients_that_are_turned_about_farther_out_only_are_seen_of_most_samples():
    x = 0.3 + 0.4 * pixels(40, 1, 4, 4)
    plain = Linear(numbers(3, 16), torch.zeros(3))

    def turned_far(z):
        far = (z.detach() - x).abs().amax((1, 2, 3)) > 0.03
        return plain(torch.where(far.view(-1, 1, 1, 1), 2 * z.detach() - z, z))

    assert run(turned_far, x, plain(x).argmax(1), 0.05)[1].false_gradients.sum() > 25


def test_a_gradient_that_hides_half_of_the_values_is_seen_of_most_samples():
    """What is left of it foretells what a step along it brings."""
    x = 0.3 + 0.4 * pixels(40, 1, 4, 4)
    plain = Linear(numbers(3, 16), torch.zeros(3))
    shown = torch.arange(16).view(1, 1, 4, 4) % 2 == 0

    def hiding(z):
        return plain(torch.where(shown, z, z.detach()))

    assert run(hiding, x, plain(x).argmax(1), 0.05)[1].false_gradients.sum() > 20
