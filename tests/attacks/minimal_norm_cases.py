"""Every attack that looks for the nearest example, one line each; linear victims, and how far their boundaries are."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from models import LEAST, Linear, numbers, pixels
from torch import Tensor

from raygrid.attacks.carlini_wagner import carlini_wagner
from raygrid.attacks.decision import hop_skip_jump
from raygrid.attacks.deepfool import deepfool
from raygrid.attacks.fab import fab
from raygrid.attacks.minimal_norm import ddn, fmn
from raygrid.attacks.sigma_zero import sigma_zero
from raygrid.attacks.surfree import surfree
from raygrid.component import Access
from raygrid.constraints import Constraint
from raygrid.goals import Goal
from raygrid.oracle import Oracle
from raygrid.randomness import Randomness

SHAPE = (3, 8, 8)
SAMPLES = 24
LENGTHS = {
    "linf": lambda d: d.abs().amax(1),
    "l2": lambda d: d.norm(dim=1),
    "l1": lambda d: d.abs().sum(1),
    "l0": lambda d: (d != 0).sum(1).double(),
}


NEAR, COUNTS = (1.05, 1.05), (1.0, 1.0)
"""How far from the nearest boundary: lengths, and counts of values."""


@dataclass(frozen=True)
class Case:
    """An attack at a size at which it has settled, and what it spends."""

    attack: Callable[..., Tensor]
    norm: str
    params: Mapping[str, object]
    forwards: Callable[[int], int]
    """Of the number of rival classes."""
    backwards: Callable[[int], int]
    early: bool = False
    """Whether it stops where it arrives, so that it may spend less."""
    access: Access = "gradient"
    bounds: tuple[float, float] = NEAR
    """How far from the boundary of a linear victim of two and of ten classes it ends at most, as a multiple of the least."""

    def __str__(self) -> str:
        return f"{self.attack.__name__}-{self.norm}"


DDN = {"steps": 100, "gamma": 0.05, "init_norm": 1.0, "rivals": 9}
FMN = {"steps": 100, "gamma": None, "gamma_last": 0.001, "rivals": 9}
FAB = {
    "targets": 9,
    "steps": 10,
    "restarts": 1,
    "alpha_max": 0.1,
    "eta": 1.05,
    "beta": 0.9,
    "targeted": True,
    "leaps": True,
}
CW = {"steps": 200, "binary_steps": 6, "lr": 0.02, "c_init": 0.01, "kappa": 0.0, "abort_early": False, "rivals": 9}
SIGMA_ZERO = {"steps": 400, "lr": 1.0, "sigma": 1e-3, "threshold": 0.3, "pace": 0.01, "rivals": 9}
DEEPFOOL = {"steps": 20, "candidates": 9, "overshoot": 0.02}
QUERIES = {"queries": 2000, "start_tries": 100}
SURFREE = QUERIES | {
    "frequencies": 1.0,
    "history": 100,
}  # the weights of these victims have no low frequencies to prefer


def by_decision(attack, norm: str, params, bounds: tuple[float, float] = (1.0, 1.0)) -> Case:
    """The boundary walks end where some class's boundary is near, with ten classes often not the nearest one's."""
    queries, at_most = params["queries"], attack is hop_skip_jump
    return Case(attack, norm, params, lambda t: queries, lambda t: 0, at_most, "decision", bounds)


CASES = [
    Case(ddn, "l2", DDN, lambda t: 139 + t, lambda t: 133 + t),
    *(
        Case(fmn, norm, FMN, lambda t: 134 + t, lambda t: 133 + t, bounds=COUNTS if norm == "l0" else NEAR)
        for norm in LENGTHS
    ),
    Case(carlini_wagner, "l2", CW, lambda t: 1606 + t, lambda t: 1600 + t),
    *(Case(fab, n, FAB, lambda t: 6 + 20 * t, lambda t: 10 * t) for n in ("linf", "l2", "l1")),
    Case(fab, "linf", FAB | {"targeted": False}, lambda t: 16 + 10 * t, lambda t: 10 * t),
    Case(sigma_zero, "l0", SIGMA_ZERO, lambda t: 534 + t, lambda t: 533 + t, bounds=COUNTS),
    *(Case(deepfool, n, DEEPFOOL, lambda t: 26 + 20 * t, lambda t: 20 * t, early=True) for n in ("linf", "l2")),
    by_decision(hop_skip_jump, "l2", QUERIES | {"directions": 100}, (1.15, 1.75)),
    by_decision(hop_skip_jump, "linf", QUERIES | {"directions": 100}, (1.3, 1.8)),
    by_decision(surfree, "l2", SURFREE, (1.25, 2.0)),
]
DECISION = [case for case in CASES if case.access == "decision"]
TARGETED = [case for case in CASES if case.attack not in (fab, deepfool)]
QUICK = [case for case in CASES if case.attack is not carlini_wagner and case.access == "gradient"] + [
    *(by_decision(case.attack, case.norm, case.params | {"queries": 150}) for case in DECISION),
    Case(
        carlini_wagner,
        "l2",
        CW | {"steps": 30, "binary_steps": 3, "lr": 0.1, "c_init": 1.0},
        lambda t: 126 + t,
        lambda t: 120 + t,
    ),
]
TWO_LEGS = [case for case in QUICK if "rivals" in case.params]


def linear(classes: int, edge: bool) -> tuple[Linear, Tensor, Tensor]:
    """A linear victim and samples that look like their class: in the middle of the box, or half of their pixels at its edge."""
    size = math.prod(SHAPE)
    weight = numbers(classes, size, seed=1)
    y = torch.arange(SAMPLES) % classes
    looks = 0.25 * (weight - weight.mean(0))[y] / weight.std()
    noise = pixels(SAMPLES, size, seed=2)
    x = (1.6 * noise - 0.3 + looks).clamp(0, 1) if edge else 0.4 + 0.2 * noise + 0.4 * looks
    return Linear(weight, -weight.sum(1) / 2), x.view(-1, *SHAPE), y


def run(case: Case, victim, x: Tensor, goal: Goal, ids=None, **oracle) -> tuple[Tensor, Oracle]:
    eyes = Oracle(victim, len(x), **({"access": case.access} | oracle))
    randomness = Randomness(0, "attack", [str(i) for i in range(len(x))] if ids is None else ids)
    z = case.attack(eyes, goal, x, Constraint(case.norm, math.inf), randomness, **case.params)
    return z, eyes


def distance(case: Case, z: Tensor, x: Tensor) -> Tensor:
    return LENGTHS[case.norm]((z.double() - x.double()).flatten(1))


def fewest(slope: Tensor, room: Tensor, margin: Tensor) -> Tensor:
    """The least number of values to change: those of the largest gain, moved to the edge of the box."""
    gains = (slope * room).sort(1, descending=True).values.cumsum(1)
    return torch.where(gains[:, -1] < margin, math.inf, (gains < margin[:, None]).sum(1) + 1.0)


def boundaries(victim: Linear, x: Tensor, y: Tensor, norm: str) -> Tensor:
    """The distance [B, classes] to the boundary with each class."""
    w, b, flat = victim.weight.detach().double(), victim.bias.detach().double(), x.flatten(1).double()
    columns = []
    for c in range(len(w)):
        direction = w[y] - w[c]
        room = torch.where(direction > 0, flat, 1 - flat)
        least = (LEAST | {"l0": fewest})[norm](direction.abs(), room, (direction * flat).sum(1) + b[y] - b[c])
        columns.append(torch.where(y == c, math.inf, least))
    return torch.stack(columns, 1)
