"""The L2 attack of Carlini & Wagner: unconstrained minimization of distance plus margin, with a search for their balance."""

import torch
from torch import Tensor

from raygrid.attacks.closest import Closest, search_radius
from raygrid.attacks.nearest_class import legs
from raygrid.attacks.rows import rows, with_rows
from raygrid.constraints import Constraint
from raygrid.goals import Goal
from raygrid.oracle import Oracle
from raygrid.randomness import Randomness

INSIDE = 1 - 1e-3
"""Pixels start so far inside the box, where tanh is not flat. The original 1 - 1e-6 keeps those at its edge there for 700 steps of
0.01; on mnist-cnn-adv 400 steps end 4 % above FMN's distances with 1 - 1e-4, and 1 % with this."""
BETA_1, BETA_2, TINY = 0.9, 0.999, 1e-8
"""Adam's constants (Kingma & Ba, ICLR 2015)."""
CHECKS = 10
"""Early abort looks so many times a minimization whether the loss still falls..."""
STALLED = 0.9999
"""...below this share of what it was at the last look."""
RAISE = 10.0
"""Factor by which c grows until a first success."""


def carlini_wagner(
    oracle: Oracle,
    goal: Goal,
    x: Tensor,
    constraint: Constraint,
    randomness: Randomness,
    *,
    steps: int,
    binary_steps: int,
    lr: float,
    c_init: float,
    kappa: float,
    abort_early: bool,
    rivals: int,
) -> Tensor:
    """C&W L2 (Carlini & Wagner, S&P 2017): minimize |z - x|^2 + c max(margin(z), -κ) over w, z = (tanh w + 1) / 2.

    Args:
        oracle: the victim, with gradient access.
        goal: what to reach.
        x: clean inputs [N, C, H, W] in [0, 1].
        constraint: L2, and the box; of any radius.
        randomness: unused; the attack is deterministic.
        steps: Adam steps of a minimization.
        binary_steps: minimizations, each with a c of its own for each sample.
        lr: Adam's step size, in units of w; less for values that it would carry farther than their share of what was found.
        c_init: the first c.
        kappa: logit gap by which an example must succeed.
        abort_early: leave a sample's minimization when its loss stops falling.
        rivals: classes that are compared for a second leg, a third as long (`nearest_class`): ours; 0: the paper's one leg.

    Returns:
        [N, C, H, W]: for each sample the nearest point seen to succeed by κ; x itself where none was.
    """
    closest = Closest(x)
    c = torch.full_like(closest.distance, c_init)
    for towards, leg, _ in legs(oracle, goal, x, constraint, closest, binary_steps, rivals, again=True):
        lower, upper = torch.zeros_like(c), torch.full_like(c, torch.inf)
        for _ in range(leg):
            enough = _minimize(oracle, towards, x, constraint, closest, c, steps, lr, kappa, abort_early)
            lower, upper = torch.where(enough, lower, c), torch.where(enough, c, upper)
            c = torch.where(upper.isinf(), c * RAISE, (lower + upper) / 2)
    search_radius(oracle, goal, x, constraint, closest, kappa)
    return closest.report(oracle).view_as(x)


def _minimize(
    oracle: Oracle,
    goal: Goal,
    x: Tensor,
    constraint: Constraint,
    closest: Closest,
    c: Tensor,
    steps: int,
    lr: float,
    κ: float,
    abort_early: bool,
) -> Tensor:
    """Run Adam for each sample's c [N, 1]. Returns [N, 1] bool: whether some point succeeded."""
    middle, half = (constraint.low + constraint.high) / 2, (constraint.high - constraint.low) / 2
    clean = x.flatten(1)
    w = torch.atanh((clean - middle) / half * INSIDE)
    m, v = torch.zeros_like(w), torch.zeros_like(w)
    enough = torch.zeros_like(c, dtype=torch.bool)
    pace = closest.distance / clean.shape[1] ** 0.5
    running, checked = torch.ones_like(enough), torch.full_like(c, torch.inf)
    for k, on in enumerate(oracle.rounds(steps)):
        on = on[running[on, 0]]
        if not len(on):
            break
        tanh, origin = rows(w, on).tanh(), rows(clean, on)
        here = middle + half * tanh
        margin, success, g = oracle.gradient(goal, here.view(-1, *x.shape[1:]), on, "margin")
        margin, success, δ = margin[:, None], success & (margin <= -κ), here - origin
        square = δ.square().sum(1, keepdim=True)
        closest.offer(on, here, square.sqrt(), success)
        enough = with_rows(enough, on, rows(enough, on) | success[:, None])

        weight = rows(c, on)
        if abort_early and k % max(steps // CHECKS, 1) == 0:
            loss = square + weight * (margin + κ).clamp_min(0)
            running = with_rows(running, on, loss <= STALLED * rows(checked, on))
            checked = with_rows(checked, on, loss)

        slope = half * (1 - tanh.square())
        g = (2 * δ + torch.where(margin > -κ, weight, 0.0) * g.flatten(1)) * slope
        first = BETA_1 * rows(m, on) + (1 - BETA_1) * g
        second = BETA_2 * rows(v, on) + (1 - BETA_2) * g.square()
        m, v = with_rows(m, on, first), with_rows(v, on, second)
        # Where a success is near, steps of lr would leap over what lies nearer: a value moves by its share of the distance at most.
        rate = (rows(pace, on) / slope.clamp_min(TINY)).clamp_max(lr) / (1 - BETA_1 ** (k + 1))
        moved = rows(w, on) - rate * first / ((second / (1 - BETA_2 ** (k + 1))).sqrt() + TINY)
        w = with_rows(w, on, moved)
    return enough
