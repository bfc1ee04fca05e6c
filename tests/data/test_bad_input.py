"""What bad data gets: one clear message that names the field, the sample and the fix."""

import io
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from raygrid.data.check import check
from raygrid.data.dataset import Dataset, make_table
from raygrid.errors import UsageError

N = 6
X = np.random.default_rng(0).random((N, 3, 8, 8), dtype=np.float32)
Y = np.arange(N) % 3
IDS = [f"s{i}" for i in range(N)]


def with_value(value, sample=4):
    x = X.copy()
    x[sample, 1, 2, 3] = value
    return x


def encoded(mode="RGB", size=(8, 8), kind="png"):
    file = io.BytesIO()
    Image.new(mode, size).save(file, kind)
    return file.getvalue()


NPZ = {
    "no such file": ({"path": "onw.npz"}, {}, ["path", '"onw.npz"', 'did you mean "own.npz"']),
    "no such folder": ({"path": "nowhere/own.npz"}, {}, ["path", "nowhere", "does not exist"]),
    "no labels": ({}, {"y": None, "yy": Y}, ["path", 'no array "y"', "yy", "np.savez"]),
    "other lengths": ({}, {"y": Y[:4]}, ["differ in length", "'x': 6", "'y': 4"]),
    "text labels": ({}, {"y": ["cat"] * N}, ['"y"', "integers", "cat"]),
    "fractional labels": ({}, {"y": Y + 0.5}, ['"y"', "integers", "0.5"]),
    "one-hot labels": ({}, {"y": np.eye(3)[Y]}, ['"y"', "argmax"]),
    "negative labels": ({}, {"y": Y - 1}, ['sample "0"', "label -1", "0..1"]),
    "labels above the classes": ({"classes": 2}, {}, ['sample "2"', "label 2", "0..1", "classes"]),
    "names for other classes": ({"class_names": ["a", "b"], "classes": 3}, {}, ["2 class_names", "3 classes"]),
    "pixels up to 255": ({}, {"x": np.float32(255) * X}, ['sample "0"', "divide by 255", "uint8"]),
    "one pixel too bright": ({}, {"x": with_value(1.5)}, ['sample "4"', "1.5"]),
    "normalized pixels": ({}, {"x": with_value(-2.0)}, ['sample "4"', "-2", "normalization"]),
    "not a number": ({}, {"x": with_value(np.nan)}, ['sample "4"', "NaN"]),
    "infinity": ({}, {"x": with_value(np.inf)}, ['sample "4"', "inf"]),
    "integers that are not bytes": ({}, {"x": (255 * X).astype(int)}, ['"x"', "int64", "uint8"]),
    "Python objects": ({}, {"x": np.array([None] * N)}, ["path", "Python objects"]),
    "a shape that says nothing": ({}, {"x": np.zeros((N, 3, 8, 3), np.uint8)}, ["layout: NCHW", "layout: NHWC"]),
    "channels nowhere": ({}, {"x": np.zeros((N, 4, 8, 8), np.uint8)}, ["layout: NCHW", "(6, 4, 8, 8)"]),
    "vectors": ({}, {"x": np.zeros((N, 64), np.uint8)}, ['"x"', "(6, 64)", "[N, C, H, W]"]),
    "images without pixels": ({}, {"x": X[:, :, :0]}, ['"x"', "(6, 3, 0, 8)"]),
    "nothing": ({}, {"x": X[:0], "y": Y[:0]}, ["empty", "limit"]),
    "one id twice": ({}, {"ids": ["a", "b", "c", "d", "e", "b"]}, ['id "b"', "2 samples"]),
    "an unknown parameter": ({"layuot": "NCHW"}, {}, ['unknown parameter "layuot"', 'did you mean "layout"']),
}


@pytest.mark.parametrize(("values", "arrays", "words"), NPZ.values(), ids=NPZ.keys())
def test_a_bad_npz_is_refused(values, arrays, words, tmp_path, monkeypatch, build):
    monkeypatch.chdir(tmp_path)
    kept = {name: array for name, array in {"x": X, "y": Y, **arrays}.items() if array is not None}
    np.savez("own.npz", **kept)
    assert_told(words, lambda: build("npz", **{"path": "own.npz", **values}))


@pytest.mark.parametrize(
    "content", [b"<html>not found</html>", b"PK\x03\x04 cut off", b""], ids=["html", "cut", "empty"]
)
def test_a_file_that_is_no_npz_is_refused(content, tmp_path, build):
    (tmp_path / "own.npz").write_bytes(content)
    assert_told(["path", "own.npz"], lambda: build("npz", path=str(tmp_path / "own.npz")))


def test_a_single_array_is_not_taken_for_an_archive(tmp_path, build):
    np.save(tmp_path / "own.npy", X)
    assert_told(["one array", "np.savez"], lambda: build("npz", path=str(tmp_path / "own.npy")))


FOLDER = {
    "a truncated image": ({}, {"ant/1.png": encoded(size=(64, 64))[:60]}, ["ant/1.png", "cannot be read"]),
    "a truncated photo": ({}, {"ant/1.jpg": encoded(size=(64, 64), kind="jpeg")[:-40]}, ["ant/1.jpg", "truncated"]),
    "a web page": ({}, {"ant/1.jpg": b"<html>"}, ["ant/1.jpg", "not an image"]),
    "mixed sizes": ({}, {"ant/1.png": encoded(size=(9, 8))}, ["size", "9 x 8", "8 x 8", "state `size`"]),
    "deep pixels": ({}, {"ant/1.png": encoded("I;16")}, ["ant/1.png", "8 bits"]),
    "a class that is not named": ({"class_names": ["ant", "bea"]}, {}, ["class_names", '"bee"', 'did you mean "bea"']),
    "no such folder": ({"path": "onw"}, {}, ["path", '"onw"', 'did you mean "own"']),
    "a file": ({"path": "own/ant/0.png"}, {}, ["path", "not a folder"]),
    "no sub-folders": ({"path": "own/ant"}, {}, ["path", "sub-folders"]),
    "a size of nothing": ({"size": 0}, {}, ["size", "greater than or equal to 1"]),
}


@pytest.mark.parametrize(("values", "files", "words"), FOLDER.values(), ids=FOLDER.keys())
def test_a_bad_image_folder_is_refused(values, files, words, tmp_path, monkeypatch, build):
    monkeypatch.chdir(tmp_path)
    for name, content in {"ant/0.png": encoded(), "bee/0.png": encoded(), **files}.items():
        (tmp_path / "own" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "own" / name).write_bytes(content)
    assert_told(words, lambda: build("image-folder", **{"path": "own", **values}))


def test_sub_folders_without_images_are_an_empty_dataset(tmp_path, build):
    (tmp_path / "ant").mkdir()
    assert_told(["empty"], lambda: build("image-folder", path=str(tmp_path)))


PNG = encoded()
TABLE = {
    "no such column": ({"label": "lable"}, {}, ["label", '"lable"', 'did you mean "label"', "image"]),
    "a missing image": ({}, {"image": [PNG] * 5 + [None]}, ["image", "row 5"]),
    "a path in place of the bytes": (
        {},
        {"image": [{"bytes": PNG, "path": ""}] * 5 + [{"bytes": None, "path": "a.png"}]},
        ["image", "row 5"],
    ),
    "a truncated image": ({}, {"image": [PNG] * 3 + [PNG[:40]] * 3}, ["image", "row 3"]),
    "images as text": ({}, {"image": ["a.png"] * N}, ["image", "string", "binary"]),
    "a missing label": ({}, {"label": [0, 1, None, 0, 1, 2]}, ["label", "row 2"]),
    "text labels without names": ({}, {"label": ["cat"] * N}, ["label", "cat", "class_names"]),
    "a text label without a name": (
        {"class_names": ["ant", "cat"]},
        {"label": ["cat", "cta"] * 3},
        ["label", '"cta"', 'did you mean "cat"'],
    ),
    "flat lists without a shape": ({}, {"image": [[0] * 12] * N}, ["image", "12 numbers", "`shape`"]),
    "lists of another shape": ({"shape": [3, 2, 3]}, {"image": [[0] * 12] * N}, ["shape", "12 numbers", "[3, 2, 3]"]),
    "lists that differ in length": ({"shape": [3, 2, 2]}, {"image": [[0] * 12] * 5 + [[0] * 9]}, ["image", "differ"]),
    "numbers that are not bytes": ({"shape": [3, 2, 2]}, {"image": [[0] * 12] * N}, ["image", "int64", "uint8"]),
    "one id twice": ({"id": "who"}, {"who": ["a", "b", "c", "d", "e", "b"]}, ['id "b"', "2 samples"]),
    "a missing id": ({"id": "who"}, {"who": ["a", "b", "c", None, "e", "f"]}, ["id", "row 3"]),
    "no rows": ({}, {"image": pa.array([], pa.binary()), "label": pa.array([], pa.int64())}, ["empty"]),
}


@pytest.mark.parametrize(("values", "columns", "words"), TABLE.values(), ids=TABLE.keys())
def test_a_bad_table_is_refused(values, columns, words, tmp_path, build):
    rows = pa.table({"image": [PNG] * N, "label": Y, **columns})
    pq.write_table(rows, tmp_path / "own.parquet")
    assert_told(words, lambda: build("parquet", path=str(tmp_path / "own.parquet"), **values))


@pytest.mark.parametrize("use", ["parquet", "arrow"])
def test_a_file_of_another_format_is_refused(use, tmp_path, build):
    (tmp_path / "own.table").write_bytes(b"<html>not found</html>")
    assert_told(["path", "own.table", use.capitalize()], lambda: build(use, path=str(tmp_path / "own.table")))


VISION = {
    "no such dataset": ({"name": "CIFRA10"}, ['"CIFRA10"', 'did you mean "CIFAR10"']),
    "not downloaded": ({"name": "CIFAR10"}, ["CIFAR10", "downloads no dataset"]),
    "no such split": ({"name": "CIFAR10", "split": "val"}, ["split", '"train" and "test"', '"val"']),
    "no splits at all": ({"name": "ImageFolder", "split": "val"}, ["split", "leave it out"]),
    "no root": ({"name": "CIFAR10", "root": "/nowhere/at/all"}, ["root", "/nowhere/at"]),
    "not built from a root": ({"name": "FakeData"}, ["FakeData", "root"]),
}


@pytest.mark.parametrize(("values", "words"), VISION.values(), ids=VISION.keys())
def test_a_bad_torchvision_dataset_is_refused(values, words, tmp_path, build):
    assert_told(words, lambda: build("torchvision", **{"root": str(tmp_path), **values}))


def dataset(**changes):
    return replace(Dataset(name="mine", table=make_table(IDS, X, Y), classes=3), **changes)


def test_a_right_dataset_passes():
    check(dataset())


CONTRACT = {
    "a column is missing": (lambda t: t.drop_columns("cluster"), ["cluster", "make_table"]),
    "a column stands twice": (lambda t: t.append_column("label", t["label"]), ["several columns", "label"]),
    "labels are floats": (
        lambda t: t.set_column(2, "label", t["label"].cast("double")),
        ['"label"', "int64", "double"],
    ),
    "ids are numbers": (lambda t: t.set_column(0, "sample_id", t["label"]), ['"sample_id"', "string", "int64"]),
    "images are lists": (lambda t: t.set_column(3, "x", [[[0]] * N]), ['"x"', "tensor"]),
    "a cluster is missing": (lambda t: t.set_column(1, "cluster", [[*IDS[:5], None]]), ['"cluster"', "1 rows"]),
}


@pytest.mark.parametrize(("change", "words"), CONTRACT.values(), ids=CONTRACT.keys())
def test_a_dataset_that_breaks_the_contract_is_refused(change, words):
    broken = dataset(table=change(dataset().table))
    assert_told(['data "mine"', *words], lambda: check(broken))


def test_the_sample_that_is_named_is_the_one_that_is_wrong_in_any_chunk():
    x = np.zeros((200, 1, 2, 2), np.float32)
    x[150, 0, 1, 1] = 3
    table = make_table([f"s{i}" for i in range(200)], x, np.zeros(200, int))
    chunks = pa.concat_tables([table.slice(0, 70), table.slice(70)])
    assert_told(['sample "s150"', "pixel value 3"], lambda: check(dataset(table=chunks)))


def assert_told(words, action):
    with pytest.raises(UsageError) as caught:
        action()
    assert len(caught.value.messages) == 1
    assert [word for word in words if word not in str(caught.value)] == [], str(caught.value)
