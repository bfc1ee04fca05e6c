"""The suites: attacks in turn, each on what the former left. Declarations only: imports neither torch nor ray."""

from typing import Literal

from raygrid.component import Component, Params


class AutoAttack(Params):
    """Parameters of AutoAttack: none but which of the official versions."""

    version: Literal["standard", "plus", "rand"] = "standard"
    """standard: APGD-CE, APGD-T, FAB-T, Square. plus: with restarts, APGD-DLR and FAB too. rand: APGD-CE and APGD-DLR, 20 draws a
    look."""


class Audit(Params):
    """Parameters of audit: none."""


COMPONENTS: tuple[Component, ...] = (
    Component(
        kind="attack",
        name="autoattack",
        summary="AutoAttack, the official composition: APGD-CE, APGD-T, FAB-T and Square, each on what the former left.",
        build="raygrid.attacks.suites:autoattack",
        params=AutoAttack,
        source="Croce & Hein, ICML 2020; for L1 ICML 2021",
        norms=("linf", "l2", "l1"),
        goals=("untargeted",),
        suite=True,
    ),
    Component(
        kind="attack",
        name="audit",
        summary="Our escalating suite: AutoAttack's verdict at a fraction of its cost, and more where gradients look masked.",
        build="raygrid.attacks.suites:audit",
        params=Audit,
        norms=("linf", "l2", "l1"),
        goals=("untargeted",),
        suite=True,
    ),
)
