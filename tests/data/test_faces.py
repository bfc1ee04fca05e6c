"""`orl-faces` and the nets that find faces."""

from collections import Counter

import numpy as np
import pytest
import torch

from raygrid.data.alignment import LANDMARKS, SIDE, TEMPLATE, moved, similarity
from raygrid.data.face_detection import SURE, find_faces, load_nets, locate
from raygrid.data.faces import ORL_PEOPLE, read_landmarks, read_orl, write_landmarks
from raygrid.data.pins import ORL_FACES
from raygrid.data.tiles import read_photos


@pytest.fixture(scope="module")
def nets():
    return load_nets()


@pytest.fixture(scope="module")
def photos():
    rgb = read_photos(["scikit-image/astronaut.png", "ultralytics/zidane.jpg", "foolbox/imagenet_00_243.jpg"])
    return {
        name.partition("/")[2].partition(".")[0]: np.asarray(photo).transpose(2, 0, 1) for name, photo in rgb.items()
    }


def test_there_are_ten_photos_of_each_of_forty_people(build):
    dataset = build("orl-faces")
    table = dataset.table.select(["sample_id", "cluster", "person", "label"]).to_pylist()
    assert Counter(row["person"] for row in table) == dict.fromkeys(ORL_PEOPLE, 10)
    assert len(ORL_PEOPLE) == 40
    for row in table:
        assert row["cluster"] == row["person"] == row["sample_id"].partition("/")[0]
        assert dataset.class_names[row["label"]] == row["person"]


def test_any_limit_shows_people_equally_often(build):
    ids = build("orl-faces", limit=81).table["sample_id"].to_pylist()
    assert ids[:3] + ids[39:41] + ids[80:] == ["s1/1", "s2/1", "s3/1", "s40/1", "s1/2", "s1/3"]


def test_the_notes_and_terms_warn_the_reader(build):
    dataset = build("orl-faces", limit=1)
    assert "easy" in dataset.notes
    assert "by person" in dataset.notes
    assert "own terms are not in the package" in dataset.license


def test_the_listed_landmarks_are_where_the_nets_find_them(nets):
    listed = read_landmarks()
    for name, photo in read_orl(ORL_FACES[::23]).items():
        (face,) = find_faces(nets, photo)
        assert np.abs(face.landmarks - listed[name]).max() < 0.15, name


def test_every_photo_has_landmarks_that_come_near_the_template():
    listed = read_landmarks()
    assert len(listed) == 400
    away = np.array([moved(similarity(points, TEMPLATE), points) - TEMPLATE for points in listed.values()])
    distance = np.linalg.norm(away, axis=2)
    assert distance.mean() < 3
    assert distance.max() < 9


def test_the_face_of_a_frame_is_found_again_where_it_was_put(nets, build):
    listed, table = read_landmarks(), build("orl-faces", limit=40).table
    for name, x in zip(
        table["sample_id"].to_pylist()[::3], table["x"].combine_chunks().to_numpy_ndarray()[::3], strict=True
    ):
        put = moved(similarity(listed[name], TEMPLATE), listed[name])
        assert np.linalg.norm(find_faces(nets, x)[0].landmarks - put, axis=1).max() < 6, name


def test_a_list_of_landmarks_is_read_as_it_was_written(tmp_path):
    landmarks = {"s1/1": np.arange(10).reshape(5, 2) / 10, "s2/1": np.full((5, 2), 71.3)}
    write_landmarks(landmarks, tmp_path / "landmarks.csv")
    read = read_landmarks(tmp_path / "landmarks.csv")
    assert {name: points.tolist() for name, points in read.items()} == {n: p.tolist() for n, p in landmarks.items()}


def test_the_landmarks_are_where_a_person_sees_them(nets, photos):
    (face,) = find_faces(nets, photos["astronaut"])
    by_eye = np.array([(203, 101), (246, 103), (223, 126), (204, 140), (246, 140)])  # read off the enlarged photo
    away = dict(zip(LANDMARKS, np.linalg.norm(face.landmarks - by_eye, axis=1).tolist(), strict=True))
    assert max(away.values()) < 4, away
    left, top, right, bottom = face.box
    assert (face.landmarks > [left, top]).all()
    assert (face.landmarks < [right, bottom]).all()


def test_several_faces_come_the_largest_first(nets, photos):
    faces = find_faces(nets, photos["zidane"])
    assert len(faces) == 2
    assert faces[0].size > faces[1].size
    assert all(face.confidence > SURE[2] for face in faces)


def test_a_larger_photo_has_its_face_in_the_same_place(nets, photos):
    small = photos["astronaut"]
    large = small.repeat(3, axis=1).repeat(3, axis=2)
    (face,), (enlarged,) = (find_faces(nets, photo) for photo in (small, large))
    assert np.abs((enlarged.landmarks - 1) / 3 - face.landmarks).max() < 2


@pytest.mark.parametrize("shape", [(3, 200, 300), (1, 5, 400), (3, 1, 1), (1, 12, 12)])
def test_there_is_no_face_where_there_is_nothing(shape, nets):
    assert find_faces(nets, np.full(shape, 120, np.uint8)) == []


def test_there_is_no_face_in_a_photo_of_a_dog(nets, photos):
    assert find_faces(nets, photos["imagenet_00_243"]) == []


def test_what_the_last_net_sees_has_a_gradient(nets):
    x = torch.full((2, 3, 48, 48), 90.0, requires_grad=True)
    sure, shift, points = locate(nets.output, x)
    assert (sure.shape, shift.shape, points.shape) == ((2,), (2, 4), (2, 5, 2))
    sure.sum().backward()
    assert x.grad.abs().sum() > 0


def test_as_much_of_a_frame_lies_outside_of_its_photo_as_the_notes_say():
    right, down = np.meshgrid(np.arange(SIDE), np.arange(SIDE))
    outside = []
    for points in read_landmarks().values():
        matrix = similarity(points, TEMPLATE)
        source = (np.stack([right, down], -1) - matrix[:, 2]) @ np.linalg.inv(matrix[:, :2]).T
        outside.append(((source < 0) | (source > [91, 111])).any(-1))
    assert np.mean(outside) == pytest.approx(0.51, abs=0.01)
    assert np.mean(np.array(outside)[:, 24:136, 24:136]) == pytest.approx(0.14, abs=0.01)
