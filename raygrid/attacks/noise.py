"""Random perturbations of the same size: the baseline that any attack must beat."""

import torch
from torch import Tensor

from raygrid.constraints import Constraint, keep_largest
from raygrid.goals import Goal
from raygrid.oracle import Oracle
from raygrid.randomness import Randomness


def uniform_noise(
    oracle: Oracle, goal: Goal, x: Tensor, constraint: Constraint, randomness: Randomness, *, draws: int
) -> Tensor:
    """Points drawn uniformly from the ball.

    Args:
        oracle: the victim, with decision access.
        goal: what to reach.
        x: clean inputs [B, C, H, W] in [0, 1].
        constraint: ball and box.
        randomness: the samples' streams.
        draws: how many points are tried for a sample, until one succeeds.

    Returns:
        The first point [B, C, H, W] that succeeded, else the last one.
    """
    z = x.clone()
    for draw, active in enumerate(oracle.rounds(draws, gradients=0)):
        z[active] = constraint.random_start(x[active], randomness, f"draw/{draw}", active)
        oracle.retire(active, oracle.decide(goal, z[active], active))
    return z


def gaussian_noise(
    oracle: Oracle, goal: Goal, x: Tensor, constraint: Constraint, randomness: Randomness, *, draws: int
) -> Tensor:
    """Gaussian directions of length eps: for L-inf, pixel noise of standard deviation eps / 2, clipped at eps.

    Arguments and return as `uniform_noise`.
    """
    z = x.clone()
    for draw, active in enumerate(oracle.rounds(draws, gradients=0)):
        clean = x[active]
        noise = randomness.normal(f"draw/{draw}", active, clean)
        lengths = constraint.ball.norm(noise.flatten(1)).view(-1, *[1] * (x.ndim - 1))
        scale = 0.5 if constraint.norm == "linf" else 1 / lengths
        z[active] = constraint.project(clean + constraint.eps * scale * noise, clean)
        oracle.retire(active, oracle.decide(goal, z[active], active))
    return z


def salt_and_pepper(
    oracle: Oracle, goal: Goal, x: Tensor, constraint: Constraint, randomness: Randomness, *, draws: int
) -> Tensor:
    """As many values as the L0 constraint allows, at random places, each at a random edge of the box.

    Arguments and return as `uniform_noise`.
    """
    z = x.clone()
    for draw, active in enumerate(oracle.rounds(draws, gradients=0)):
        clean = x[active]
        edge = torch.where(
            randomness.uniform(f"draw/{draw}/edges", active, clean) < 0.5, constraint.low, constraint.high
        )
        places = randomness.uniform(f"draw/{draw}/places", active, clean)
        z[active] = constraint.project(clean + keep_largest(edge - clean, places, constraint.eps), clean)
        oracle.retire(active, oracle.decide(goal, z[active], active))
    return z
