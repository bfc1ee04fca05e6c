"""Universal attacks: one perturbation or patch for all samples, learned on samples set apart and laid over the others unseen."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor

from raygrid.attacks.catalog_universal import Patch
from raygrid.attacks.corners import corners
from raygrid.constraints import Constraint
from raygrid.goals import Goal, LossName
from raygrid.oracle import Oracle
from raygrid.randomness import Randomness

BETA_1, BETA_2, SMALL = 0.9, 0.999, 1e-8
"""Adam's constants (Kingma & Ba, ICLR 2015)."""


def universal(
    oracle: Oracle,
    goal: Goal,
    x: Tensor,
    constraint: Constraint,
    randomness: Randomness,
    *,
    fitted: Mapping[str, Tensor],
    **learned: object,
) -> Tensor:
    """Return every x [N, C, H, W] with the one perturbation `fitted["delta"]`, inside the box. Asks the victim nothing."""
    return constraint.project(x + fitted["delta"], x)


def fit_universal(
    oracle: Oracle,
    goal: Goal,
    x: Tensor,
    constraint: Constraint,
    randomness: Randomness,
    *,
    epochs: int,
    batch: int,
    loss: LossName,
    step_size: float | None,
) -> dict[str, Tensor]:
    """Learn a universal perturbation by steps along the summed gradient (Shafahi et al., AAAI 2020), its sign for L-inf.

    Only samples that still stand pull: an unbounded loss would be that of the few it can fool by far.

    Args:
        oracle: the victim, with gradient access.
        goal: what to reach.
        x: clean inputs [N, C, H, W] in [0, 1], set apart for this.
        constraint: ball and box.
        randomness: the samples' streams, for the order of each epoch.
        epochs: passes over all samples.
        batch: samples of a step.
        loss: what is descended.
        step_size: length of the first step; None: eps / 5.

    Returns:
        `delta` [1, C, H, W]: of all epochs' the one that fools the most of these samples.
    """
    first = constraint.eps / 5 if step_size is None else step_size
    ball = replace(constraint, low=-math.inf, high=math.inf)  # of the perturbation itself; each sample has its own box
    delta = torch.zeros_like(x[:1])
    best = _Best(delta)
    steps = epochs * math.ceil(len(x) / batch)
    for step, on in enumerate(_batches(oracle, x, randomness, epochs, batch)):
        z = constraint.project(x[on] + delta, x[on])
        _, success, g = oracle.gradient(goal, z, on, loss)
        # Where the box stops a value, that sample has no say in it.
        free = (z - x[on] - delta).abs() <= 1e-6
        pull = (g * free * _column(~success, g)).sum(0, keepdim=True)
        length = first * (1 + math.cos(math.pi * step / steps)) / 2
        moved = constraint.ball.descend(pull, length, delta, ball.box, 0.0)
        delta = _inside(moved, constraint)
        if (step + 1) % (steps // epochs) == 0:
            best.keep(delta, oracle, goal, constraint.project(x + delta, x), loss)
    return {"delta": best.value}


def _inside(delta: Tensor, constraint: Constraint) -> Tensor:
    if constraint.norm == "linf":
        return delta.clamp(-constraint.eps, constraint.eps)
    factor: Tensor = constraint.eps / torch.linalg.vector_norm(delta).clamp_min(1e-30)
    return delta * factor.clamp_max(1.0)


def universal_patch(
    oracle: Oracle,
    goal: Goal,
    x: Tensor,
    constraint: Constraint,
    randomness: Randomness,
    *,
    fitted: Mapping[str, Tensor],
    area: float,
    place: tuple[float, float] | Literal["random"],
    **learned: object,
) -> Tensor:
    """Return every x [N, C, H, W] with the one patch `fitted["patch"]` at its place, or at the sample's own."""
    params = Patch.at(area, place)
    return _pasted(x, fitted["patch"], corners(params, randomness.sample_ids, x.shape[2], x.shape[3]))


def fit_universal_patch(
    oracle: Oracle,
    goal: Goal,
    x: Tensor,
    constraint: Constraint,
    randomness: Randomness,
    *,
    epochs: int,
    batch: int,
    loss: LossName,
    area: float,
    place: tuple[float, float] | Literal["random"],
    lr: float,
) -> dict[str, Tensor]:
    """Learn a universal patch by Adam, at a new place for every sample at each step where places are random (Brown et al. 2017).

    Arguments as those of `fit_universal`; `area` and `place` as those of the attack, `lr` Adam's step size.

    Returns:
        `patch` [C, S, S]: of all epochs' the one that fools the most of these samples at the places that their names give them.
    """
    params = Patch.at(area, place)
    height, width = x.shape[2:]
    side = params.side(height, width)
    patch = x.new_full((x.shape[1], side, side), (constraint.low + constraint.high) / 2)
    m, v, best = torch.zeros_like(patch), torch.zeros_like(patch), _Best(patch)
    ids = randomness.sample_ids
    at_home = corners(params, ids, height, width)
    per_epoch = math.ceil(len(x) / batch)
    for step, on in enumerate(_batches(oracle, x, randomness, epochs, batch)):
        places = corners(params, [f"{ids[i]}/{step}" for i in on.tolist()], height, width)
        z = _pasted(x[on], patch, places)
        _, success, g = oracle.gradient(goal, z, on, loss)
        g = g * _column(~success, g)
        pull = torch.stack([g[i, :, r : r + side, c : c + side] for i, (r, c) in enumerate(places)]).sum(0)
        m, v = BETA_1 * m + (1 - BETA_1) * pull, BETA_2 * v + (1 - BETA_2) * pull.square()
        scale = (v / (1 - BETA_2 ** (step + 1))).sqrt() + SMALL
        patch = (patch - lr / (1 - BETA_1 ** (step + 1)) * m / scale).clamp(constraint.low, constraint.high)
        if (step + 1) % per_epoch == 0:
            best.keep(patch, oracle, goal, _pasted(x, patch, at_home), loss)
    return {"patch": best.value}


def _pasted(x: Tensor, patch: Tensor, places: list[tuple[int, int]]) -> Tensor:
    """Lay a patch [C, S, S] over each image, its upper left corner at (row, column)."""
    z, side = x.clone(), patch.shape[-1]
    for i, (row, column) in enumerate(places):
        z[i, :, row : row + side, column : column + side] = patch
    return z


def _batches(oracle: Oracle, x: Tensor, randomness: Randomness, epochs: int, batch: int) -> Iterator[Tensor]:
    """Yield the positions of the samples of each step. Samples whose budget is spent have no more say."""
    for epoch in range(epochs):
        drawn = randomness.uniform(f"order/{epoch}", torch.arange(len(x)), x.new_empty(len(x), 1)).flatten()
        for part in torch.split(drawn.argsort().to(x.device), batch):
            affordable = torch.isin(part, oracle.active(queries=1, gradients=1))
            yield part[affordable].sort().values


class _Best:
    """What fooled the most samples so far; among equals, what is nearest to fooling more."""

    def __init__(self, value: Tensor) -> None:
        self.value, self.reached = value, (-1, 0.0)

    def keep(self, value: Tensor, oracle: Oracle, goal: Goal, z: Tensor, loss: LossName) -> None:
        """Keep it if it does better on the samples z [N, C, H, W] than any before."""
        on = oracle.active()
        if not len(on):
            return
        found = oracle.look(goal, z[on], on, loss)
        reached = (int(found.success.sum()), -float(found.loss.mean()))
        if reached > self.reached:
            self.value, self.reached = value, reached


def _column(values: Tensor, like: Tensor) -> Tensor:
    return values.view(-1, *[1] * (like.dim() - 1))
