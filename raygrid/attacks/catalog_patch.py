"""The attacks on printed and painted things: what changes is a part of the picture, by any amount. Declarations only: imports
neither torch nor ray."""

import math
from typing import Annotated, Literal

from pydantic import Field

from raygrid.component import ALL_GOALS, Component, Params

Place = Annotated[float, Field(ge=0, le=1)]
ROUNDING = 1e-6
"""Pixels by which a sticker may reach over the edge."""
LEAST_SIDE = 16
"""Pixels of the side of signs on which the bars hold 6 pixels at least; on 8 they hold none on one in 57."""
RIM = 2
"""Pixels by which a pasted square that is turned reaches farther than its side, at both ends together."""
ON_SIGNS = ("bars", "face")
"""Masks that follow a drawn sign."""
ON_FACES = ("glasses", "forehead", "mask")
"""Masks that lie on a face, see data/face_parts.py."""
FRAME = (3, 160, 160)
"""Shape of a canonical frame, see data/alignment.py."""


class Sticker(Params):
    """Parameters of RP2 stickers."""

    mask: Literal["square", "disk", "bars", "face", "glasses", "forehead", "mask"] = "square"
    """Where the sticker lies: a square or a disk of `area` at `place`, on any picture; on `road-signs`, two bars across the sign or
    its whole face; where faces are verified, the frames of `glasses`, a rectangle on the `forehead`, or a medical `mask`. A system
    aligns faces anew in every view. Say how far apart that leaves them: `{use: view, rotation: 2, scale: 0.03, shift: 0.01}`
    (MTCNN after default views of 80 ORL photos: 9 in 10 are within 1.5 degrees, 3 % and 1 %)."""
    place: tuple[Place, Place] = (0.5, 0.5)
    """Middle of a square or disk: down and right, as shares of height and width."""
    area: float = Field(0.05, gt=0, le=1)
    """Area of a square or disk, as a share of the picture's."""
    steps: int = Field(300, ge=1)
    """Steps of Adam."""
    lr: float = Field(0.05, gt=0)
    """Adam's step size, in input units. Adam's steps are as long whatever the loss's scale: the default is for faces, too."""
    closeness: float = Field(0.0, ge=0)
    """Weight of the sticker's distance from what it covers, against the loss, a gap between logits. Where faces are verified,
    that is twice a gap between similarities, and all weights must be far smaller: start with 0.01."""
    closeness_norm: Literal["l2", "l1"] = "l2"
    """Norm of that distance."""
    printability: float = Field(0.0, ge=0)
    """Weight of the non-printability score: how far its pixels' colors lie from the nearest printable ones, summed. Where
    faces are verified, start with 0.0003: it makes glasses' score 30 % lower, and 0.001 makes it 60 % lower and halves success."""
    smoothness: float = Field(0.0, ge=0)
    """Weight of its total variation, summed over its pixels. Where faces are verified, start with 0.0003: it halves that of
    glasses, and 0.001 makes it 80 % lower and halves success."""

    def for_pictures(self) -> bool:
        """Always."""
        return True

    def passes(self) -> tuple[int, int]:
        """One gradient a step, and a last look."""
        return self.steps + 1, self.steps

    def misfit(self, shape: tuple[int, int, int]) -> str | None:
        """A square or disk lies on the picture and covers a pixel; faces are in their frames; printed colors are red, green and
        blue."""
        channels, height, width = shape
        if self.printability and channels != 3:
            return f"printability is of pictures of 3 channels, not {channels}"
        if self.mask in ON_SIGNS:
            return _too_small(self.mask, height, width)
        if self.mask in ON_FACES:
            return None if shape == FRAME else _no_frame(self.mask, shape)
        reach = self.radius(height, width)
        this = f"a {self.mask} of {2 * reach:.3g} pixels"
        if reach < 1:
            return f"{this} covers hardly one of {height}x{width}; give it more area"
        for middle, side in zip(self.place, (height, width), strict=True):
            if not reach - ROUNDING <= middle * side <= side - reach + ROUNDING:
                return f"{this} at place {list(self.place)} does not lie on {height}x{width} pixels"
        return None

    def radius(self, height: int, width: int) -> float:
        """Return half of a square's side, or a disk's radius, in pixels."""
        return math.sqrt(self.area * height * width / (4 if self.mask == "square" else math.pi))

    def only_on(self) -> str | None:
        """Bars and faces are places on drawn signs."""
        return "road-signs" if self.mask in ON_SIGNS else None

    def only_on_faces(self) -> bool:
        """Nobody wears glasses but faces."""
        return self.mask in ON_FACES


class Insects(Params):
    """Parameters of natural-looking patches."""

    area: float = Field(0.1, gt=0, le=0.5)
    """Area of the square that an insect fills at most, as a share of the picture's."""
    least: float = Field(0.25, gt=0, le=1)
    """The smallest insect, as a share of `area`."""
    queries: int = Field(600, ge=3)
    """Looks at the victim for each sample: two a step, and one at the end."""
    explore: float = Field(0.5, ge=0, le=1)
    """Share of the steps that try any insect at any place; the others refine the best one's place, angle and size."""
    search: Literal["random", "pgpe"] = "random"
    """How it is refined: `random` walks to what is better; `pgpe` follows estimated gradients of a distribution of placements."""
    within: Literal["picture", "face"] = "picture"
    """Where it may sit: anywhere, or, on `road-signs`, on the sign; what reaches over the edge is cut off."""

    def for_pictures(self) -> bool:
        """Always."""
        return True

    def passes(self) -> tuple[int, int]:
        """Two looks a step, and a last one."""
        return 2 * ((self.queries - 1) // 2) + 1, 0

    def misfit(self, shape: tuple[int, int, int]) -> str | None:
        """Insects are drawn in color."""
        channels, height, width = shape
        if channels != 3:
            return f"insects are drawn in 3 channels, not {channels}"
        side = (self.area * self.least * height * width) ** 0.5
        if side < 3:
            return f"the smallest insects, of {side:.2g} pixels, are blots on {height}x{width}; give them more area"
        return _too_small(self.within, height, width) if self.within in ON_SIGNS else None

    def most_pixels(self, shape: tuple[int, int, int]) -> int:
        """Those of the largest insect's square, and of a smooth rim."""
        _, height, width = shape
        return math.floor((math.sqrt(self.area * height * width) + RIM) ** 2)

    def only_on(self) -> str | None:
        """Faces are places on drawn signs."""
        return "road-signs" if self.within == "face" else None


def _too_small(part: str, height: int, width: int) -> str | None:
    """Say that a part of a drawn sign may hold no pixel; None where each holds some."""
    if min(height, width) >= LEAST_SIDE:
        return None
    return f"the {part} of a sign on {height}x{width} pixels may hold none; draw signs of {LEAST_SIDE} pixels at least"


def _no_frame(mask: str, shape: tuple[int, int, int]) -> str:
    """Say that there is no face where the mask would lie."""
    frame, found = ("x".join(map(str, sides)) for sides in (FRAME, shape))
    return f'mask "{mask}" lies on a face in its canonical frame of {frame}, as orl-faces has them, and not on {found}'


COMPONENTS: tuple[Component, ...] = (
    Component(
        kind="attack",
        name="insects",
        summary="Patches that look natural: a drawn insect, and where it sits, chosen by scores alone.",
        build="raygrid.attacks.insect_search:insect_search",
        params=Insects,
        source="after Yakura, Akimoto & Sakuma, AAAI 2020; drawings instead of a GAN",
        access="score",
        goals=ALL_GOALS,
        mask="raygrid.masks:insect_mask",
    ),
    Component(
        kind="attack",
        name="sticker",
        summary="RP2: what is printed on a sticker of given shape and place, optimized through the views of a channel.",
        build="raygrid.attacks.sticker:sticker",
        params=Sticker,
        source="Eykholt et al., CVPR 2018",
        goals=ALL_GOALS,
        mask="raygrid.masks:sticker_mask",
    ),
)
