"""The attacks that look for the closest example there is. Declarations only: imports neither torch nor ray."""

from pydantic import Field

from raygrid.component import ALL_GOALS, Component, Params


def _second_leg(steps: int, rivals: int) -> tuple[int, int, int]:
    """Return the looks, gradients and steps of the second leg; one that has less than a step is left out."""
    return (1 + rivals, rivals, steps // 3) if rivals and steps >= 3 else (0, 0, 0)


class DDN(Params):
    """Parameters of Decoupled Direction and Norm."""

    steps: int = Field(100, ge=2)
    """Gradient steps."""
    gamma: float = Field(0.05, gt=0, lt=1)
    """How much the radius shrinks after a success and grows after a failure, as a share of it."""
    init_norm: float = Field(1.0, gt=0)
    """Radius of the first step, in input units."""
    rivals: int = Field(9, ge=0)
    """Classes that are compared, by a gradient each, for a second leg a third as long: ours. 0: the paper's one leg."""

    def passes(self) -> tuple[int, int]:
        """One gradient a step and a rival, one look to find the rivals, and a line search of five at the end."""
        looks, gradients, more = _second_leg(self.steps, self.rivals)
        return self.steps + more + looks + 5, self.steps + more + gradients

    def least_passes(self) -> tuple[int, int]:
        """The clean input, and the first step from it."""
        return 2, 1


class FMN(Params):
    """Parameters of the Fast Minimum-Norm attack."""

    steps: int = Field(100, ge=2)
    """Gradient steps."""
    gamma: float | None = Field(None, gt=0, lt=1)
    """How much the radius moves at first, as a share of it; by default 0.05, and 0.3 for L0."""
    gamma_last: float = Field(0.001, gt=0, lt=1)
    """How much it moves at last."""
    rivals: int = Field(9, ge=0)
    """Classes that are compared, by a gradient each, for a second leg a third as long: ours. 0: the paper's one leg."""

    def passes(self) -> tuple[int, int]:
        """One gradient a step and a rival, and one look to find the rivals."""
        looks, gradients, more = _second_leg(self.steps, self.rivals)
        return self.steps + more + looks, self.steps + more + gradients

    def least_passes(self) -> tuple[int, int]:
        """The clean input, and the first step from it."""
        return 2, 1


class SigmaZero(Params):
    """Parameters of σ-zero."""

    steps: int = Field(1000, ge=2)
    """Gradient steps."""
    lr: float = Field(1.0, gt=0)
    """What the steepest value moves by at first, in input units; it falls along a cosine."""
    sigma: float = Field(1e-3, gt=0)
    """How sharply values are counted: those below its root count in part."""
    threshold: float = Field(0.3, gt=0, lt=1)
    """Least change that a value keeps at first; it rises after a success and falls after a failure."""
    pace: float = Field(0.01, gt=0)
    """How much the threshold moves, as a share of what the steepest value moves by."""
    rivals: int = Field(9, ge=0)
    """Classes that are compared, by a gradient each, for a second leg a third as long: ours. 0: the paper's one leg."""

    def passes(self) -> tuple[int, int]:
        """One gradient a step and a rival, and one look to find the rivals."""
        looks, gradients, more = _second_leg(self.steps, self.rivals)
        return self.steps + more + looks, self.steps + more + gradients

    def least_passes(self) -> tuple[int, int]:
        """The clean input, and the first step from it."""
        return 2, 1


class DeepFool(Params):
    """Parameters of DeepFool."""

    steps: int = Field(50, ge=1)
    """Linearizations of a sample at most; on digits two to nine suffice."""
    candidates: int = Field(9, ge=1)
    """Rival classes that are compared at each of them, the likeliest first; at most all others."""
    overshoot: float = Field(0.02, ge=0)
    """By what share a step goes on beyond the boundary."""

    def passes(self) -> tuple[int, int]:
        """A gradient a step and a rival, a look a step, one to find the rivals, and a line search of five at the end."""
        return 6 + self.steps * (self.candidates + 1), self.steps * self.candidates

    def least_passes(self) -> tuple[int, int]:
        """A look to find the rivals, a gradient for each, and a look at the first step."""
        return self.candidates + 2, self.candidates


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
    rivals: int = Field(9, ge=0)
    """Classes that are compared, by a gradient each, for a second leg a third as long: ours. 0: the paper's one leg."""

    def passes(self) -> tuple[int, int]:
        """One gradient a step and a rival, one look to find the rivals, and a line search of five at the end."""
        looks, gradients, more = _second_leg(self.binary_steps, self.rivals)
        steps = (self.binary_steps + more) * self.steps
        return steps + looks + 5, steps + gradients


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
    targeted: bool = True
    """Go for one rival after the other; off: each step goes to the nearest of all their boundaries, for a gradient each."""
    leaps: bool = True
    """Leap away where a run comes no nearer (L2, L1); ours, and it breaks more. Off, as in `autoattack`: runs stay where they are,
    as the paper's do, and L2 projections round as those of its authors' code."""

    def passes(self) -> tuple[int, int]:
        """A look and a gradient (untargeted: one a rival) a step; one look to find the rivals, a line search of five at the end."""
        gradients = self.targets * self.restarts * self.steps
        looks = gradients if self.targeted else self.restarts * self.steps
        return 6 + looks + gradients, gradients

    def least_passes(self) -> tuple[int, int]:
        """A look to find the rivals, a gradient, and a look at the first step."""
        return 3, 1

    def rivals_wanted(self) -> int | None:
        """The targets, where they are said."""
        return self.targets if "targets" in self.model_fields_set else None


COMPONENTS: tuple[Component, ...] = (
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
        version=3,
    ),
    Component(
        kind="attack",
        name="fmn",
        summary="The closest example in L-inf, L2, L1 or L0, by a radius that follows the boundary. One run serves every eps.",
        build="raygrid.attacks.minimal_norm:fmn",
        params=FMN,
        source="Pintor et al., NeurIPS 2021",
        norms=("linf", "l2", "l1", "l0"),
        goals=ALL_GOALS,
        minimal_norm=True,
        version=3,
    ),
    Component(
        kind="attack",
        name="sigma-zero",
        summary="The example with the fewest changed values, by descent on a smooth count of them. One run serves every eps.",
        build="raygrid.attacks.sigma_zero:sigma_zero",
        params=SigmaZero,
        source="Cinà et al., ICLR 2025",
        norms=("l0",),
        goals=ALL_GOALS,
        minimal_norm=True,
        version=2,
    ),
    Component(
        kind="attack",
        name="deepfool",
        summary="Straight to the nearest linearized boundary, again and again until it is crossed: quick, and seldom the closest.",
        build="raygrid.attacks.deepfool:deepfool",
        params=DeepFool,
        source="Moosavi-Dezfooli et al., CVPR 2016",
        norms=("linf", "l2"),
        goals=("untargeted",),
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
        version=3,
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
        version=3,
    ),
)
