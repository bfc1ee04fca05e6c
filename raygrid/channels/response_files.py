"""Impulse responses that somebody measured: whose rooms they are, and what the files hold. Imports no torch.

A folder with subfolders `train`, `validation` and `judge`, and WAV or FLAC files of one voice in them, at any depth; or a Parquet
file with columns `room_id`, `split` (one of these three), `rate` in Hz, `response` (a list of numbers) and, if known, `distance` in
meters. Attacks look through the first, choose by the second, and are judged by the third.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import soundfile
from numpy.typing import NDArray

from raygrid.errors import UsageError

RATE = 16_000
"""Hz of what passes channels; sound.py has the same, and torch."""
SPLITS = ("train", "validation", "judge")
SUFFIXES = (".wav", ".flac")
COLUMNS = ("room_id", "split", "rate", "response")
KEPT = 4
"""Stores kept in memory."""
PIN, PIN_DIGITS = "#sha256=", 16
"""What stands between a path and the first digits of the digest of what was there, as in URLs that package tools read."""
Stamp = tuple[str, int, int]
"""Of a file: its path, its size, and when it was written, in ns."""


@dataclass(frozen=True)
class Measured:
    """One response."""

    room_id: str
    response: NDArray[np.float32]
    """[L], as the file has it."""
    rate: int
    """Hz."""
    distance: float | None
    """Meters between loudspeaker and microphone; None: nobody said."""

    @property
    def digest(self) -> str:
        """What tells responses apart, whatever they are called."""
        return hashlib.sha256(self.response.tobytes() + str(self.rate).encode()).hexdigest()


@dataclass(frozen=True)
class Responses:
    """The responses of a folder or a file."""

    by_split: Mapping[str, tuple[Measured, ...]]
    """Splits that have any, each in the order of its ids."""
    digest: str
    """Of ids, splits, rates and values."""


def read_responses(path: str, *, resample: bool) -> Responses:
    """Read all responses, once while their files don't change.

    Args:
        path: a folder, or a Parquet file; pinned or not, see `pinned`.
        resample: whether other rates than 16 kHz are fine.

    Raises:
        UsageError: there are none, one is in no split or in two of them, empty, silent, not finite, of several voices, or at
            another rate; or they are not those that the path was pinned to. The message says which.
    """
    path, _, wanted = path.partition(PIN)
    found = _found(path)
    if not found.digest.startswith(wanted):
        raise UsageError(
            f"responses {path}: what is there on this machine (sha256 {found.digest[:PIN_DIGITS]}...) is not what was there when "
            f"the job was planned ({wanted}...); copy the same files to all machines, and run the job again if you changed them"
        )
    for measured in (each for split in found.by_split.values() for each in split):
        if measured.rate != RATE and not resample:
            raise UsageError(
                f"responses {path}: {measured.room_id} is at {measured.rate} Hz, and sound passes channels at {RATE} Hz: "
                "say resample_responses: true, or bring it to that rate"
            )
    return found


def pinned(path: str) -> str:
    """Return a path with the digest of what is there now, so that whoever reads it later, on another machine too, finds the same or
    is told; the path alone where nothing can be read yet."""
    if PIN in path:
        return path
    try:
        return f"{path}{PIN}{_found(path).digest[:PIN_DIGITS]}"
    except UsageError:
        return path


def _found(path: str) -> Responses:
    files = _files(Path(path))
    return _read(path, tuple((str(file), stat.st_size, stat.st_mtime_ns) for file in files for stat in [file.stat()]))


def _files(place: Path) -> list[Path]:
    if place.is_file():
        return [place]
    if not place.is_dir():
        raise UsageError(f"responses {place}: there is no such folder or Parquet file on this machine")
    named = (file for file in place.rglob("*") if file.suffix.lower() in SUFFIXES and not file.name.startswith("."))
    files = sorted(file for file in named if file.is_file())
    if stray := [file for file in files if file.relative_to(place).parts[0] not in SPLITS]:
        raise UsageError(
            f"responses {place}: {stray[0].relative_to(place)} lies in none of the subfolders {', '.join(SPLITS)}, so that nobody "
            "knows whether attacks may look through it"
        )
    return files


@lru_cache(maxsize=KEPT)
def _read(path: str, stamps: tuple[Stamp, ...]) -> Responses:
    place = Path(path)
    rows = list(_of_table(place) if place.is_file() else _of_folder(place, [Path(file) for file, _, _ in stamps]))
    if not rows:
        raise UsageError(f"responses {path}: there are none, neither {' nor '.join(SUFFIXES)}")
    where: dict[str, tuple[str, str]] = {}
    names: set[tuple[str, str]] = set()
    digest = hashlib.sha256()
    for split, measured in rows:
        _check(path, measured)
        if (split, measured.room_id) in names:
            raise UsageError(
                f"responses {path}: two of {split} are called {measured.room_id}; give each a name of its own"
            )
        names.add((split, measured.room_id))
        before, other = where.setdefault(measured.digest, (split, measured.room_id))
        if before != split:
            raise UsageError(
                f"responses {path}: {other} of {before} and {measured.room_id} of {split} are the same, and what judges must be new"
            )
        digest.update(repr((split, measured.room_id, measured.digest, measured.distance)).encode())
    by_split = {split: tuple(m for s, m in rows if s == split) for split in SPLITS}
    return Responses({split: some for split, some in by_split.items() if some}, digest.hexdigest())


def _check(path: str, measured: Measured) -> None:
    values = measured.response
    wrong = (
        "is empty" if not values.size
        else "holds values that are not finite" if not np.isfinite(values).all()
        else "is silent" if not values.any()
        else None
    )  # fmt: skip
    if wrong:
        raise UsageError(f"responses {path}: {measured.room_id} {wrong}")


def _of_folder(place: Path, files: list[Path]) -> Iterator[tuple[str, Measured]]:
    for file in files:
        inside = file.relative_to(place)
        try:
            voices, rate = soundfile.read(file, dtype="float32", always_2d=True)
        except soundfile.LibsndfileError as error:
            raise UsageError(f"responses {place}: {inside} can't be read ({error.error_string})") from error
        if voices.shape[1] > 1:
            raise UsageError(
                f"responses {place}: {inside} has {voices.shape[1]} channels, and a room is heard by one microphone: give each a "
                "file of its own"
            )
        yield inside.parts[0], Measured(inside.as_posix(), voices[:, 0], rate, None)


def _of_table(file: Path) -> Iterator[tuple[str, Measured]]:
    try:
        table = pq.read_table(file)
    except (pa.ArrowInvalid, OSError) as error:
        raise UsageError(f"responses {file}: is no Parquet file ({error})") from error
    kind = table.schema.field("response").type if "response" in table.column_names else None
    if kind is not None and not (
        (pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))
        and (pa.types.is_floating(kind.value_type) or pa.types.is_integer(kind.value_type))
    ):
        raise UsageError(f"responses {file}: the column response holds {kind}, and must hold lists of numbers")
    if missing := [name for name in COLUMNS if name not in table.column_names]:
        raise UsageError(f"responses {file}: lacks the column {missing[0]}; it takes {', '.join(COLUMNS)}")
    for row in table.sort_by("room_id").to_pylist():
        if row["split"] not in SPLITS:
            raise UsageError(
                f'responses {file}: {row["room_id"]} is of split "{row["split"]}", none of {", ".join(SPLITS)}'
            )
        if row["room_id"] is None:
            raise UsageError(f"responses {file}: one of {row['split']} has no room_id")
        if not isinstance(row["rate"], int | float) or row["rate"] <= 0 or row["rate"] != int(row["rate"]):
            raise UsageError(
                f"responses {file}: the rate of {row['room_id']} is {row['rate']}, and must be a number of Hz"
            )
        values = np.asarray(row["response"] or (), dtype=np.float32)
        yield row["split"], Measured(str(row["room_id"]), values, int(row["rate"]), row.get("distance"))
