"""Data that people bring: every format carries the same twelve images, and is read to the same samples."""

import io
import json
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from raygrid.data.dataset import pixels

N, SIDE, CLASSES = 12, 8, ("ant", "bee", "cat")
LABELS = np.arange(N) % 3
X = np.random.default_rng(0).integers(0, 256, (N, 3, SIDE, SIDE), dtype=np.uint8)
X_LAST = X.transpose(0, 2, 3, 1)
TEXTS = [CLASSES[label] for label in LABELS]


def png(x):
    file = io.BytesIO()
    Image.fromarray(x.transpose(1, 2, 0)).save(file, "png")
    return file.getvalue()


PNGS = [png(x) for x in X]
FIXED = pa.fixed_shape_tensor(pa.uint8(), (3, SIDE, SIDE))
IMAGES = {
    "binary": pa.array(PNGS),
    "hugging face": pa.array([{"bytes": file, "path": None} for file in PNGS]),
    "nested": pa.array(X_LAST.tolist(), pa.list_(pa.list_(pa.list_(pa.uint8())))),
    "flat": pa.array(X.reshape(N, -1).tolist(), pa.list_(pa.uint8())),
    "tensor": pa.ExtensionArray.from_storage(FIXED, pa.FixedSizeListArray.from_arrays(X.reshape(-1), 3 * SIDE * SIDE)),
}


def table(images="binary", label=LABELS, **columns):
    return pa.table({"image": IMAGES[images], "label": label, **columns})


def write_npz(folder, **arrays):
    np.savez(folder / "own.npz", **{"x": X, "y": LABELS, **arrays})
    return {"path": str(folder / "own.npz")}


def write_folder(folder):
    for i, (file, name) in enumerate(zip(PNGS, TEXTS, strict=True)):
        (folder / name).mkdir(exist_ok=True)
        (folder / name / f"{i:02d}.png").write_bytes(file)
    (folder / "ant" / "notes.txt").write_text("not an image")
    return {"path": str(folder)}


def write_parquet(folder, rows):
    pq.write_table(rows, folder / "own.parquet")
    return {"path": str(folder / "own.parquet")}


def write_parquet_folder(folder, rows):
    for part, start in enumerate(range(0, N, 5)):
        pq.write_table(rows.slice(start, 5), folder / f"part-{part}.parquet")
    return {"path": str(folder)}


def write_ipc(folder, rows, new=pa.ipc.new_file):
    with pa.OSFile(str(folder / "own.arrow"), "wb") as sink, new(sink, rows.schema) as writer:
        writer.write_table(rows, max_chunksize=5)
    return {"path": str(folder / "own.arrow")}


def write_mnist(folder, count=6):
    """MNIST as torchvision finds it unpacked: gray images of digits sorted by class."""
    raw = folder / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for part, classes in {"train": [0, 1], "t10k": [3, 7]}.items():
        digits = np.resize(X, count * 28 * 28)
        head = b"".join(value.to_bytes(4, "big") for value in (0x803, count, 28, 28))
        (raw / f"{part}-images-idx3-ubyte").write_bytes(head + digits.tobytes())
        labels = np.repeat(classes, count // 2).astype(np.uint8)
        head = b"".join(value.to_bytes(4, "big") for value in (0x801, count))
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(head + labels.tobytes())
    return {"name": "MNIST", "root": str(folder)}


@dataclass(frozen=True)
class Source:
    use: str
    write: object
    params: dict
    ids: object = None


SOURCES = {
    "npz": Source("npz", write_npz, {}),
    "npz, channels last": Source("npz", lambda f: write_npz(f, x=X_LAST), {}),
    "npz, layout stated": Source("npz", lambda f: write_npz(f, x=X_LAST), {"layout": "NHWC"}),
    "npz, floats": Source("npz", lambda f: write_npz(f, x=X / 255), {}),
    "npz, half floats": Source("npz", lambda f: write_npz(f, x=(X / 255).astype(np.float16)), {}),
    "npz, whole float labels": Source("npz", lambda f: write_npz(f, y=LABELS.astype(float)), {}),
    "image-folder": Source("image-folder", write_folder, {}),
    "parquet": Source("parquet", lambda f: write_parquet(f, table()), {}),
    "parquet, a folder": Source("parquet", lambda f: write_parquet_folder(f, table()), {}),
    "parquet, hugging face": Source("parquet", lambda f: write_parquet(f, table("hugging face")), {}),
    "parquet, nested lists": Source("parquet", lambda f: write_parquet(f, table("nested")), {}),
    "parquet, flat lists": Source("parquet", lambda f: write_parquet(f, table("flat")), {"shape": (3, SIDE, SIDE)}),
    "parquet, text labels": Source("parquet", lambda f: write_parquet(f, table(label=TEXTS)), {"class_names": CLASSES}),
    "arrow, file": Source("arrow", lambda f: write_ipc(f, table()), {}),
    "arrow, stream": Source("arrow", lambda f: write_ipc(f, table(), pa.ipc.new_stream), {}),
    "arrow, tensors": Source("arrow", lambda f: write_ipc(f, table("tensor")), {}),
    "arrow, dictionary labels": Source(
        "arrow", lambda f: write_ipc(f, table(label=pa.array(TEXTS).dictionary_encode())), {"class_names": CLASSES}
    ),
}


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES.keys())
def test_every_format_gives_the_same_samples(source, tmp_path, build):
    dataset = build(source.use, **source.write(tmp_path), **source.params)
    tolerance = 1e-3 if dataset.table.schema.field("x").type.value_type != pa.uint8() else 0
    assert np.allclose(pixels(dataset.table), X / np.float32(255), rtol=0, atol=tolerance)
    assert dataset.table["label"].to_pylist() == LABELS.tolist()
    assert dataset.table["cluster"] == dataset.table["sample_id"]
    assert dataset.classes == 3


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES.keys())
def test_limit_takes_the_first_samples_and_changes_nothing_else(source, tmp_path, build):
    values = {**source.write(tmp_path), **source.params}
    whole, few = build(source.use, **values), build(source.use, limit=2, **values)
    assert few.table["sample_id"].to_pylist() == whole.table["sample_id"].to_pylist()[:2]
    assert few.classes == whole.classes
    assert [shard.key for shard in few.shards(2)] == [shard.key for shard in whole.shards(2)][:1]


def test_npz_takes_its_own_ids(tmp_path, build):
    ids = [f"photo-{i}" for i in range(N)]
    assert build("npz", **write_npz(tmp_path, ids=ids)).table["sample_id"].to_pylist() == ids


def test_npz_reads_images_without_a_channel_axis_as_gray(tmp_path, build):
    assert build("npz", **write_npz(tmp_path, x=X[:, 0])).shape == (1, SIDE, SIDE)


def test_npz_can_have_more_classes_than_its_labels_show(tmp_path, build):
    assert build("npz", **write_npz(tmp_path), classes=10).classes == 10


def test_an_image_folder_takes_classes_in_turn_and_names_samples_by_file(tmp_path, build):
    dataset = build("image-folder", **write_folder(tmp_path), limit=4)
    assert dataset.table["sample_id"].to_pylist() == ["ant/00.png", "bee/01.png", "cat/02.png", "ant/03.png"]
    assert dataset.class_names == CLASSES


def test_an_image_folder_may_hold_some_of_many_classes_in_the_victims_order(tmp_path, build):
    dataset = build("image-folder", **write_folder(tmp_path), class_names=["dog", "cat", "bee", "ant"])
    assert dataset.classes == 4
    assert set(zip(dataset.table["sample_id"].to_pylist(), dataset.table["label"].to_pylist(), strict=True)) >= {
        ("ant/00.png", 3),
        ("bee/01.png", 2),
        ("cat/02.png", 1),
    }


def test_size_brings_mixed_images_to_one_shape_and_channels_makes_them_gray(tmp_path, build):
    values = write_folder(tmp_path)
    Image.new("L", (30, 20)).save(tmp_path / "cat" / "wide.jpg")
    assert build("image-folder", **values, size=6).shape == (3, 6, 6)
    assert build("image-folder", **values, size=6, channels=1).shape == (1, 6, 6)


def test_the_central_square_is_what_size_and_crop_keep(tmp_path, build):
    x = np.zeros((20, 40), np.uint8)
    x[5:15, 15:25] = 255  # the middle half of the central square
    (tmp_path / "one").mkdir()
    Image.fromarray(x).save(tmp_path / "one" / "frame.png")
    dataset = build("image-folder", path=str(tmp_path), size=10, crop=0.5, channels=1)
    assert pixels(dataset.table).min() == 1


def test_ids_clusters_and_further_columns_come_from_the_table(tmp_path, build):
    rows = table(key=[f"k{i}" for i in range(N)], person=[i // 4 for i in range(N)], light=["dim"] * N, labels=LABELS)
    dataset = build("parquet", **write_parquet(tmp_path, rows), id="key", cluster="person")
    assert dataset.table.column_names == ["sample_id", "cluster", "label", "x", "light", "labels"]
    assert dataset.table["sample_id"][3].as_py() == "k3"
    assert dataset.table["cluster"].to_pylist() == [str(i // 4) for i in range(N)]


def test_class_names_come_from_what_hugging_face_writes_into_the_schema(tmp_path, build):
    stored = {"info": {"features": {"label": {"_type": "ClassLabel", "names": [*CLASSES, "dog"]}}}}
    rows = table().replace_schema_metadata({"huggingface": json.dumps(stored)})
    assert build("parquet", **write_parquet(tmp_path, rows)).class_names == (*CLASSES, "dog")


def test_torchvision_takes_classes_in_turn_and_downloads_nothing(tmp_path, build):
    dataset = build("torchvision", **write_mnist(tmp_path), channels=1, limit=3)
    assert dataset.table["label"].to_pylist() == [3, 7, 3]
    assert dataset.table["sample_id"].to_pylist() == ["0", "3", "1"]
    assert dataset.classes == 10
    assert dataset.shape == (1, 28, 28)


def test_torchvision_reads_the_split_it_is_told(tmp_path, build):
    dataset = build("torchvision", **write_mnist(tmp_path), split="train")
    assert dataset.table["label"].to_pylist() == [0, 1, 0, 1, 0, 1]
