"""Glasses, forehead stickers and medical masks lie where people wear them, whatever the template says of the landmarks."""

from math import gamma
from typing import get_args

import numpy as np
import pytest
from scipy.ndimage import label

from raygrid.attacks.catalog_patch import FRAME, ON_FACES
from raygrid.data.alignment import CROP, MARGIN, SIDE, TEMPLATE
from raygrid.data.face_parts import CORNER, EDGE_OF_MASK, FOREHEAD, HINGE, LENS, RIM, TEMPLES, Part, face_mask

EYES, NOSE, MOUTH = TEMPLATE[:2], TEMPLATE[2], TEMPLATE[3:]
APART = np.linalg.norm(EYES[1] - EYES[0])
EVERY = pytest.mark.parametrize("part", get_args(Part))


def near(point, reach):
    """Which pixels of a frame have their middle within a reach of a point (right, down)."""
    right, down = np.meshgrid(np.arange(SIDE), np.arange(SIDE))
    return np.hypot(right - point[0], down - point[1]) <= reach


def extent(mask):
    """The first and last column, and the first and last row, that a mask covers."""
    rows, columns = np.nonzero(mask)
    return columns.min(), columns.max(), rows.min(), rows.max()


def test_the_attack_names_the_same_parts_and_the_same_frame():
    assert get_args(Part) == ON_FACES
    assert FRAME == (3, SIDE, SIDE)


@EVERY
def test_a_part_is_in_one_piece_and_even_on_both_sides(part):
    mask = face_mask(part)
    assert mask.shape == (SIDE, SIDE) and mask.dtype == bool
    assert label(mask)[1] == 1
    left, right, _, _ = extent(mask)
    assert left + right == pytest.approx(EYES[:, 0].sum(), abs=1.5)
    assert (mask != np.roll(mask[:, ::-1], left + right - (SIDE - 1), axis=1)).mean() < 0.002


@EVERY
def test_eyes_are_never_covered(part):
    """Lids that are open as far as any take a third of the eyes' distance, and half of that upright."""
    mask = face_mask(part)
    assert not any((mask & near(eye, 0.25 * APART)).any() for eye in EYES)


def test_glasses_go_around_both_eyes_over_the_nose_and_to_the_temples():
    mask = face_mask("glasses")
    free = label(~mask)[0]
    outside, *lenses = (free[round(down), round(right)] for right, down in ((0, 0), *EYES))
    assert len({outside, *lenses}) == 3, "each lens is closed, and its own"
    for eye, number in zip(EYES, lenses, strict=True):
        left, right, top, bottom = extent(free == number)
        assert ((left + right) / 2, (top + bottom) / 2) == pytest.approx(tuple(eye), abs=0.51)
        assert (right + 1 - left, bottom + 1 - top) == pytest.approx((2 * LENS[0] * APART, 2 * LENS[1] * APART), abs=1)
    left, right, _, bottom = extent(mask)
    assert right + 1 - left == pytest.approx(2 * TEMPLES * APART, abs=1)
    assert bottom < NOSE[1], "its tip is free"


def test_a_forehead_sticker_lies_above_the_brows():
    left, right, top, bottom = extent(face_mask("forehead"))
    assert bottom < EYES[:, 1].min() - 0.45 * APART
    assert top > MARGIN and left > EYES[0, 0] - 0.25 * APART and right < EYES[1, 0] + 0.25 * APART


def test_a_medical_mask_covers_nose_mouth_and_chin():
    mask = face_mask("mask")
    assert all((mask & near(point, 2)).sum() == near(point, 2).sum() for point in (NOSE, *MOUTH))
    _, _, top, bottom = extent(mask)
    assert EYES[:, 1].max() + 0.3 * APART < top < NOSE[1]
    assert bottom > MOUTH[:, 1].mean() + 0.65 * APART
    assert np.diff(mask.sum(1)[round(NOSE[1]) :].astype(int)).max() <= 0, "narrower towards the chin"


def test_frames_are_as_large_as_the_published_ones():
    """Those of Sharif et al. (CCS 2016) take up 6.5 % of an aligned face."""
    assert face_mask("glasses").sum() / CROP**2 == pytest.approx(0.065, abs=0.01)


def test_areas_are_those_of_the_shapes():
    superellipse = 4 * gamma(1 + 1 / CORNER) ** 2 / gamma(1 + 2 / CORNER)
    outer, inner = ((LENS[0] + more) * (LENS[1] + more) * superellipse for more in (RIM, 0))
    bars = 2 * (TEMPLES - 0.5 - LENS[0] - RIM) * RIM + 2 * (0.5 - LENS[0] - RIM) * RIM
    (x0, y0), (x1, y1) = FOREHEAD
    x, y = np.array(EDGE_OF_MASK).T
    half = (x[:-1] * y[1:] - x[1:] * y[:-1]).sum() / 2  # the shoelace formula; the middle line adds nothing
    for part, area in (
        ("glasses", 2 * (outer - inner) + bars),
        ("forehead", (x1 - x0) * (y1 - y0)),
        ("mask", 2 * half),
    ):
        assert face_mask(part).sum() == pytest.approx(area * APART**2, rel=0.05), part
    assert abs(HINGE) + RIM / 2 < LENS[1], "bridge and temples meet the rims"
