"""The built-in attacks. Declarations only: imports neither torch nor ray."""

from typing import Literal

from pydantic import Field

from raygrid.component import Component, Params

ALL_GOALS = ("untargeted", "targeted", "random-target")


class FGSM(Params):
    """Parameters of the fast gradient sign method."""

    loss: Literal["ce", "margin"] = "ce"
    """What the gradient is of: cross-entropy, or the margin between the true class and the best other one."""

    def passes(self) -> tuple[int, int]:
        """One of each."""
        return 1, 1


class PGD(Params):
    """Parameters of projected gradient descent."""

    steps: int = Field(40, ge=1)
    """Gradient steps of each restart."""
    step_size: float | None = Field(None, gt=0)
    """Length of a step in input units; by default 2.5 * eps / steps, which lets the iterate cross the ball."""
    restarts: int = Field(1, ge=1)
    """Runs from different random starts; each attacks only the samples that still stand."""
    random_start: bool = True
    """Start at a random point of the ball; off: the first restart starts at the clean input."""
    loss: Literal["ce", "margin"] = "ce"
    """What is descended: cross-entropy, or the margin between the true class and the best other one."""

    def passes(self) -> tuple[int, int]:
        """One gradient a step, and a last look at the end of each restart."""
        return self.restarts * (self.steps + 1), self.restarts * self.steps


class APGD(Params):
    """Parameters of Auto-PGD."""

    steps: int = Field(100, ge=2)
    """Gradient steps of each restart."""
    restarts: int = Field(1, ge=1)
    """Runs from different random starts; each attacks only the samples that still stand."""
    rho: float = Field(0.75, gt=0, le=1)
    """Share of the steps between two checkpoints that must make progress, else the step size is halved."""
    loss: Literal["ce"] = "ce"
    """The surrogate loss: what makes this APGD the one named apgd-ce."""

    def passes(self) -> tuple[int, int]:
        """One gradient a step, and a last look at the end of each restart."""
        return self.restarts * (self.steps + 1), self.restarts * self.steps


class Noise(Params):
    """Parameters of random noise."""

    draws: int = Field(1, ge=1)
    """Points tried for each sample, until one succeeds."""

    def passes(self) -> tuple[int, int]:
        """One look at each point."""
        return self.draws, 0


class Square(Params):
    """Parameters of the Square attack."""

    queries: int = Field(5000, ge=1)
    """Looks at the victim for each sample, until one succeeds."""
    p_init: float = Field(0.8, gt=0, le=1)
    """Share of the pixels that the first squares cover; it is halved nine times on the way."""

    def passes(self) -> tuple[int, int]:
        """One look at each candidate."""
        return self.queries, 0


class DDN(Params):
    """Parameters of Decoupled Direction and Norm."""

    steps: int = Field(100, ge=2)
    """Gradient steps."""
    gamma: float = Field(0.05, gt=0, lt=1)
    """How much the radius shrinks after a success and grows after a failure, as a share of it."""
    init_norm: float = Field(1.0, gt=0)
    """Radius of the first step, in input units."""

    def passes(self) -> tuple[int, int]:
        """One gradient a step, and a line search of five looks at the end."""
        return self.steps + 5, self.steps


class FMN(Params):
    """Parameters of the Fast Minimum-Norm attack."""

    steps: int = Field(100, ge=2)
    """Gradient steps."""
    gamma: float | None = Field(None, gt=0, lt=1)
    """How much the radius moves at first, as a share of it; by default 0.05."""
    gamma_last: float = Field(0.001, gt=0, lt=1)
    """How much it moves at last."""

    def passes(self) -> tuple[int, int]:
        """One gradient a step."""
        return self.steps, self.steps


class CarliniWagner(Params):
    """Parameters of the Carlini & Wagner L2 attack."""

    steps: int = Field(1000, ge=1)
    """Steps of Adam for each constant."""
    binary_steps: int = Field(9, ge=1)
    """Constants tried for each sample, by binary search."""
    lr: float = Field(0.01, gt=0)
    """Learning rate of Adam, in tanh space."""
    c_init: float = Field(0.01, gt=0)
    """The first constant: weight of the margin against the distance."""
    kappa: float = Field(0.0, ge=0)
    """Margin in logits by which a success must be clear."""
    abort_early: bool = True
    """Leave a constant once its loss no longer falls."""

    def passes(self) -> tuple[int, int]:
        """One gradient a step, and a line search of five looks at the end."""
        return self.binary_steps * self.steps + 5, self.binary_steps * self.steps


class FAB(Params):
    """Parameters of FAB-T."""

    targets: int = Field(9, ge=1)
    """Rival classes that are steered for in turn, the likeliest first; at most all others."""
    steps: int = Field(100, ge=1)
    """Steps towards the boundary with each rival."""
    restarts: int = Field(1, ge=1)
    """Runs for each rival; the second and later start at random."""
    alpha_max: float = Field(0.1, gt=0, le=1)
    """How far an iterate leans back towards the clean input at most."""
    eta: float = Field(1.05, ge=1)
    """How far a step overshoots the boundary."""
    beta: float = Field(0.9, gt=0, lt=1)
    """How far a success is pulled back towards the clean input."""

    def passes(self) -> tuple[int, int]:
        """A gradient and a look a step, one look to find the rivals, and a line search of five at the end."""
        runs = self.targets * self.restarts * self.steps
        return 6 + 2 * runs, runs


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
        name="pgd",
        summary="Projected gradient descent from random starts.",
        build="raygrid.attacks.gradient:pgd",
        params=PGD,
        source="Madry et al., ICLR 2018; for L1 the steps of Tramèr & Boneh, NeurIPS 2019",
        norms=("linf", "l2", "l1"),
        goals=ALL_GOALS,
    ),
    Component(
        kind="attack",
        name="apgd-ce",
        summary="Auto-PGD on the cross-entropy: momentum, and a step size that follows the progress made.",
        build="raygrid.attacks.autopgd:apgd",
        params=APGD,
        source="Croce & Hein, ICML 2020",
        norms=("linf", "l2"),
        goals=ALL_GOALS,
    ),
    Component(
        kind="attack",
        name="uniform-noise",
        summary="Points drawn uniformly from the ball: the baseline any attack must beat.",
        build="raygrid.attacks.noise:uniform_noise",
        params=Noise,
        access="decision",
        norms=("linf", "l2", "l1"),
        goals=ALL_GOALS,
    ),
    Component(
        kind="attack",
        name="gaussian-noise",
        summary="Gaussian noise of length eps (L-inf: standard deviation eps / 2, clipped at eps).",
        build="raygrid.attacks.noise:gaussian_noise",
        params=Noise,
        access="decision",
        norms=("linf", "l2", "l1"),
        goals=ALL_GOALS,
    ),
    Component(
        kind="attack",
        name="square",
        summary="Random search over square patches, by scores alone: needs no gradient, so that masking it does not help.",
        build="raygrid.attacks.square:square",
        params=Square,
        source="Andriushchenko et al., ECCV 2020",
        access="score",
        norms=("linf", "l2"),
        goals=ALL_GOALS,
    ),
    Component(
        kind="attack",
        name="ddn",
        summary="The closest example in L2: direction by gradient, norm by success. One run serves every eps.",
        build="raygrid.attacks.minimal_norm:ddn",
        params=DDN,
        source="Rony et al., CVPR 2019",
        norms=("l2",),
        goals=ALL_GOALS,
        minimal_norm=True,
    ),
    Component(
        kind="attack",
        name="fmn",
        summary="The closest example in L-inf, L2 or L1, by a radius that follows the boundary. One run serves every eps.",
        build="raygrid.attacks.minimal_norm:fmn",
        params=FMN,
        source="Pintor et al., NeurIPS 2021",
        norms=("linf", "l2", "l1"),
        goals=ALL_GOALS,
        minimal_norm=True,
    ),
    Component(
        kind="attack",
        name="carlini-wagner",
        summary="The closest example in L2, by Adam on distance plus margin. Thorough and slow; one run serves every eps.",
        build="raygrid.attacks.carlini_wagner:carlini_wagner",
        params=CarliniWagner,
        source="Carlini & Wagner, S&P 2017",
        norms=("l2",),
        goals=ALL_GOALS,
        minimal_norm=True,
    ),
    Component(
        kind="attack",
        name="fab",
        summary="FAB-T: the closest example, by steps onto the linearized boundary with each likely rival class.",
        build="raygrid.attacks.fab:fab",
        params=FAB,
        source="Croce & Hein, ICML 2020",
        norms=("linf", "l2", "l1"),
        goals=("untargeted",),
        minimal_norm=True,
    ),
)
