"""Several views of a picture that vote, or are held against each other: parameters and entries. Imports neither torch nor ray."""

from typing import Literal

from pydantic import Field, model_validator

from raygrid.component import Component
from raygrid.defenses.catalog_preprocess import Picture


class MultiScale(Picture):
    """Parameters of votes over scales, crops and mirror images."""

    scales: tuple[float, ...] = Field((0.8, 1.0, 1.25), min_length=1)
    """Sizes at which the picture is shown, as factors of its own: cropped where too large, on black where too small."""
    crops: Literal["center", "corners"] = "center"
    """Where a picture of another size is cropped, or stands: in the middle, or there and in the four corners."""
    flips: bool = False
    """Whether each view is shown mirrored, too."""
    vote: Literal["majority", "mean"] = "mean"
    """What decides among the views: most votes, or the mean of the probabilities."""
    alarm_above: float | None = Field(None, ge=0, lt=1)
    """Raise the alarm where more than this share of the views disagrees with the vote. Default: never."""

    def detects(self) -> bool:
        """Whether it may raise the alarm."""
        return self.alarm_above is not None

    def reads_classes(self) -> bool:
        """Whether views have classes to vote for, or to disagree on."""
        return self.vote == "majority" or self.detects()

    @model_validator(mode="after")
    def _sizes(self) -> "MultiScale":
        if wrong := [scale for scale in self.scales if not 0 < scale <= 10]:
            raise ValueError(f"scales are factors above 0 and at most 10, not {wrong[0]:g}")
        return self


class Squeezing(Picture):
    """Parameters of feature squeezing."""

    threshold: float = Field(ge=0, le=2)
    """Raise the alarm where the L1 distance between the probabilities of the picture and of any squeezed one is above this. No two
    are farther apart than 2. Xu et al. choose it so that 5 % of the clean pictures raise the alarm."""
    bits: int | None = Field(5, ge=1, le=8)
    """Squeeze to so many bits; null: not."""
    median: int | None = Field(2, ge=2)
    """Squeeze by a median filter of this size; null: not."""

    def detects(self) -> bool:
        """Whether it may raise the alarm."""
        return True

    def reads_classes(self) -> bool:
        """Always: it compares probabilities."""
        return True

    @model_validator(mode="after")
    def _squeezes(self) -> "Squeezing":
        if self.bits is None and self.median is None:
            raise ValueError("nothing to squeeze by: give bits, median or both")
        return self


COMPONENTS: tuple[Component, ...] = (
    Component(
        kind="defense",
        name="multi-scale",
        summary="Votes over the picture at several scales, crops and mirrored.",
        build="raygrid.defenses.multi_scale:MultiScaled",
        params=MultiScale,
        source="Lu et al. 2017; Guo et al., ICLR 2018",
    ),
    Component(
        kind="defense",
        name="feature-squeezing",
        summary="Raises the alarm where the answer changes with fewer bits or a median filter; the answers stay.",
        build="raygrid.defenses.squeezing:Squeezed",
        params=Squeezing,
        source="Xu et al., NDSS 2018",
    ),
)
