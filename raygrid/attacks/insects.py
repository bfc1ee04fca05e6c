"""A bank of 24 drawn insects for patches that look natural, after Yakura et al. (AAAI 2020). The drawings are raygrid's own.

That paper's patches come from a GAN trained on photos of moths; these are synthetic and fixed, and an attack chooses among them and
where they sit (`raygrid/attacks/paste.py`).
"""

from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

Point = tuple[float, float]
"""Right and down from the insect's middle, from -1 to 1. Only right halves are told; left ones mirror them."""
Color = tuple[int, int, int]

CANVAS = 384
"""Pixels of the side on which an insect is drawn, before it is brought to the wanted size."""
DARK, BROWN, CREAM = (26, 20, 18), (88, 62, 42), (236, 224, 196)


def insects(size: int) -> Tensor:
    """Return the bank: [24, 4, size, size] in [0, 1], red, green, blue and opacity; color is 0 where nothing is.

    Raises:
        ValueError: a size below 1 or above 384 pixels, the size of the drawings.
    """
    if not 1 <= size <= CANVAS:
        raise ValueError(f"size: 1 to {CANVAS} pixels, not {size}")
    return torch.stack([_tensor(insect, size) for insect in BANK])


def _tensor(insect: "Butterfly | Beetle | Bee", size: int) -> Tensor:
    image = Image.new("RGBA", (CANVAS, CANVAS), (0, 0, 0, 0))
    insect.draw(Pen(image))
    small = np.asarray(image.resize((size, size), Image.Resampling.BOX))  # Pillow weighs colors by their opacity
    x = torch.from_numpy(small.astype(np.float32) / 255).permute(2, 0, 1)
    return torch.cat([x[:3] * (x[3:] > 0), x[3:]])


class Pen:
    """Draws every shape twice: as told, and mirrored to the left."""

    def __init__(self, image: Image.Image) -> None:
        self.draw = ImageDraw.Draw(image)
        self.half = image.width / 2

    def fill(self, points: list[Point], color: Color, opacity: int = 255) -> None:
        """Fill a polygon."""
        for side in (1, -1):
            self.draw.polygon([self._place(point, side) for point in points], fill=(*color, opacity))

    def oval(self, center: Point, radii: Point, color: Color) -> None:
        """Fill an upright ellipse."""
        for side in (1, -1):
            (x, y), (rx, ry) = self._place(center, side), (radii[0] * self.half, radii[1] * self.half)
            self.draw.ellipse((x - rx, y - ry, x + rx, y + ry), fill=(*color, 255))

    def line(self, points: list[Point], width: float, color: Color) -> None:
        """Draw a line with round corners and ends."""
        for side in (1, -1):
            placed = [self._place(point, side) for point in points]
            self.draw.line(placed, fill=(*color, 255), width=max(1, round(width * self.half)))
        for point in points:
            self.oval(point, (width / 2, width / 2), color)

    def _place(self, point: Point, side: int) -> Point:
        return (side * point[0] + 1) * self.half, (point[1] + 1) * self.half


def smooth(points: list[Point], steps: int = 10) -> list[Point]:
    """Return a closed curve through the points (Catmull-Rom)."""
    p = np.array(points)
    t = np.linspace(0, 1, steps, endpoint=False)[:, None, None]
    before, after, far = np.roll(p, 1, 0), np.roll(p, -1, 0), np.roll(p, -2, 0)
    curve = 0.5 * (
        2 * p
        + (after - before) * t
        + (2 * before - 5 * p + 4 * after - far) * t**2
        + (3 * p - before - 3 * after + far) * t**3
    )
    return [(float(x), float(y)) for x, y in curve.transpose(1, 0, 2).reshape(-1, 2)]


def shrunk(points: list[Point], share: float) -> list[Point]:
    """Return points moved towards their mean, to this share of the distance."""
    x, y = np.mean(points, axis=0)
    return [(float(x + share * (a - x)), float(y + share * (b - y))) for a, b in points]


FOREWINGS: dict[str, list[Point]] = {
    "broad": [(0.04, -0.2), (0.4, -0.7), (0.9, -0.82), (0.93, -0.5), (0.75, -0.12), (0.4, 0.04), (0.04, 0.02)],
    "pointed": [(0.04, -0.2), (0.45, -0.62), (0.96, -0.86), (0.9, -0.55), (0.62, -0.2), (0.4, 0.02), (0.04, 0.02)],
    "round": [(0.04, -0.18), (0.35, -0.66), (0.72, -0.74), (0.88, -0.45), (0.74, -0.1), (0.4, 0.06), (0.04, 0.04)],
    "moth": [(0.04, -0.22), (0.4, -0.46), (0.94, -0.4), (0.92, -0.1), (0.66, 0.16), (0.35, 0.24), (0.04, 0.1)],
}
HINDWINGS: dict[str, list[Point]] = {
    "round": [(0.04, 0.0), (0.45, 0.02), (0.74, 0.22), (0.68, 0.6), (0.4, 0.76), (0.18, 0.58), (0.04, 0.3)],
    "tailed": [
        (0.04, 0.0),
        (0.5, 0.0),
        (0.7, 0.26),
        (0.58, 0.56),
        (0.54, 0.96),
        (0.44, 0.66),
        (0.22, 0.6),
        (0.04, 0.3),
    ],
    "scalloped": [
        (0.04, 0),
        (0.46, 0.02),
        (0.72, 0.16),
        (0.68, 0.4),
        (0.7, 0.56),
        (0.5, 0.6),
        (0.42, 0.78),
        (0.2, 0.58),
        (0.04, 0.3),
    ],
    "moth": [(0.04, 0.05), (0.4, 0.16), (0.66, 0.26), (0.66, 0.54), (0.4, 0.68), (0.16, 0.5), (0.04, 0.34)],
}


@dataclass(frozen=True)
class Butterfly:
    """A butterfly or, with feathered antennae and a thick body, a moth, its wings spread."""

    ground: Color
    edge: Color
    fore: str = "broad"
    hind: str = "round"
    hind_ground: Color | None = None
    """Default: as the forewing's."""
    border: float = 0.2
    """Width of the edge, as a share of the wing."""
    dots: Color | None = None
    """Of small dots along the edge."""
    eye: tuple[Color, Color] | None = None
    """Rings of an eye spot on each wing, outer and inner."""
    band: Color | None = None
    """Of a band across both wings."""
    veins: Color | None = None
    moth: bool = False

    def draw(self, pen: Pen) -> None:
        """Draw it."""
        for shape, ground in (
            (HINDWINGS[self.hind], self.hind_ground or self.ground),
            (FOREWINGS[self.fore], self.ground),
        ):
            self._wing(pen, shape, ground)
        self._body(pen)

    def _wing(self, pen: Pen, shape: list[Point], ground: Color) -> None:
        outline = smooth(shape)
        inner = shrunk(outline, 1 - self.border)
        pen.fill(outline, self.edge)
        pen.fill(inner, ground)
        (root, *_), tips = shape, shape[1:-1]
        middle = (float(np.mean([x for x, _ in outline])), float(np.mean([y for _, y in outline])))
        if self.band:
            ends = shrunk([tips[0], tips[-1]], 1.0)
            toward = [(0.55 * x + 0.45 * middle[0], 0.55 * y + 0.45 * middle[1]) for x, y in ends]
            pen.line([toward[0], (middle[0] + 0.08, middle[1]), toward[1]], 0.09, self.band)
        if self.veins:
            for tip in shrunk(tips, 0.9):
                pen.line([root, tip], 0.018, self.veins)
        if self.dots:
            for point in shrunk(outline, 1 - self.border / 2)[10:-20:6]:
                pen.oval(point, (0.035, 0.035), self.dots)
        if self.eye:
            for radius, color in ((0.15, self.eye[0]), (0.1, self.eye[1]), (0.05, DARK)):
                pen.oval((middle[0] + 0.1, middle[1]), (radius, radius), color)

    def _body(self, pen: Pen) -> None:
        thick = 0.1 if self.moth else 0.06
        pen.oval((0, 0.22), (thick, 0.38), DARK if not self.moth else BROWN)
        pen.oval((0, -0.14), (thick * 1.25, 0.18), DARK)
        pen.oval((0, -0.34), (thick, 0.08), DARK)
        feeler = [(0.03, -0.38), (0.14, -0.62), (0.26, -0.76)]
        pen.line(feeler, 0.02, DARK)
        if self.moth:
            for share in (0.25, 0.45, 0.65, 0.85):
                x, y = 0.03 + 0.23 * share, -0.38 - 0.38 * share
                pen.line([(x - 0.06, y + 0.02), (x, y), (x + 0.06, y + 0.06)], 0.018, DARK)
        else:
            pen.oval(feeler[-1], (0.03, 0.03), DARK)
        if self.moth:
            for ring in range(4):
                pen.line([(0, 0.1 + 0.11 * ring), (thick * 0.8, 0.1 + 0.11 * ring)], 0.03, CREAM)


@dataclass(frozen=True)
class Beetle:
    """A beetle or ladybug from above, its wing cases closed."""

    shell: Color
    mark: Color = DARK
    width: float = 0.46
    """Half of the wing cases' width, as a share of half the side."""
    spots: tuple[tuple[float, float, float], ...] = ()
    """Right, down and radius of each spot, as shares of the shell."""
    stripes: int = 0
    """How many stripes run along each wing case."""
    bands: int = 0
    """How many bands run across both."""
    horns: bool = False

    def draw(self, pen: Pen) -> None:
        """Draw it."""
        w = self.width
        for y, reach in ((-0.2, 0.1), (0.12, 0.22), (0.42, 0.36)):
            pen.line([(w * 0.7, y), (w + 0.16, y + reach * 0.3), (w + 0.24, y + reach)], 0.06, DARK)
        feeler = (
            [(0.1, -0.66), (0.22, -0.86), (0.38, -0.92)]
            if not self.horns
            else [(0.1, -0.6), (0.3, -0.78), (0.16, -0.96)]
        )
        pen.line(feeler, 0.07 if self.horns else 0.03, DARK)
        pen.oval((0, -0.6), (w * 0.5, 0.17), DARK)
        pen.oval((0, -0.42), (w * 0.8, 0.2), DARK)
        pen.oval((w * 0.38, -0.45), (0.06, 0.06), CREAM)
        shell = smooth([(0, -0.36), (w * 0.8, -0.3), (w, 0.1), (w * 0.78, 0.6), (0, 0.86)])
        pen.fill([*shell, (0, 0.86)], DARK)
        pen.fill(shrunk(shell, 0.93), self.shell)
        for stripe in range(self.stripes):
            x = w * (stripe + 1) / (self.stripes + 1)
            top, bottom = -0.28 + 0.1 * x / w, 0.78 - 0.4 * (x / w) ** 2
            pen.line([(x * 0.8, top), (x, 0.1), (x * 0.8, bottom)], 0.045, self.mark)
        for band in range(self.bands):
            y = -0.1 + 0.72 * band / max(1, self.bands - 1)
            pen.line([(0, y), (w * (0.85 - 0.5 * max(0.0, y) ** 2), y + 0.04)], 0.12, self.mark)
        for x, y, radius in self.spots:
            pen.oval((w * x, y), (radius, radius), self.mark)
        pen.line([(0, -0.34), (0, 0.84)], 0.03, DARK)


@dataclass(frozen=True)
class Bee:
    """A bee or wasp from above, its clear wings spread."""

    light: Color
    dark: Color = DARK
    waist: float = 0.3
    """Half of the belly's width."""

    def draw(self, pen: Pen) -> None:
        """Draw it."""
        for points in (
            [(0.08, -0.18), (0.5, -0.42), (0.92, -0.4), (0.9, -0.16), (0.5, 0.0), (0.08, -0.08)],
            [(0.08, -0.06), (0.45, 0.0), (0.7, 0.16), (0.6, 0.34), (0.3, 0.22), (0.08, 0.04)],
        ):
            wing = smooth(points)
            pen.fill(wing, BROWN, 200)
            pen.fill(shrunk(wing, 0.9), (222, 226, 230), 150)
        for y in (-0.3, -0.1, 0.08):
            pen.line([(0.1, y), (0.34, y + 0.06), (0.42, y + 0.2)], 0.035, self.dark)
        belly = smooth([(0, 0.0), (self.waist * 0.8, 0.1), (self.waist, 0.36), (self.waist * 0.6, 0.72), (0, 0.92)])
        pen.fill(belly, self.dark)
        for y, width in ((0.16, 0.78), (0.38, 0.86), (0.6, 0.66)):
            pen.line([(0, y), (self.waist * width, y - 0.02)], 0.1, self.light)
        pen.oval((0, -0.16), (0.22, 0.22), self.dark)
        pen.oval((0, -0.18), (0.16, 0.15), self.light)
        pen.oval((0, -0.46), (0.17, 0.13), self.dark)
        pen.oval((0.11, -0.48), (0.05, 0.08), BROWN)
        pen.line([(0.05, -0.54), (0.14, -0.72), (0.26, -0.78)], 0.03, self.dark)


SEVEN = ((0.42, -0.06, 0.1), (0.62, 0.28, 0.11), (0.36, 0.54, 0.09), (0.0, -0.24, 0.09))
TWO = ((0.5, 0.14, 0.17),)
MANY = (
    (0.35, -0.14, 0.06),
    (0.7, 0.0, 0.06),
    (0.3, 0.16, 0.06),
    (0.68, 0.3, 0.06),
    (0.34, 0.44, 0.06),
    (0.4, 0.66, 0.05),
)

BANK: tuple[Butterfly | Beetle | Bee, ...] = (
    Butterfly((232, 126, 30), DARK, dots=CREAM, veins=DARK),
    Butterfly((246, 214, 96), DARK, fore="pointed", hind="tailed", veins=DARK, dots=(60, 90, 170), border=0.24),
    Butterfly((52, 112, 214), DARK, fore="broad", border=0.16, veins=(30, 60, 130)),
    Butterfly((176, 54, 34), DARK, hind="scalloped", eye=((240, 206, 90), (70, 110, 200)), border=0.14),
    Butterfly((244, 242, 232), (70, 68, 70), fore="round", border=0.08, veins=(170, 168, 160)),
    Butterfly((40, 36, 40), DARK, hind="scalloped", band=(222, 66, 36), dots=CREAM),
    Butterfly((250, 224, 70), (236, 150, 30), fore="round", border=0.16, eye=((250, 240, 200), (236, 110, 30))),
    Butterfly((34, 150, 136), DARK, fore="pointed", hind="tailed", band=(150, 226, 190), border=0.18),
    Butterfly((150, 110, 200), (60, 40, 96), fore="round", dots=(236, 226, 250), border=0.2),
    Butterfly((204, 140, 84), BROWN, hind="scalloped", veins=BROWN, dots=DARK, border=0.22),
    Butterfly((158, 134, 104), BROWN, "moth", "moth", band=CREAM, moth=True),
    Butterfly(
        (206, 194, 170), (120, 104, 86), "moth", "moth", eye=((90, 70, 60), (226, 190, 110)), moth=True, border=0.14
    ),
    Butterfly(
        (110, 124, 92), (66, 74, 52), "moth", "moth", hind_ground=(224, 130, 120), band=(170, 180, 140), moth=True
    ),
    Butterfly((94, 68, 56), DARK, "moth", "moth", hind_ground=(214, 110, 50), dots=CREAM, moth=True),
    Butterfly((230, 226, 214), (190, 182, 164), "moth", "moth", dots=DARK, moth=True, border=0.1),
    Beetle((206, 34, 28), width=0.62, spots=SEVEN),
    Beetle((36, 32, 34), (214, 44, 34), width=0.6, spots=TWO),
    Beetle((240, 182, 40), width=0.6, spots=MANY),
    Beetle((34, 128, 70), (110, 200, 120), width=0.46, stripes=2),
    Beetle((236, 200, 70), width=0.5, stripes=3),
    Beetle((92, 48, 30), (140, 84, 50), width=0.5, stripes=2, horns=True),
    Beetle((222, 92, 30), width=0.42, bands=3),
    Bee((240, 184, 40)),
    Bee((248, 222, 60), waist=0.22),
)
"""Ten butterflies, five moths, seven beetles and two bees."""
