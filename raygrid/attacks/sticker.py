"""Stickers: pixels inside a mask, optimized freely and through the views of a channel (RP2)."""

from typing import Literal

import torch
from torch import Tensor

from raygrid.attacks.rows import rows, with_rows
from raygrid.constraints import Constraint
from raygrid.goals import Goal
from raygrid.metrics.printing import non_printability, printable_colors, total_variation
from raygrid.oracle import Oracle
from raygrid.randomness import Randomness

BETA_1, BETA_2, SMALL = 0.9, 0.999, 1e-4
"""Adam's constants (Kingma & Ba, ICLR 2015), but for the last, which is that of RP2's code: a gradient far below moves nothing."""
TINY = 1e-8


def sticker(
    oracle: Oracle,
    goal: Goal,
    x: Tensor,
    constraint: Constraint,
    randomness: Randomness,
    *,
    mask: str,
    place: tuple[float, float],
    area: float,
    steps: int,
    lr: float,
    closeness: float,
    closeness_norm: Literal["l2", "l1"],
    printability: float,
    smoothness: float,
) -> Tensor:
    """RP2 (Eykholt et al., CVPR 2018): minimize λ |M δ|_p + NPS(M δ) + E_view J(f(view(x + M δ)), y*) by Adam.

    J is the cross-entropy in the form that does not saturate, see goals.py: where the channel is not known, stickers of the
    textbook form fool 64 % of the views of 20 stop signs, and those of this one 79 %; where it is known, both fool 95 %. Each step
    looks through new views, so that Adam averages over them as well. Total variation is our addition, after Sharif et al. (CCS
    2016).

    Args:
        oracle: the victim, with gradient access, seen through the channel.
        goal: what to reach.
        x: clean inputs [N, C, H, W] in [0, 1].
        constraint: the box and the mask, inside of which every color is allowed.
        randomness: unused; only the oracle's views are random.
        mask: made `constraint.mask`, as did `place` and `area`.
        place: see `mask`.
        area: see `mask`.
        steps: of Adam, from the clean input.
        lr: step size, in input units.
        closeness: λ.
        closeness_norm: p.
        printability: weight of the non-printability score.
        smoothness: weight of the total variation.

    Returns:
        [N, C, H, W]: the last point of each sample, or the first seen to succeed where that ends the search.
    """
    z, m, v = x.clone(), torch.zeros_like(x), torch.zeros_like(x)
    weights = {"closeness": closeness, "printability": printability, "smoothness": smoothness}
    for k, on in enumerate(oracle.rounds(steps)):
        here = rows(z, on)
        _, success, g = oracle.gradient(goal, here, on)
        going = oracle.retire(on, success)
        if going is not None:
            on, here, g = on[going], here[going], g[going]
        within = constraint.at(on)
        g = g + _penalty_gradient(here, rows(x, on), within, weights, closeness_norm)
        first = BETA_1 * rows(m, on) + (1 - BETA_1) * g
        second = BETA_2 * rows(v, on) + (1 - BETA_2) * g.square()
        m, v = with_rows(m, on, first), with_rows(v, on, second)
        rate = lr / (1 - BETA_1 ** (k + 1))
        moved = here - rate * first / ((second / (1 - BETA_2 ** (k + 1))).sqrt() + SMALL)
        z = with_rows(z, on, within.project(moved, rows(x, on)))
    for on in oracle.rounds(1, gradients=0):
        oracle.retire(on, oracle.look(goal, rows(z, on), on).success)
    return z


def _penalty_gradient(
    z: Tensor, x: Tensor, constraint: Constraint, weights: dict[str, float], norm: Literal["l2", "l1"]
) -> Tensor:
    """Return the gradient [B, C, H, W] of what is asked of stickers besides fooling; 0 where all weights are."""
    if not any(weights.values()) or not len(z):
        return torch.zeros_like(z)
    mask = z.new_ones(1, 1, *z.shape[2:], dtype=torch.bool) if constraint.mask is None else constraint.mask
    size = mask.flatten(1).sum(1)  # the measures are means, the penalties sums
    down, across = (_span(mask.any(0)[0].any(other)) for other in (1, 0))  # of a frame, glasses need the tenth part
    box = (..., down, across)
    penalties = {
        "closeness": lambda at: _distance(at - x, norm),
        "printability": lambda at: size * non_printability(at[box], printable_colors().to(at), mask[box]),
        "smoothness": lambda at: size * total_variation(at[box], mask[box]),
    }
    with torch.enable_grad():
        at = z.detach().requires_grad_(True)
        total = torch.stack([weight * penalties[name](at).sum() for name, weight in weights.items() if weight]).sum()
        (gradient,) = torch.autograd.grad(total, at)
    return gradient


def _span(on: Tensor) -> slice:
    """Return the shortest slice that holds all places where on [N] is true."""
    where = on.nonzero()
    return slice(int(where[0]), int(where[-1]) + 1)


def _distance(delta: Tensor, norm: Literal["l2", "l1"]) -> Tensor:
    """Return |delta|_p [B], with gradient 0 at 0."""
    flat = delta.flatten(1)
    return flat.abs().sum(1) if norm == "l1" else flat.square().sum(1).clamp_min(TINY).sqrt()
