"""The attack in feature space: parameters and entry. Declarations only: imports neither torch nor ray."""

from typing import Literal

from pydantic import Field

from raygrid.component import ALL_GOALS, Component, Params

Start = Literal["turned", "noise", "x1"]


class FeatureSpace(Params):
    """Parameters of feature-space adversarial examples."""

    target_layer: str = Field(min_length=1)
    """The hidden layer in which the example is to lie close to the original, as `raygrid describe VICTIM` lists it."""
    init: Start = "turned"
    """Where the search starts: the sample's own image turned, mirrored and rolled by half a side (far away, and still an image of
    its kind), uniform noise, or the image itself."""
    aware: Literal["none", "input", "hidden", "both"] = "input"
    """Which noise of a defense the attack averages over: none, noise at the input (the source's), in the target layer, or both."""
    lc: float = Field(0.25, ge=0)
    """Weight of being wrong: a hinge on the gap between logits."""
    ls: float = Field(0.5, ge=0)
    """Weight of being wrong under noise at the input: a hinge on the gap between mean probabilities. For `input` and `both`."""
    lh: float = Field(0.5, ge=0)
    """Weight of being wrong under noise in the target layer: likewise. For `hidden` and `both`."""
    s: float = Field(0.075, ge=0)
    """Standard deviation of the noise at the input, in input units."""
    hidden_sigma: float = Field(1.0, ge=0)
    """Standard deviation of the noise in the target layer."""
    hidden_unit: Literal["mean", "absolute"] = "mean"
    """Unit of hidden_sigma: the mean size of the layer's values on the sample's clean image, or 1."""
    draws: int = Field(10, ge=1)
    """Draws of each noise that a step averages over, N0."""
    steps: int = Field(300, ge=1)
    """Steps of Adam."""
    lr: float = Field(0.01, gt=0)
    """Adam's step size, in input units."""

    def passes(self) -> tuple[int, int]:
        """One for the clean features; at every step, forwards and backwards, one each for features and logits, and all draws."""
        each = self.passes_each()
        return 1 + self.steps * each, self.steps * each

    def passes_each(self) -> int:
        """Return how many forward passes a step takes, and as many backward."""
        return 2 + self.draws * {"none": 0, "both": 2}.get(self.aware, 1)

    def averages_over(self) -> str:
        """The noise that it knows of."""
        return {"none": "", "both": "input+hidden"}.get(self.aware, self.aware)

    def looks_into(self) -> str:
        """The target layer."""
        return self.target_layer


COMPONENTS: tuple[Component, ...] = (
    Component(
        kind="attack",
        name="feature-space",
        summary="Examples far from the image at the input, close to it in a hidden layer, and wrong at the output.",
        build="raygrid.attacks.feature_space:feature_space",
        params=FeatureSpace,
        source="Ukita & Ohki, Neural Networks 2023; each image by itself, without their generator",
        goals=ALL_GOALS,
    ),
)
