"""Where things that people wear lie on a face in the canonical frame: glasses, a forehead sticker, a medical mask.

All are drawn from the template that landmarks are brought to, see alignment.py, and so are the same on every frame. Lengths are in
distances of the eyes, 63 mm on most adults, and points are counted right and down from the middle between the eyes. No torch.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import Literal

import numpy as np

from raygrid.data.alignment import SIDE, TEMPLATE

Part = Literal["glasses", "forehead", "mask"]

LENS = (0.36, 0.27)
"""Half of a lens's width and height: 45 x 34 mm, which a large eye does not fill."""
RIM = 0.12
"""Width of the rim around it, and height of bridge and temples: 7.5 mm, thick frames, as those of Sharif et al."""
CORNER = 4
"""Exponent of the superellipses that lenses and rims are: rectangles with round corners."""
HINGE = 0.05
"""How far bridge and temples lie above the eyes, in the middle of their height."""
TEMPLES = 1.12
"""From the middle to where the temples turn back: frames 141 mm wide."""
FOREHEAD = ((-0.7, -1.0), (0.7, -0.5))
"""Corners of the sticker: 88 x 32 mm, clear of brows, some of which reach 0.45 above the eyes."""
EDGE_OF_MASK = ((0.0, 0.4), (0.9, 0.55), (0.85, 1.15), (0.4, 1.85), (0.0, 1.9))
"""Right half of a medical mask's edge, from the bridge of the nose by the cheek and the jaw to below the chin. Convex."""


def face_mask(part: Part) -> np.ndarray:
    """Return which pixels of a canonical frame a thing covers: bool [160, 160], pixels whose middle it covers."""
    across, down = np.meshgrid(*(np.arange(SIDE) - middle for middle in TEMPLATE[:2].mean(0)))
    covered: np.ndarray = PARTS[part](across / EYES_APART, down / EYES_APART)
    return covered


EYES_APART = float(np.linalg.norm(TEMPLATE[1] - TEMPLATE[0]))


def _glasses(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Eyeglass frames (Sharif et al., CCS 2016): rims, a bridge, the front of the temples. Lenses are free."""
    from_eye = np.abs(x) - 0.5
    lens, rim = (_round(from_eye / (LENS[0] + more), y / (LENS[1] + more)) for more in (0, RIM))
    bar = (np.abs(y + HINGE) <= RIM / 2) & (np.abs(x) <= TEMPLES)
    return np.asarray((rim | bar) & ~lens)


def _round(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.asarray(np.abs(x) ** CORNER + np.abs(y) ** CORNER <= 1)


def _forehead(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """A rectangle between hair and brows, as on the hats of Komkov & Petiushko (ICPR 2020)."""
    (left, top), (right, bottom) = FOREHEAD
    return (left <= x) & (x <= right) & (top <= y) & (y <= bottom)


def _mask(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """A medical mask, as that of Zolfi et al. (ECML PKDD 2022)."""
    x, inside = np.abs(x), np.ones(x.shape, dtype=bool)
    for (x0, y0), (x1, y1) in pairwise(EDGE_OF_MASK):
        inside &= (x1 - x0) * (y - y0) >= (y1 - y0) * (x - x0)  # on the right hand of who walks along the edge
    return inside


PARTS: dict[Part, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "glasses": _glasses,
    "forehead": _forehead,
    "mask": _mask,
}
