"""One perturbation or patch for all samples, learned on samples set apart. Declarations only: imports neither torch nor ray."""

import math
from typing import Annotated, Literal

from pydantic import Field

from raygrid.component import ALL_GOALS, Component, Params

Place = Annotated[float, Field(ge=0, le=1)]


class Universal(Params):
    """Parameters that universal attacks share."""

    epochs: int = Field(20, ge=1)
    """How often the samples set apart are gone through."""
    batch: int = Field(32, ge=1)
    """Samples whose gradients a step adds up."""
    loss: Literal["ce", "margin", "dlr"] = "ce"
    """What is descended on the samples that still stand."""

    def needs_fit(self) -> bool:
        """It is learned once, and laid over every sample."""
        return True

    def fit_passes(self) -> tuple[int, int]:
        """One gradient for each sample and epoch, and a look at what the epoch made."""
        return 2 * self.epochs, self.epochs


class Perturbation(Universal):
    """Parameters of a universal perturbation."""

    step_size: float | None = Field(None, gt=0)
    """Length of the first step in input units, by default eps / 5; it falls to 0 along a cosine."""


class Patch(Universal):
    """Parameters of a universal patch."""

    area: float = Field(0.05, gt=0, le=1)
    """Area of the square that it fills, as a share of the picture's."""
    place: tuple[Place, Place] | Literal["random"] = "random"
    """Middle of the square: down and right, as shares of height and width; `random`: anywhere on the picture, for each sample its
    own place, while learning another one at each step."""
    lr: float = Field(0.05, gt=0)
    """Adam's step size, in input units."""

    def for_pictures(self) -> bool:
        """Always."""
        return True

    @classmethod
    def at(cls, area: float, place: tuple[float, float] | Literal["random"]) -> "Patch":
        """Return a patch of this size and place."""
        return cls.model_validate({"area": area, "place": place})

    def side(self, height: int, width: int) -> int:
        """Return the side of the square, in pixels."""
        return max(1, round(math.sqrt(self.area * height * width)))

    def misfit(self, shape: tuple[int, int, int]) -> str | None:
        """The square lies on the picture."""
        _, height, width = shape
        side = self.side(height, width)
        if side > min(height, width):
            return f"a square of {side} pixels does not lie on {height}x{width}; give it less area"
        if self.place != "random" and any(
            not side / 2 - 0.5 <= middle * length <= length - side / 2 + 0.5
            for middle, length in zip(self.place, (height, width), strict=True)
        ):
            return f"a square of {side} pixels at place {list(self.place)} does not lie on {height}x{width} pixels"
        return None


COMPONENTS: tuple[Component, ...] = (
    Component(
        kind="attack",
        name="universal",
        summary="One perturbation for all samples, learned on samples set apart (splits: {fit: N}).",
        build="raygrid.attacks.universal:universal",
        fit="raygrid.attacks.universal:fit_universal",
        params=Perturbation,
        source="Moosavi-Dezfooli et al., CVPR 2017; by mini-batches as Shafahi et al., AAAI 2020",
        norms=("linf", "l2"),
        goals=ALL_GOALS,
    ),
    Component(
        kind="attack",
        name="universal-patch",
        summary="One square patch for all samples, learned on samples set apart (splits: {fit: N}).",
        build="raygrid.attacks.universal:universal_patch",
        fit="raygrid.attacks.universal:fit_universal_patch",
        params=Patch,
        source="Brown et al., 2017",
        goals=ALL_GOALS,
        mask="raygrid.masks:universal_patch_mask",
    ),
)
