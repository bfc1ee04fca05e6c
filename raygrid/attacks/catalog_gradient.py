"""The attacks that follow the gradient inside a ball of a given radius. Declarations only: imports neither torch nor ray."""

from typing import Literal

from pydantic import Field

from raygrid.component import ALL_GOALS, Component, Params

LAST_LOOKS = 3
"""Looks at last points that a run of Auto-PGD takes at most: one, and in L1 one in each of its stages."""


class FGSM(Params):
    """Parameters of the fast gradient sign method."""

    loss: Literal["ce", "margin", "dlr"] = "ce"
    """What the gradient is of: cross-entropy, the margin between the true class and the best other one, or its ratio (DLR)."""

    def passes(self) -> tuple[int, int]:
        """One of each."""
        return 1, 1


class FirstOrder(Params):
    """Parameters of the first-order step: none."""

    def passes(self) -> tuple[int, int]:
        """Two gradients, and two looks along the way of each."""
        return 6, 2

    def least_passes(self) -> tuple[int, int]:
        """All of them."""
        return 6, 2


class PGD(Params):
    """Parameters of projected gradient descent."""

    steps: int = Field(40, ge=1)
    """Gradient steps of each restart."""
    step_size: float | None = Field(None, gt=0)
    """Average length of a step in input units; by default 2.5 * eps / steps, which lets the iterate cross the ball."""
    restarts: int = Field(1, ge=1)
    """Runs from different random starts; each attacks only the samples that still stand."""
    random_start: bool = True
    """Start at a random point of the ball; off: the first restart starts at the clean input."""
    loss: Literal["ce", "margin", "dlr"] = "ce"
    """What is descended: cross-entropy, the margin between the true class and the best other one, or its ratio (DLR)."""
    schedule: Literal["constant", "cosine", "linear"] = "constant"
    """How steps get shorter during a restart: not at all, or from twice the average to 0 along a cosine or a line."""

    def passes(self) -> tuple[int, int]:
        """One gradient a step, and a last look at the end of each restart."""
        return self.restarts * (self.steps + 1), self.restarts * self.steps


class MomentumFGSM(Params):
    """Parameters of MI-FGSM and NI-FGSM."""

    steps: int = Field(10, ge=1)
    """Gradient steps."""
    step_size: float | None = Field(None, gt=0)
    """Length of a step in input units; by default eps / steps."""
    mu: float = Field(1.0, ge=0)
    """What is kept of the direction so far."""
    nesterov: bool = False
    """Take the gradient where the direction so far leads: NI-FGSM."""
    loss: Literal["ce", "margin", "dlr"] = "ce"
    """What is descended: cross-entropy, the margin between the true class and the best other one, or its ratio (DLR)."""

    def passes(self) -> tuple[int, int]:
        """One gradient a step, and a last look."""
        return self.steps + 1, self.steps


class AutoPGD(Params):
    """Parameters that all forms of Auto-PGD share."""

    steps: int = Field(100, ge=2)
    """Gradient steps of each restart."""
    restarts: int = Field(1, ge=1)
    """Runs from different random starts; each attacks only the samples that still stand."""
    rho: float = Field(0.75, gt=0, le=1)
    """Share of the steps between two checkpoints that must make progress, else the step size is halved; unused in L1."""
    variant: Literal["exact", "published"] = "exact"
    """Steps in L2 and L1. `published`: as the authors' code, for AutoAttack: in L2 it scales to eps and then clips into the box, in
    L1 it chooses values that the box stops, too, and stays short of the ball's best point in both."""

    def passes(self) -> tuple[int, int]:
        """One gradient a step, and a last look at the end of each restart; in L1, of each of its stages."""
        return self.restarts * (self.steps + LAST_LOOKS), self.restarts * self.steps


class APGD(AutoPGD):
    """Parameters of Auto-PGD with a loss of choice."""

    loss: Literal["ce", "margin", "dlr"] = "ce"
    """What is descended: cross-entropy, the margin between the true class and the best other one, or its ratio (DLR)."""


class APGDCE(AutoPGD):
    """Parameters of APGD-CE."""

    loss: Literal["ce"] = "ce"
    """What makes this APGD the one named apgd-ce."""


class APGDDLR(AutoPGD):
    """Parameters of APGD-DLR."""

    loss: Literal["dlr"] = "dlr"
    """What makes this APGD the one named apgd-dlr."""


class APGDT(AutoPGD):
    """Parameters of APGD-T."""

    targets: int = Field(9, ge=1)
    """Rival classes that are steered for in turn, the likeliest first; at most all others."""
    loss: Literal["dlr", "margin"] = "dlr"
    """What is descended: the difference of logits ratio with the rival, or the difference alone."""

    def passes(self) -> tuple[int, int]:
        """One look to find the rivals; for each and each restart one gradient a step, and last looks."""
        runs = self.targets * self.restarts
        return 1 + runs * (self.steps + LAST_LOOKS), runs * self.steps

    def least_passes(self) -> tuple[int, int]:
        """A look to find the rivals, and one at a start."""
        return 2, 1

    def rivals_wanted(self) -> int | None:
        """The targets, where they are said."""
        return self.targets if "targets" in self.model_fields_set else None


class APGDRace(Params):
    """Parameters of the race of rival classes."""

    targets: int = Field(9, ge=1)
    """Rival classes that have a short run, the likeliest first; at most all others."""
    heat: int = Field(25, ge=2)
    """Gradient steps of a short run."""
    finalists: int = Field(3, ge=1)
    """Rivals that have a long run: those to which the short ones left the least to go."""
    steps: int = Field(100, ge=2)
    """Gradient steps of a long run."""
    rho: float = Field(0.75, gt=0, le=1)
    """Share of the steps between two checkpoints that must make progress, else the step size is halved; unused in L1."""

    def passes(self) -> tuple[int, int]:
        """One look to find the rivals; for each run one gradient a step, and last looks."""
        last = min(self.finalists, self.targets)
        steps = self.targets * self.heat + last * self.steps
        return 1 + steps + (self.targets + last) * LAST_LOOKS, steps

    def least_passes(self) -> tuple[int, int]:
        """A look to find the rivals, and one at a start."""
        return 2, 1

    def rivals_wanted(self) -> int | None:
        """The targets, where they are said."""
        return self.targets if "targets" in self.model_fields_set else None


COMPONENTS: tuple[Component, ...] = (
    Component(
        kind="attack",
        name="fgsm",
        summary="One step of length eps along the sign of the gradient (L2: along the gradient).",
        build="raygrid.attacks.gradient:fgsm",
        params=FGSM,
        source="Goodfellow, Shlens & Szegedy, ICLR 2015",
        norms=("linf", "l2"),
        goals=ALL_GOALS,
    ),
    Component(
        kind="attack",
        name="first-order",
        summary="One step along the gradient of the margin, which shows whether gradients foretell what a step brings.",
        build="raygrid.attacks.gradient:first_order",
        params=FirstOrder,
        source="Ours, after the signs of masking of Athalye, Carlini & Wagner, ICML 2018",
        norms=("linf", "l2", "l1"),
        goals=ALL_GOALS,
        version=2,
    ),
    Component(
        kind="attack",
        name="pgd",
        summary="Projected gradient descent from random starts.",
        build="raygrid.attacks.gradient:pgd",
        params=PGD,
        source="Madry et al., ICLR 2018; for L1 the steps of Tramèr & Boneh, NeurIPS 2019",
        norms=("linf", "l2", "l1"),
        goals=ALL_GOALS,
        version=2,
    ),
    Component(
        kind="attack",
        name="mi-fgsm",
        summary="Steps along an average of the gradients seen so far, for examples that transfer; with nesterov: NI-FGSM.",
        build="raygrid.attacks.momentum:mi_fgsm",
        params=MomentumFGSM,
        source="Dong et al., CVPR 2018; Lin et al., ICLR 2020",
        norms=("linf", "l2"),
        goals=ALL_GOALS,
    ),
    Component(
        kind="attack",
        name="apgd",
        summary="Auto-PGD: momentum, and a step size that follows the progress made.",
        build="raygrid.attacks.autopgd:apgd",
        params=APGD,
        source="Croce & Hein, ICML 2020; for L1 ICML 2021",
        norms=("linf", "l2", "l1"),
        goals=ALL_GOALS,
        version=3,
    ),
    Component(
        kind="attack",
        name="apgd-ce",
        summary="Auto-PGD on the cross-entropy.",
        build="raygrid.attacks.autopgd:apgd",
        params=APGDCE,
        source="Croce & Hein, ICML 2020; for L1 ICML 2021",
        norms=("linf", "l2", "l1"),
        goals=ALL_GOALS,
        version=3,
    ),
    Component(
        kind="attack",
        name="apgd-dlr",
        summary="Auto-PGD on the difference of logits ratio, which confident victims can't saturate.",
        build="raygrid.attacks.autopgd:apgd",
        params=APGDDLR,
        source="Croce & Hein, ICML 2020; for L1 ICML 2021",
        norms=("linf", "l2", "l1"),
        goals=ALL_GOALS,
        version=3,
    ),
    Component(
        kind="attack",
        name="apgd-t",
        summary="Auto-PGD towards the likeliest rival classes, one after the other.",
        build="raygrid.attacks.autopgd:apgd_t",
        params=APGDT,
        source="Croce & Hein, ICML 2020; for L1 ICML 2021",
        norms=("linf", "l2", "l1"),
        goals=("untargeted",),
        version=3,
    ),
    Component(
        kind="attack",
        name="apgd-race",
        summary="APGD-T for half its passes: short runs towards all rivals, long ones towards those that came the farthest.",
        build="raygrid.attacks.race:apgd_race",
        params=APGDRace,
        source="after Croce & Hein, ICML 2020; the race is ours",
        norms=("linf", "l2", "l1"),
        goals=("untargeted",),
        version=3,
    ),
)
