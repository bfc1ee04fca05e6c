"""Common corruptions: what befalls pictures without any attacker. Declarations only: imports neither torch nor ray."""

from typing import Literal

from pydantic import Field

from raygrid.component import Component, Params

CorruptionKind = Literal[
    "gaussian-noise",
    "shot-noise",
    "impulse-noise",
    "speckle-noise",
    "gaussian-blur",
    "defocus-blur",
    "motion-blur",
    "zoom-blur",
    "fog",
    "frost-like",
    "snow-like",
    "brightness",
    "contrast",
    "saturate",
    "elastic",
    "pixelate",
    "jpeg",
]


class Corruption(Params):
    """Parameters of a common corruption. It takes no look at the victim."""

    kind: CorruptionKind
    """What befalls the picture."""
    severity: int = Field(ge=1, le=5)
    """How badly: 1 to 5, after ImageNet-C. Lengths in pixels go with the size of the picture."""

    def for_pictures(self) -> bool:
        """Always."""
        return True

    def misfit(self, shape: tuple[int, int, int]) -> str | None:
        """Gray or color pictures only, and gray ones have no saturation."""
        channels = shape[0]
        if channels not in (1, 3):
            return f"corruptions are for pictures of 1 or 3 channels, not {channels}"
        if channels == 1 and self.kind == "saturate":
            return 'gray pictures have no saturation to change; leave "kind: saturate" out of the grid'
        return None


COMPONENTS: tuple[Component, ...] = (
    Component(
        kind="attack",
        name="corruption",
        summary="Noise, blur, weather and compression without any attacker: stability under change, after ImageNet-C.",
        build="raygrid.attacks.corruptions:corruption",
        params=Corruption,
        source="after Hendrycks & Dietterich, ICLR 2019; not identical to ImageNet-C",
        access="none",
        goals=("untargeted",),
    ),
)
