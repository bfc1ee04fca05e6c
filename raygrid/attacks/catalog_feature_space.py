"""The attack in feature space, in its two forms: parameters and entries. Declarations only: imports neither torch nor ray."""

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from raygrid.component import ALL_GOALS, Component, Params

Start = Literal["turned", "noise", "x1"]


class Nearness(Params):
    """Parameters of what feature-space examples are to be: near in a hidden layer, wrong at the output, also under noise."""

    target_layer: str = Field(min_length=1)
    """The hidden layer in which the example is to lie close to the original, as `raygrid describe VICTIM` lists it."""
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

    def passes_each(self) -> int:
        """Return how many forward passes a step takes, and as many backward."""
        return 2 + self.draws * {"none": 0, "both": 2}.get(self.aware, 1)

    def averages_over(self) -> str:
        """The noise that it knows of."""
        return {"none": "", "both": "input+hidden"}.get(self.aware, self.aware)

    def looks_into(self) -> str:
        """The target layer."""
        return self.target_layer


class FeatureSpace(Nearness):
    """Parameters of feature-space adversarial examples, each searched by itself."""

    init: Start = "turned"
    """Where the search starts: the sample's own image turned, mirrored and rolled by half a side (far away, and still an image of
    its kind), uniform noise, or the image itself."""
    steps: int = Field(300, ge=1)
    """Steps of Adam."""
    lr: float = Field(0.01, gt=0)
    """Adam's step size, in input units."""

    def passes(self) -> tuple[int, int]:
        """One for the clean features; at every step, forwards and backwards, one each for features and logits, and all draws."""
        each = self.passes_each()
        return 1 + self.steps * each, self.steps * each


PRESETS: dict[str, dict[str, Any]] = {
    "vgg16": {"target_layer": "net.features.20", "lc": 0.25, "ladv": 0.25, "ls": 0.5},
    "resnet50": {"target_layer": "net.layer3.5.relu", "lc": 0.00025, "ladv": 0.00025, "ls": 0.01},
}
"""Published weights for networks trained on STL-10 at 96x96, in the ReLU behind conv4_2 and behind layer3; layers as the victims
`torchvision:vgg16` and `torchvision:resnet50` name them."""


class FeatureGenerator(Nearness):
    """Parameters of a generator of feature-space adversarial examples."""

    preset: Literal["vgg16", "resnet50"] | None = None
    """The source's target_layer, lc, ladv and ls for one of its two victims, where they are not said; the layer as
    `torchvision:vgg16` or `torchvision:resnet50` has it. The source trained for 1,500 epochs on 8,000 photos of STL-10: raygrid's
    presets were never run at that scale, on those photos or on its weights."""
    target_layer: str = ""
    """The hidden layer in which the example is to lie close to the original, as `raygrid describe VICTIM` lists it. Needed where no
    preset says it."""
    learns_from: Literal["fit", "attacked"] = "fit"
    """Images that the generator learns on. `fit`: those set apart (splits: {fit: N}); it is then frozen, and applied to images that
    it never saw. `attacked`: as the source's, the very images that are attacked, a shard of the data at a time (its `shard`), each
    with a generator of its own; the examples are those of the last epoch, by statistics of their batches."""
    ladv: float = Field(0.25, ge=0)
    """Weight of looking real to a discriminator, which learns at the same time."""
    epochs: int = Field(100, ge=1)
    """How often the images are gone through; 1,500 in the source."""
    batch: int = Field(32, ge=1)
    """Images of a step, at most; all steps of an epoch have as many, or one less."""
    width: int = Field(64, ge=1)
    """Channels of generator and discriminator behind their first layer; each further one has twice as many, up to eight times."""
    lr: float = Field(1e-4, gt=0)
    """Adam's step size for the generator."""
    lr_d: float = Field(4e-4, gt=0)
    """Adam's step size for the discriminator."""

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, said: Any) -> Any:
        preset = said.get("preset") if isinstance(said, dict) else None
        return {**PRESETS[preset], **said} if isinstance(preset, str) and preset in PRESETS else said

    @model_validator(mode="after")
    def _has_a_layer(self) -> Self:
        if not self.target_layer:
            raise ValueError(f"target_layer: say which, or take it from a preset: {', '.join(PRESETS)}")
        return self

    def needs_fit(self) -> bool:
        """It is trained once, on samples set apart."""
        return self.learns_from == "fit"

    def fit_passes(self) -> tuple[int, int]:
        """A look at the clean image and one at its features; in every epoch, forwards and backwards, what a step takes."""
        each = self.epochs * self.passes_each()
        return 2 + each, each

    def passes(self) -> tuple[int, int]:
        """None, once it is trained; else those of its training."""
        return (0, 0) if self.needs_fit() else self.fit_passes()

    def misfit(self, shape: tuple[int, int, int]) -> str | None:
        """There is something to halve."""
        return None if min(shape[1:]) >= 2 else "pictures of at least 2x2 pixels can be halved"

    def for_pictures(self) -> bool:
        """Its networks take pictures."""
        return True


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
    Component(
        kind="attack",
        name="feature-space-generator",
        summary="Such examples by a generator, learned on samples set apart (splits: {fit: N}) or on those attacked.",
        build="raygrid.attacks.feature_generator:feature_generator",
        fit="raygrid.attacks.feature_generator:fit_feature_generator",
        params=FeatureGenerator,
        source="Ukita & Ohki, Neural Networks 2023",
        # A generator sees nothing but the image: it can't know of a target that is another for each.
        goals=("untargeted", "targeted"),
    ),
)
