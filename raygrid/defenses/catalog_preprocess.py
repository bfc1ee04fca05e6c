"""What is done to a picture before the victim sees it: parameters and entries. Declarations only: imports neither torch nor ray."""

from typing import Literal

from pydantic import Field, model_validator

from raygrid.component import Component, Params


class Picture(Params):
    """Parameters of what changes a picture."""

    def for_pictures(self) -> bool:
        """Always."""
        return True


class Jpeg(Picture):
    """Parameters of JPEG compression."""

    quality: int = Field(75, ge=1, le=100)
    """Quality, as libjpeg counts it: 100 loses least."""
    chroma: Literal["4:2:0", "4:2:2", "4:4:4"] = "4:2:0"
    """How coarsely color is sampled beside brightness; of no effect on gray pictures."""


class BitDepth(Picture):
    """Parameters of fewer levels of brightness."""

    bits: int = Field(4, ge=1, le=8)
    """Bits that each value is rounded to: 2^bits levels from 0 to 1. 8 leaves a picture out of a file as it is."""


class Median(Picture):
    """Parameters of the median filter."""

    size: int = Field(3, ge=1)
    """Side of the window in pixels; 1 changes nothing. Of an even number of values, the upper of the two in the middle is taken."""


class TotalVariation(Picture):
    """Parameters of total variation minimization."""

    weight: float = Field(0.03, ge=0)
    """Weight of the total variation beside half the squared distance from the picture; 0 changes nothing."""
    drop: float = Field(0.5, ge=0, lt=1)
    """Share of the values, drawn anew at each look, that count for nothing in that distance and are filled in."""
    steps: int = Field(100, ge=1)
    """Steps of the primal-dual method."""

    def draws_at_random(self) -> bool:
        """Whether values are dropped."""
        return self.drop > 0

    @model_validator(mode="after")
    def _fills_in(self) -> "TotalVariation":
        if self.drop > 0 and self.weight == 0:
            raise ValueError("weight 0 would not fill in what is dropped; give a weight, or drop: 0")
        return self


class ResizePad(Picture):
    """Parameters of random resizing and padding."""

    least: float = Field(0.9, gt=0, le=1)
    """The smallest that the picture is made, as a share of its size; 1 changes nothing."""

    def draws_at_random(self) -> bool:
        """Whether there is more than one size."""
        return self.least < 1


COMPONENTS: tuple[Component, ...] = (
    Component(
        kind="defense",
        name="jpeg",
        summary="The picture goes through a JPEG file.",
        build="raygrid.defenses.preprocess:ThroughJpeg",
        params=Jpeg,
        source="Das et al., KDD 2018; Guo et al., ICLR 2018",
    ),
    Component(
        kind="defense",
        name="bit-depth",
        summary="Values are rounded to fewer levels.",
        build="raygrid.defenses.preprocess:Rounded",
        params=BitDepth,
        source="Xu et al., NDSS 2018; Guo et al., ICLR 2018",
    ),
    Component(
        kind="defense",
        name="median",
        summary="Each value becomes the median of its neighborhood.",
        build="raygrid.defenses.preprocess:Smoothed",
        params=Median,
        source="Xu et al., NDSS 2018",
    ),
    Component(
        kind="defense",
        name="total-variation",
        summary="Values dropped at random, and the smoothest picture near the rest.",
        build="raygrid.defenses.total_variation:LeastVariation",
        params=TotalVariation,
        source="Guo et al., ICLR 2018; Rudin, Osher & Fatemi 1992",
    ),
    Component(
        kind="defense",
        name="resize-pad",
        summary="The picture made smaller at random, somewhere on a black canvas.",
        build="raygrid.defenses.preprocess:ResizedAndPadded",
        params=ResizePad,
        source="Xie et al., ICLR 2018",
    ),
)
