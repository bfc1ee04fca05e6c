"""The similarity and the photo seen through it, held to planes of gray, on which bilinear interpolation is exact."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage.transform import SimilarityTransform

from raygrid.data.alignment import ARCFACE, LANDMARKS, SIDE, TEMPLATE, coarser, frame, moved, similarity, warp

angles = st.floats(-np.pi, np.pi)
scales = st.floats(0.05, 20)
shifts = st.tuples(st.floats(-500, 500), st.floats(-500, 500))
seeds = st.integers(0, 10_000)


def turn(angle, scale, shift):
    """A similarity [2, 3] by what it does."""
    c, s = scale * np.cos(angle), scale * np.sin(angle)
    return np.array([[c, -s, shift[0]], [s, c, shift[1]]])


def random_points(seed):
    return np.random.default_rng(seed).normal(50, 30, (5, 2))


@given(seeds, angles, scales, shifts)
def test_a_similarity_is_found_again_from_what_it_did_to_points(seed, angle, scale, shift):
    points, matrix = random_points(seed), turn(angle, scale, shift)
    assert np.allclose(similarity(points, moved(matrix, points)), matrix, atol=1e-7)


@given(seeds, seeds)
def test_it_is_the_similarity_of_umeyama(seed, other):
    points, onto = random_points(seed), random_points(other + 1)
    assert np.allclose(similarity(points, onto), SimilarityTransform.from_estimate(points, onto).params[:2], atol=1e-7)


@given(seeds, seeds, st.floats(-0.1, 0.1), st.floats(-0.1, 0.1), shifts)
def test_no_other_similarity_comes_nearer(seed, other, angle, growth, shift):
    points, onto = random_points(seed), random_points(other + 1)
    best = similarity(points, onto)
    change = turn(angle, 1 + growth, np.multiply(shift, 0.01))
    rival = np.column_stack([change[:, :2] @ best[:, :2], moved(change, best[:, 2])])
    least, more = (((moved(matrix, points) - onto) ** 2).sum() for matrix in (best, rival))
    assert least <= more + 1e-9 * (1 + more)


def test_faces_are_never_mirrored():
    found = similarity(TEMPLATE * [-1, 1], TEMPLATE)
    assert np.linalg.det(found[:, :2]) > 0


def test_points_in_one_place_have_no_similarity():
    with pytest.raises(ValueError, match="all in one place"):
        similarity(np.ones((5, 2)), TEMPLATE)


def places(height, width):
    """A photo [2, H, W] whose channels say where each pixel is: right, and down."""
    down, right = np.mgrid[:height, :width]
    return np.stack([right, down]).astype(np.uint8)


@given(angles, st.floats(0.15, 6), st.tuples(st.floats(40, 200), st.floats(40, 160)))
def test_every_pixel_comes_from_where_the_similarity_says(angle, scale, middle):
    photo, side = places(190, 250), 31
    matrix = turn(angle, scale, (0, 0))
    matrix[:, 2] = side / 2 - moved(matrix, np.array([middle]))[0]
    seen = warp(photo, matrix, side)
    down, right = np.mgrid[:side, :side]
    back = np.linalg.inv(matrix[:, :2])
    source = (np.stack([right, down], -1) - matrix[:, 2]) @ back.T
    margin = 1 / scale + 1
    inside = np.all((source > margin) & (source < np.array([249, 189]) - margin), axis=-1)
    assert inside.any()
    error = np.abs(seen.transpose(1, 2, 0) - source)[inside]
    assert (
        error.max() <= (0.5 if scale > 0.5 else 1.0) + 1e-6
    )  # rounded once, and once more where blocks are averaged first


def test_nothing_is_changed_by_a_similarity_that_changes_nothing():
    photo = np.random.default_rng(0).integers(0, 256, (3, 40, 40), dtype=np.uint8)
    assert (warp(photo, turn(0, 1, (0, 0)), 40) == photo).all()


def test_the_edge_goes_on_outside_of_the_photo():
    photo = np.random.default_rng(0).integers(0, 256, (3, 30, 20), dtype=np.uint8)
    seen = warp(photo, turn(0, 1, (10, 5)), 40)
    assert (seen == np.pad(photo, ((0, 0), (5, 5), (10, 10)), mode="edge")).all()


def test_a_quarter_turn_moves_whole_pixels():
    photo = np.random.default_rng(0).integers(0, 256, (1, 40, 40), dtype=np.uint8)
    seen = warp(photo, np.array([[0.0, 1, 0], [-1, 0, 39]]), 40)
    assert (seen[0] == np.rot90(photo[0])).all()


def test_a_fine_photo_is_averaged_and_not_skipped_through():
    stripes = np.zeros((1, 160, 160), np.uint8)
    stripes[:, :, ::4] = 200
    assert set(np.unique(warp(stripes, turn(0, 0.25, (-0.375, -0.375)), 40))) == {50}


def test_blocks_average_to_their_mean():
    photo = np.arange(16, dtype=np.uint8).reshape(1, 4, 4) * 2
    assert coarser(photo, 2).tolist() == [[[5, 9], [21, 25]]]


@given(angles, st.floats(0.3, 3), st.floats(-20, 20), st.floats(-20, 20))
def test_landmarks_come_to_the_template(angle, scale, right, down):
    matrix = turn(angle, scale, (0, 0))
    matrix[:, 2] = np.array([120 + right, 120 + down]) - moved(matrix, TEMPLATE[2:3])[0]
    landmarks = moved(matrix, TEMPLATE)
    photo = np.concatenate([places(240, 240), np.zeros((1, 240, 240), np.uint8)])
    seen = frame(photo, landmarks)
    assert seen.shape == (3, SIDE, SIDE)
    for (x, y), landmark in zip(TEMPLATE.round().astype(int), moved(matrix, TEMPLATE.round()), strict=True):
        if ((landmark > 5) & (landmark < 234)).all():
            assert np.allclose(seen[:2, y, x], landmark, atol=1.01)


def test_a_gray_photo_gives_three_equal_channels():
    photo = np.random.default_rng(0).integers(0, 256, (1, 112, 92), dtype=np.uint8)
    seen = frame(photo, TEMPLATE - 30)
    assert (seen == seen[:1]).all()
    assert (seen == frame(np.repeat(photo, 3, axis=0), TEMPLATE - 30)).all()


def test_the_middle_of_a_frame_is_the_crop_of_arcface():
    assert np.allclose(TEMPLATE - (SIDE - 112) // 2, ARCFACE)
    assert len(LANDMARKS) == len(TEMPLATE)
