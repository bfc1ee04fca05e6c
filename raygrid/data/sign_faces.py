"""The faces of twelve road signs, drawn flat with straight strokes and plain shapes. The drawings are raygrid's own.

They follow the idea of the signs of the Vienna Convention (1968) and show no country's sign exactly.
"""

from collections.abc import Callable
from functools import cache
from math import cos, pi, radians, sin

from PIL import Image, ImageDraw

Point = tuple[float, float]
"""Right and down from the sign's middle; the face lies between -1 and 1."""
Color = tuple[int, int, int]

RED, BLUE, YELLOW, WHITE, BLACK = (192, 24, 34), (14, 78, 160), (248, 196, 24), (244, 244, 240), (24, 24, 26)


def regular(corners: int, radius: float, first: float) -> list[Point]:
    """Return the corners of a regular polygon, clockwise from the one at `first` degrees right of the top."""
    angles = [radians(first) + 2 * pi * k / corners for k in range(corners)]
    return [(radius * sin(angle), -radius * cos(angle)) for angle in angles]


def arc(center: Point, radii: Point, start: float, end: float) -> list[Point]:
    """Return points along an ellipse, from `start` to `end` degrees; 0 is at the right and 90 at the bottom."""
    steps = 24
    angles = [radians(start + (end - start) * k / steps) for k in range(steps + 1)]
    return [(center[0] + radii[0] * cos(angle), center[1] + radii[1] * sin(angle)) for angle in angles]


GLYPHS: dict[str, list[list[Point]]] = {
    "0": [arc((0, 0), (0.55, 1), 0, 360)],
    "3": [arc((-0.05, -0.5), (0.55, 0.5), -150, 90), arc((-0.05, 0.5), (0.6, 0.5), -90, 150)],
    "5": [[(0.5, -1), (-0.4, -1), (-0.5, -0.1)], arc((-0.05, 0.36), (0.6, 0.64), -140, 140)],
    "8": [arc((0, -0.5), (0.47, 0.5), 0, 360), arc((0, 0.5), (0.58, 0.5), 0, 360)],
    "S": [[*arc((0, -0.5), (0.52, 0.5), -25, -270), *arc((0, 0.5), (0.55, 0.5), -90, 155)]],
    "T": [[(-0.6, -1), (0.6, -1)], [(0, -1), (0, 1)]],
    "O": [arc((0, 0), (0.6, 1), 0, 360)],
    "P": [[(-0.5, 1), (-0.5, -1)], [(-0.5, -1), *arc((0.05, -0.45), (0.5, 0.55), -90, 90), (-0.5, 0.1)]],
}
"""The strokes of each character, in a cell from -1 to 1."""


class Pen:
    """Draws on a square image [side, side] in the face's own places, whatever its size."""

    def __init__(self, image: Image.Image) -> None:
        self.draw = ImageDraw.Draw(image)
        self.half = image.width / 2

    def polygon(self, points: list[Point], color: Color) -> None:
        """Fill a polygon."""
        self.draw.polygon([self._place(point) for point in points], fill=color)

    def disc(self, center: Point, radius: float, color: Color) -> None:
        """Fill a disc."""
        (x, y), r = self._place(center), radius * self.half
        self.draw.ellipse((x - r, y - r, x + r, y + r), fill=color)

    def stroke(self, points: list[Point], width: float, color: Color) -> None:
        """Draw a line through the points, with round corners and ends."""
        self.draw.line([self._place(point) for point in points], fill=color, width=round(width * self.half))
        for point in points:
            self.disc(point, width / 2, color)

    def rounded(self, points: list[Point], rounding: float, color: Color) -> None:
        """Fill a polygon whose corners are rounded outwards by a disc of this radius."""
        self.polygon(points, color)
        self.stroke([*points, points[0]], 2 * rounding, color)

    def text(self, text: str, *, height: float, width: float, stroke: float, color: Color) -> None:
        """Write a line of text around the middle. Each character gets an equal share of the width."""
        cell = width / len(text)
        for place, character in enumerate(text):
            middle = (place - (len(text) - 1) / 2) * cell
            for points in GLYPHS[character]:
                placed = [(middle + x * cell * 0.6, y * (height - stroke) / 2) for x, y in points]
                self.stroke(placed, stroke, color)

    def arrow(self, tail: list[Point], tip: Point, width: float, color: Color) -> None:
        """Draw an arrow along the points of its tail, whose head ends at the tip."""
        self.stroke(tail, width, color)
        (x, y), (x0, y0) = tip, tail[-1]
        length = ((x - x0) ** 2 + (y - y0) ** 2) ** 0.5
        right, down = (x - x0) / length, (y - y0) / length
        back = (x - right * 2 * width, y - down * 2 * width)
        side = (-down * 1.45 * width, right * 1.45 * width)
        self.polygon([tip, (back[0] + side[0], back[1] + side[1]), (back[0] - side[0], back[1] - side[1])], color)

    def _place(self, point: Point) -> Point:
        return (point[0] + 1) * self.half, (point[1] + 1) * self.half


UP, DOWN = regular(3, 1.0, 0), regular(3, 1.0, 60)
"""Corners of the triangles before their rounding."""


def _triangle(pen: Pen, corners: list[Point], drop: float) -> None:
    """A red triangle with a white middle. Its corners lie on a circle, so it is moved down (or up) into the square's middle."""
    for share, rounding, color in ((0.9, 0.1, RED), (0.6, 0.05, WHITE)):
        pen.rounded([(share * x, share * y + drop) for x, y in corners], rounding, color)


def _stop(pen: Pen) -> None:
    pen.polygon(regular(8, 1.0, 22.5), WHITE)
    pen.polygon(regular(8, 0.92, 22.5), RED)
    pen.text("STOP", height=0.62, width=1.5, stroke=0.12, color=WHITE)


def _yield(pen: Pen) -> None:
    _triangle(pen, DOWN, -0.22)


def _no_entry(pen: Pen) -> None:
    pen.disc((0, 0), 0.98, WHITE)
    pen.disc((0, 0), 0.92, RED)
    pen.polygon([(-0.68, -0.18), (0.68, -0.18), (0.68, 0.18), (-0.68, 0.18)], WHITE)


def _speed_limit(speed: str) -> Callable[[Pen], None]:
    def face(pen: Pen) -> None:
        pen.disc((0, 0), 0.98, RED)
        pen.disc((0, 0), 0.74, WHITE)
        pen.text(speed, height=0.92, width=1.06, stroke=0.17, color=BLACK)

    return face


def _priority_road(pen: Pen) -> None:
    pen.rounded(regular(4, 0.92, 0), 0.06, BLACK)
    pen.rounded(regular(4, 0.88, 0), 0.06, WHITE)
    pen.rounded(regular(4, 0.58, 0), 0.04, YELLOW)


def _blue_disc(pen: Pen) -> None:
    pen.disc((0, 0), 0.98, WHITE)
    pen.disc((0, 0), 0.93, BLUE)


def _ahead_only(pen: Pen) -> None:
    _blue_disc(pen)
    pen.arrow([(0, 0.62), (0, -0.25)], (0, -0.74), 0.24, WHITE)


def _keep_right(pen: Pen) -> None:
    _blue_disc(pen)
    pen.arrow([(-0.42, -0.42), (0.2, 0.2)], (0.54, 0.54), 0.24, WHITE)


def _roundabout(pen: Pen) -> None:
    _blue_disc(pen)
    for turn in (0, 120, 240):
        tail = arc((0, 0), (0.5, 0.5), turn, turn + 62)
        (tip,) = arc((0, 0), (0.52, 0.52), turn + 102, turn + 102)[:1]
        pen.arrow(tail, tip, 0.17, WHITE)


def _crossroads(pen: Pen) -> None:
    _triangle(pen, UP, 0.22)
    for side in (-1, 1):
        pen.stroke([(-0.17 * side, 0.06), (0.17 * side, 0.46)], 0.14, BLACK)


def _children(pen: Pen) -> None:
    _triangle(pen, UP, 0.22)
    for middle, top, size in ((-0.16, 0.02, 1.0), (0.17, 0.16, 0.75)):
        pen.disc((middle, top), 0.085 * size, BLACK)
        hip, foot = top + 0.3 * size, top + 0.48 * size
        pen.stroke([(middle, top + 0.14 * size), (middle, hip)], 0.11 * size, BLACK)
        pen.stroke([(middle - 0.13 * size, top + 0.26 * size), (middle + 0.13 * size, top + 0.18 * size)], 0.06, BLACK)
        for side in (-1, 1):
            pen.stroke([(middle, hip), (middle + 0.11 * side * size, foot)], 0.07, BLACK)


FACES: dict[str, Callable[[Pen], None]] = {
    "stop": _stop,
    "yield": _yield,
    "no-entry": _no_entry,
    "speed-limit-30": _speed_limit("30"),
    "speed-limit-50": _speed_limit("50"),
    "speed-limit-80": _speed_limit("80"),
    "priority-road": _priority_road,
    "ahead-only": _ahead_only,
    "keep-right": _keep_right,
    "roundabout": _roundabout,
    "crossroads": _crossroads,
    "children": _children,
}
"""Names of the classes, in the order of their labels, and who draws them."""


@cache
def face(name: str, side: int) -> Image.Image:
    """Return the face of a sign as an RGBA image [side, side], opaque where the sign is. Callers must not draw on it."""
    image = Image.new("RGBA", (side, side), (0, 0, 0, 0))
    FACES[name](Pen(image))
    return image
