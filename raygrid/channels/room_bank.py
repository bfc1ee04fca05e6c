"""The bank of rooms: impulse responses as Arrow tables, one a split, made once and kept as Parquet in raygrid's cache folder.

Rooms of different splits are different rooms: no size, no reverberation time and no place is shared. The split `positions` is
the training rooms once more, with loudspeaker and microphone elsewhere; `measured` are recorded responses out of packages.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from filelock import FileLock
from torch import Tensor

from raygrid.assets import cache_folder
from raygrid.channels.catalog_audio import Room
from raygrid.channels.pins import RESPONSES
from raygrid.channels.recordings import pinned, to_rate
from raygrid.channels.response_files import read_responses
from raygrid.channels.room_simulation import Heard, Place, aligned, draw_place, hear, reverberation_time
from raygrid.channels.sound import RATE
from raygrid.errors import UsageError
from raygrid.keys import content_key

Split = Literal["train", "validation", "judge", "positions", "measured"]

VERSION = 1
"""Bumped when the same parameters give other rooms, so that kept ones are made again; the channel's own version is bumped too."""
BANKS = 8
"""Banks kept in memory; 60 rooms take 2 MB."""

_point = pa.list_(pa.float64(), 3)
SCHEMA = pa.schema(
    [
        pa.field("room_id", pa.string(), nullable=False),
        pa.field("split", pa.string(), nullable=False),
        pa.field("rt60", pa.float64()),  # measured from the response, seconds
        pa.field("rt60_asked", pa.float64()),  # null for what was recorded, as are all fields down to the distance
        pa.field("absorption", pa.float64()),  # share of the energy that every wall takes
        pa.field("size", _point),  # meters
        pa.field("source", _point),  # meters from a corner
        pa.field("microphone", _point),
        pa.field("distance", pa.float64()),  # meters between the two
        pa.field("rate", pa.int32(), nullable=False),  # of the response, Hz
        pa.field("response", pa.list_(pa.float32()), nullable=False),
    ]
)


@dataclass(frozen=True)
class Bank:
    """The responses of a split, on the CPU."""

    split: str
    ids: tuple[str, ...]
    responses: Tensor
    """[R, L] float32 at 16 kHz, padded with zeros to the longest."""
    lengths: Tensor
    """[R], of the responses without padding."""
    rt60: Tensor
    """[R], measured, in seconds."""
    distance: Tensor
    """[R] in meters; NaN where nobody knows."""

    def __len__(self) -> int:
        """Return the number of rooms R."""
        return len(self.ids)


def bank_of(table: pa.Table) -> Bank:
    """Read a bank from a table of SCHEMA.

    Raises:
        ValueError: it is empty, or a response is empty or at another rate than 16 kHz.
    """
    if not table.num_rows:
        raise ValueError("a bank of no rooms")
    ids = table["room_id"].to_pylist()
    rows = [np.asarray(row.values, dtype=np.float32) for row in table["response"]]
    for name, rate, row in zip(ids, table["rate"].to_pylist(), rows, strict=True):
        if rate != RATE:
            raise ValueError(f"room {name}: its impulse response is at {rate} Hz, and must be at {RATE} Hz")
        if not row.size:
            raise ValueError(f"room {name}: its impulse response is empty")
    padded = torch.nn.utils.rnn.pad_sequence([torch.from_numpy(row.copy()) for row in rows], batch_first=True)
    rt60, distance = (
        torch.tensor([np.nan if value is None else value for value in table[name].to_pylist()], dtype=torch.float64)
        for name in ("rt60", "distance")
    )
    lengths = torch.tensor([row.size for row in rows])
    return Bank(table["split"][0].as_py(), tuple(ids), padded, lengths, rt60, distance)


def bank(params: Room, split: Split) -> Bank:
    """Return the rooms of a split.

    Raises:
        UsageError: recorded responses can't be fetched, or those of a person's files not be read.
    """
    found = None if params.responses is None else read_responses(params.responses, resample=params.resample_responses)
    return kept_bank(params, split, found.digest if found else "")


@lru_cache(maxsize=BANKS)
def kept_bank(params: Room, split: Split, digest: str) -> Bank:
    """Return the rooms of a split as they are in memory; `digest` tells files from what they were before."""
    if params.responses is not None:
        return bank_of(brought(params.responses, split, resample=params.resample_responses))
    return bank_of(measured() if split == "measured" else simulated(params, split))


def brought(path: str, split: str, *, resample: bool = False) -> pa.Table:
    """Return the table of a split of responses that a person measured.

    Raises:
        UsageError: they can't be read, or the split has none.
    """
    rows = read_responses(path, resample=resample).by_split.get(split, ())
    if not rows:
        raise UsageError(f"responses {path}: none are of split {split}")
    table = recorded({row.room_id: to_rate(row.response, row.rate) for row in rows}, split)
    distances = pa.array([row.distance for row in rows], pa.float64())
    return table.set_column(SCHEMA.get_field_index("distance"), SCHEMA.field("distance"), distances)


def simulated(params: Room, split: Split) -> pa.Table:
    """Return the table of a split of image-source rooms: out of the cache, or made and kept there.

    A cache that can't be written to costs the time to make them again, and nothing else.
    """
    kept = cache_folder() / f"rooms-{split}-{_key(params, split)}.parquet"
    if (table := _read(kept)) is not None:
        return table
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(kept.with_suffix(".lock")):
            if (table := _read(kept)) is None:
                table = make(params, split)
                part = kept.with_suffix(f".{os.getpid()}")
                pq.write_table(table, part)
                part.replace(kept)
    except OSError:
        return make(params, split)
    return table


def _key(params: Room, split: Split) -> str:
    """Name the contents: everything that determines them."""
    fields = {"bank", "rt60", "distance", "length", "width", "height"}
    said = {name: value for name, value in params.model_dump(mode="json").items() if name in fields}
    return content_key([VERSION, version("pyroomacoustics"), split, _count(params, split), said])


def _count(params: Room, split: Split) -> int:
    return {"train": params.train, "positions": params.train, "validation": params.validation}.get(
        split, params.held_out
    )


def _read(kept: Path) -> pa.Table | None:
    try:
        table = pq.read_table(kept)
    except (OSError, pa.ArrowInvalid):  # missing, or damaged
        return None
    return table if table.schema.equals(SCHEMA) else None


def make(params: Room, split: Split) -> pa.Table:
    """Simulate the rooms of a split: each from (bank, split, number) alone. Some 0.1 s a room on one core."""
    numbers = range(_count(params, split))
    if split != "positions":
        places = [draw_place(params, f"{split}/{n}", f"{split}/{n}") for n in numbers]
        return _table(split, places, [hear(place) for place in places])
    absorption = simulated(params, "train")["absorption"].to_pylist()
    places = [draw_place(params, f"train/{n}", f"positions/{n}") for n in numbers]
    return _table(split, places, [hear(place, walls) for place, walls in zip(places, absorption, strict=True)])


def _table(split: str, places: Sequence[Place], heard: Sequence[Heard]) -> pa.Table:
    columns = {
        "room_id": [f"{split}/{n}" for n in range(len(places))],
        "split": [split] * len(places),
        "rt60": [each.rt60 for each in heard],
        "rt60_asked": [place.rt60 for place in places],
        "absorption": [each.absorption for each in heard],
        "size": [place.size for place in places],
        "source": [place.source for place in places],
        "microphone": [place.microphone for place in places],
        "distance": [float(np.linalg.norm(np.subtract(place.source, place.microphone))) for place in places],
        "rate": [RATE] * len(places),
        "response": [each.response for each in heard],
    }
    return pa.table(columns, SCHEMA)


def measured() -> pa.Table:
    """Return the table of recorded responses, fetched where the cache lacks them.

    Raises:
        UsageError: they can't be fetched.
    """
    names = [asset.name for asset in RESPONSES]
    return recorded({name: pinned(name).numpy() for name in names}, "measured")


def recorded(responses: dict[str, np.ndarray], split: str) -> pa.Table:
    """Return a table of responses [L] at 16 kHz by name, each from its direct sound on, at energy 1.

    Raises:
        ValueError: a response is empty, silent or not finite.
    """
    rows = []
    for name, response in responses.items():
        try:
            kept = aligned(response)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
        rows.append(
            {
                "room_id": name,
                "split": split,
                "rt60": reverberation_time(kept),
                "rate": RATE,
                "response": kept,
            }
        )
    return pa.Table.from_pylist(rows, SCHEMA)
