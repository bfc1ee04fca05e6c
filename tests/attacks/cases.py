"""Every attack with every norm, one line each, and what each is held to. A new attack costs a line here."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from raygrid.attacks.catalog_gradient import LAST_LOOKS
from raygrid.batch import Batch
from raygrid.component import Params
from raygrid.judge import Verdict
from raygrid.kernel import Crafted, craft, score
from raygrid.outputs import run_model
from raygrid.registry import find, parse
from raygrid.spec import AttackSpec, Budget

torch.set_num_threads(1)


@dataclass(frozen=True)
class Case:
    """An attack, and what it can do."""

    name: str
    norm: str
    few: dict[str, Any] = field(default_factory=dict)
    """Parameters for an invariant that holds whatever the number of steps."""
    two_classes: dict[str, Any] | None = None
    """Parameters with which it finds the optimum of linear victims of two classes, `step_size` as a share of eps; None: it is not
    held to it."""
    box: bool = True
    """Whether it does so where the box cuts into the ball, too."""
    many_classes: dict[str, Any] | None = None
    """Parameters with which it finds that of ten classes."""
    access: str = "gradient"
    strong: dict[str, Any] = field(default_factory=dict)
    """Parameters with which it is compared with random noise."""
    random: bool = True
    """Whether it draws random numbers."""
    notes: bool = False
    """Whether they decide what it notes and not what it hands in."""
    within: float | None = None
    """With 1,000 queries it breaks every sample of a linear victim of two classes whose least eps is this share of it."""

    def __str__(self) -> str:
        return "-".join([self.name, *(f"{key}={self.few[key]}" for key in self.variant), self.norm])

    variant: tuple[str, ...] = ()
    """Which of the few parameters make it another attack than a case of the same name and norm."""

    def passes(self, params: Params) -> tuple[int, int]:
        """What it spends where nothing stops it."""
        forwards, backwards = params.passes()
        if self.name.startswith("apgd") and self.norm != "l1":  # a run has one stage, of three
            forwards -= (LAST_LOOKS - 1) * ((forwards - backwards) // LAST_LOOKS)
        return forwards, backwards

    def spec(self, eps: float, *, budget: Budget | None = None, **rest: Any) -> AttackSpec:
        """The attack as a job would have it; fields of AttackSpec go there, all others are parameters."""
        component = find("attack", self.name)
        fields = {key: rest.pop(key) for key in ("goal", "target", "access", "source") if key in rest}
        return AttackSpec(component, parse(component, rest), self.norm, eps, budget=budget or Budget(), **fields)


SHORT = {"steps": 6, "restarts": 2}

ATTACKS = [
    Case("fgsm", "linf", two_classes={}, random=False),
    # One step along the gradient is not the best where the box stops some values of it.
    Case("fgsm", "l2", two_classes={}, box=False, random=False),
    Case("pgd", "linf", SHORT, two_classes={}, many_classes={"loss": "margin"}),
    # 40 steps of 2.5 eps / 40 leave exp(-2.5) of a start's wrong direction; steps of eps / 5 leave nothing.
    Case("pgd", "l2", SHORT, two_classes={"step_size": 0.2}, many_classes={"step_size": 0.2, "loss": "margin"}),
    Case("pgd", "l1", SHORT, two_classes={}, many_classes={"loss": "margin"}),
    # Not for L1, whose last steps move one value at a time and must be long: 6 of 160 samples are missed.
    Case("first-order", "linf", two_classes={}, notes=True),
    Case("first-order", "l2", two_classes={}, box=False, notes=True),
    Case("first-order", "l1", notes=True),
    *(
        Case("pgd", norm, SHORT | {"schedule": schedule}, {"schedule": schedule} | given, variant=("schedule",))
        for schedule, norm, given in (
            ("cosine", "linf", {}),
            ("linear", "linf", {}),
            ("cosine", "l2", {"step_size": 0.2}),
        )
    ),
    *(
        Case(
            "mi-fgsm",
            norm,
            {"steps": 6, "nesterov": nesterov},
            two_classes={"nesterov": nesterov},
            # Steps of eps / steps along one direction: the box cuts them short as it does FGSM's.
            box=norm == "linf",
            random=False,
            variant=("nesterov",),
        )
        for nesterov in (False, True)
        for norm in ("linf", "l2")
    ),
    *(Case(name, norm, SHORT, two_classes={}) for name in ("apgd-ce", "apgd-dlr") for norm in ("linf", "l2", "l1")),
    # As its authors published it, it stays short of the best point of a ball that the box cuts into.
    Case("apgd-ce", "l2", SHORT | {"variant": "published"}, {"variant": "published"}, box=False, variant=("variant",)),
    Case("apgd-ce", "l1", SHORT | {"variant": "published"}, variant=("variant",)),
    *(
        Case(
            "apgd-race",
            norm,
            {"targets": 2, "heat": 3, "steps": 6},
            {},
            many_classes={},
            strong={"targets": 3, "steps": 20},
        )
        for norm in ("linf", "l2", "l1")
    ),
    *(Case("apgd", norm, SHORT, two_classes={}, many_classes={"loss": "margin"}) for norm in ("linf", "l2", "l1")),
    *(
        Case(
            "apgd-t",
            norm,
            {"targets": 2, "steps": 6},
            {},
            many_classes={"steps": 40},
            strong={"targets": 3, "steps": 20},
        )
        for norm in ("linf", "l2", "l1")
    ),
    *(
        Case("square", norm, {"queries": 12}, access="score", within=within)
        for norm, within in (("linf", 0.98), ("l2", 0.65), ("l1", 0.6))
    ),
    # One value after the other, each to the end of its range: the corner of the ball, which is the optimum.
    Case(
        "simba",
        "linf",
        {"queries": 12},
        two_classes={"basis": "pixel", "queries": 2 * 28**2 + 1},
        access="score",
        within=0.75,
    ),
    Case("simba", "l2", {"queries": 12}, access="score", within=0.85),
    *(Case("nes", norm, {"queries": 16, "samples": 4}, access="score", within=0.9) for norm in ("linf", "l2")),
    *(
        Case(noise, norm, {"draws": 4}, access="decision")
        for noise in ("uniform-noise", "gaussian-noise")
        for norm in ("linf", "l2", "l1")
    ),
    *(Case(noise, "l0", {"draws": 4}, access="decision") for noise in ("uniform-noise", "salt-and-pepper")),
]
GRADIENT = [case for case in ATTACKS if case.access == "gradient"]


def batch_of(x: Tensor, y: Tensor, classes: int, ids: list[str] | None = None) -> Batch:
    return Batch(ids or [f"sample-{i}" for i in range(len(x))], x, y, classes)


def run(
    model: Any, batch: Batch, attack: AttackSpec, *, seed: int = 0, micro_batch: int | None = None, access: Any = None
) -> tuple[Crafted, list[Verdict]]:
    """Craft and judge, as a host does."""
    made = craft(model, batch, attack, seed, access=access or attack.component.access, micro_batch=micro_batch)
    clean = run_model(model, batch.x, batch.classes, micro_batch)
    return made, score(model, batch, attack, seed, made.x_adv, made.failures, clean, micro_batch)


def statuses(verdicts: list[Verdict]) -> list[str]:
    return [verdict.status for verdict in verdicts]
