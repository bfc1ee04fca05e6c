"""The drawn road signs: each from its id alone, in balance, called synthetic, and with masks that lie on them."""

from collections import Counter
from typing import get_args

import numpy as np
import pytest
from PIL import Image

from raygrid.data import signs
from raygrid.data.catalog import SignClass
from raygrid.data.sign_faces import FACES, face
from raygrid.data.signs import CLASSES, PER_CLASS, pose_of, sign, sign_mask
from raygrid.registry import find

IDS = [f"held-out-{name}-{number:03d}" for number in range(4) for name in CLASSES]


def images(table) -> np.ndarray:
    return table.column("x").combine_chunks().to_numpy_ndarray()


def test_the_first_signs_are_one_of_each_class_in_turn(build):
    dataset = build("road-signs", limit=24)
    assert dataset.table["label"].to_pylist() == [*range(12)] * 2
    assert dataset.class_names == CLASSES
    named = [
        sample_id.rpartition("-")[0].removeprefix("held-out-") for sample_id in dataset.table["sample_id"].to_pylist()
    ]
    assert named == [CLASSES[label] for label in dataset.table["label"].to_pylist()]


def test_signs_of_some_classes_are_those_that_all_signs_have(build):
    everything, some = build("road-signs", limit=36).table, build("road-signs", classes=["yield", "stop"], limit=5)
    assert some.table["sample_id"].to_pylist() == [
        f"held-out-{name}" for name in ("stop-000", "yield-000", "stop-001", "yield-001", "stop-002")
    ]
    assert (some.classes, some.table["label"].to_pylist()) == (12, [0, 1, 0, 1, 0])
    here = dict(zip(everything["sample_id"].to_pylist(), images(everything), strict=True))
    found = zip(some.table["sample_id"].to_pylist(), images(some.table), strict=True)
    assert all(np.array_equal(here[sample_id], image) for sample_id, image in found)


def test_the_names_of_classes_are_those_of_the_drawings():
    assert get_args(SignClass) == CLASSES


@pytest.mark.parametrize("split", PER_CLASS)
def test_a_split_is_balanced_and_shares_no_id_with_the_other(split, build, monkeypatch):
    monkeypatch.setattr(signs, "sign", lambda sample_id, size: np.zeros((3, size, size), np.uint8))
    table = build("road-signs", split=split).table
    assert Counter(table["label"].to_pylist()) == dict.fromkeys(range(12), PER_CLASS[split])
    assert all(sample_id.startswith(f"{split}-") for sample_id in table["sample_id"].to_pylist())


def test_a_sign_is_drawn_from_its_id_whatever_else_is_drawn(build):
    table = build("road-signs", limit=20).table
    assert np.array_equal(images(table)[17], sign(table["sample_id"][17].as_py(), 32))
    assert np.array_equal(images(table)[17], sign(table["sample_id"][17].as_py(), 32))


def test_no_two_signs_of_a_class_are_alike_in_either_split():
    x = np.stack([sign(f"{split}-yield-{number:03d}", 32) for split in PER_CLASS for number in range(20)])
    apart = np.abs(x[:, None].astype(int) - x[None]).mean((2, 3, 4))
    assert apart[~np.eye(40, dtype=bool)].min() > 4


def test_signs_come_in_the_size_that_is_asked_for_and_stand_at_the_same_place(build):
    large = build("road-signs", limit=1, size=64)
    assert large.shape == (3, 64, 64)
    halved = images(large.table)[0].reshape(3, 32, 2, 32, 2).mean((2, 4))
    mask = sign_mask(["held-out-stop-000"], 32)[0, 0]
    redness = halved[0] - halved[1:].mean(0)
    assert redness[mask].mean() > redness[~mask].mean() + 30


def test_everything_that_describes_the_signs_calls_them_synthetic(build):
    dataset = build("road-signs", limit=1)
    for text in (dataset.notes, dataset.source, find("data", "road-signs").summary):
        assert "synthetic" in text.lower()


def test_the_metadata_tell_how_large_and_how_askew_a_sign_is(build):
    table = build("road-signs", limit=48).table
    widths, angles = table["face_width"].to_numpy(), table["view_angle"].to_numpy()
    covered = sign_mask(table["sample_id"].to_pylist(), 32).mean((1, 2, 3))
    assert 0.6 <= widths.min() < 0.65
    assert 0.85 < widths.max() <= 0.88
    assert 0 <= angles.min() < 8
    assert 20 < angles.max() < 34
    discs = [CLASSES[label] in {"no-entry", "keep-right", "ahead-only"} for label in table["label"].to_pylist()]
    area = np.pi / 4 * widths**2 * np.cos(np.radians(angles))
    assert np.allclose(covered[discs], 0.96 * area[discs], rtol=0.2)


# Masks


def test_a_mask_lies_wholly_on_the_face_and_leaves_little_of_it_out(monkeypatch):
    """Two drawings that differ in the face's color only: what differs is the face, and what is all face bears its color purely."""
    monkeypatch.setattr(signs, "_photographed", lambda x, generator: x.transpose(2, 0, 1))
    monkeypatch.setattr(signs.ImageFilter, "GaussianBlur", lambda radius: signs.ImageFilter.BoxBlur(0))
    drawn = []
    for color in ((0, 0, 0), (255, 255, 255)):
        monkeypatch.setattr(signs, "face", lambda name, side, color=color: painted(name, side, color))
        drawn.append(np.stack([sign(sample_id, 32) for sample_id in IDS]).astype(int))
    gap = (drawn[1] - drawn[0]).min(1, keepdims=True)
    opacity = gap / gap.max((1, 2, 3), keepdims=True)  # some faces are more faded than others
    mask = sign_mask(IDS, 32)
    assert mask.any((1, 2, 3)).all()
    assert opacity[mask].min() > 0.99
    assert (opacity[~mask] > 0.99).sum() < 0.01 * mask.sum()
    assert (opacity[~mask] > 0.5).sum() < 0.2 * mask.sum()


def painted(name: str, side: int, color: tuple[int, int, int]) -> Image.Image:
    one_color = Image.new("RGBA", (side, side), (*color, 255))
    one_color.putalpha(face(name, side).getchannel("A"))
    return one_color


def test_the_bars_lie_on_the_face_above_and_below_its_middle():
    whole, bars = sign_mask(IDS, 32), sign_mask(IDS, 32, "bars")
    assert not (bars & ~whole).any()
    for sample_id, bar, all_of_it in zip(IDS, bars[:, 0], whole[:, 0], strict=True):
        pose = pose_of(sample_id)
        row, column = int(32 * pose.down), int(32 * pose.right)
        assert bar[:row].any(), sample_id
        assert bar[row + 1 :].any(), sample_id
        assert not bar[row, column], sample_id
        assert 0.08 < bar.sum() / all_of_it.sum() < 0.45


def test_masks_of_another_size_cover_the_same_part():
    small, large = sign_mask(IDS[:6], 32), sign_mask(IDS[:6], 64)
    assert np.allclose(small.mean((1, 2, 3)), large.mean((1, 2, 3)), rtol=0.12)
    assert small.shape == (6, 1, 32, 32)


@pytest.mark.parametrize("sample_id", ["mnist-5k-0001", "held-out-bus-stop-001", "test-stop-001", ""])
def test_an_id_of_other_data_is_refused(sample_id):
    with pytest.raises(ValueError, match="sample_id"):
        sign_mask([sample_id], 32)


# Faces


@pytest.mark.parametrize("name", FACES)
def test_a_face_fills_its_square_and_leaves_the_corners_free(name):
    opacity = np.asarray(face(name, 160).getchannel("A"))
    assert set(np.unique(opacity)) == {0, 255}
    assert not opacity[[0, 0, -1, -1], [0, -1, 0, -1]].any()
    rows, columns = opacity.any(1).nonzero()[0], opacity.any(0).nonzero()[0]
    assert abs(rows[0] + rows[-1] - 159) <= 6  # in the middle
    assert abs(columns[0] + columns[-1] - 159) <= 2
    assert columns[-1] - columns[0] > 0.85 * 160
