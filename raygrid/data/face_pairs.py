"""`face-pairs`: a list of pairs of photos that a person brings, in a CSV or Parquet file, and whom the photos show."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from raygrid.data.catalog import FACE_PAIRS, FacePairsParams
from raygrid.data.dataset import Dataset, ListedPair, Split
from raygrid.data.face_folder import NAMED, frames_of, left_out
from raygrid.data.faces import frames_table
from raygrid.data.paths import existing_file, existing_folder
from raygrid.errors import UsageError, did_you_mean

NEEDED = ("photo_a", "photo_b", "same")
PERSONS = ("person_a", "person_b")
SPLITS: tuple[Split, ...] = ("calibration", "judged")
SAME = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}


class Line(NamedTuple):
    """A pair as the file has it."""

    where: str
    """File and line, or row."""
    pair: ListedPair
    people: tuple[str, str] | None
    """Whom the photos show, if the file says so."""


def face_pairs(params: FacePairsParams, limit: int | None) -> Dataset:
    """Read the photos that a list of pairs names, and the pairs. Ids are the paths below the root. Metadata: `person`.

    Args:
        params: the file, and what happens to photos that do not show one face.
        limit: None: which photos of a person judge hangs on all of them.

    Raises:
        UsageError: the file is no list of pairs, names photos that there are not, or contradicts itself, by line; or photos do not
            show one face.
    """
    file = existing_file(params.path)
    root = existing_folder(params.root, "root") if params.root is not None else file.parent
    lines = list(_lines(file))
    if not lines:
        raise UsageError(f'path: "{file}" has no pairs')
    _refuse(_missing(lines, root))
    shows = _named(lines) if lines[0].people else _joined(lines)
    _refuse(_contradictions(lines, shows))
    photos = dict.fromkeys(photo for line in lines for photo in (line.pair.a, line.pair.b))
    frames, skipped = frames_of({photo: root / photo for photo in photos}, params)
    pairs = tuple(line.pair for line in lines if line.pair.a in frames and line.pair.b in frames)
    people = tuple(sorted({shows[photo] for photo in frames}))
    guessed = "" if lines[0].people else GUESSED
    return Dataset(
        name=f"face-pairs:{file.stem}",
        table=frames_table(frames, people, shows),
        classes=len(people),
        class_names=people,
        source=str(file) if params.aligned else f"{file}; {FACE_PAIRS.source}",
        people=(params.known, params.judged),
        pairs=pairs,
        notes=" ".join(note for note in (guessed, left_out(skipped)) if note),
        extra={"attacked": params.attacked, "few_photos": params.few_photos},
    )


GUESSED = (
    "Nobody says whom the photos show: those that no pair of one person joins count as of different people, and intervals may be "
    "too narrow."
)


def _lines(file: Path) -> Iterator[Line]:
    """Yield the pairs of a file."""
    rows: Iterator[tuple[str, Mapping[str, Any]]]
    if file.suffix.lower() == ".parquet":
        try:
            table = pq.read_table(file)
        except (pa.ArrowException, OSError) as error:
            raise UsageError(f'path: "{file}" cannot be read as Parquet: {error}') from error
        names: Sequence[str] = table.column_names
        rows = ((f"{file}: row {number}", row) for number, row in enumerate(table.to_pylist()))
    else:
        try:
            text = file.read_text(encoding="utf-8-sig").splitlines()
        except (UnicodeDecodeError, OSError) as error:
            raise UsageError(f'path: "{file}" cannot be read as CSV: {error}; Parquet files end in .parquet') from error
        reader = csv.DictReader(text)
        names = [name.strip() for name in reader.fieldnames or ()]
        reader.fieldnames = names
        rows = ((f"{file}:{reader.line_num}", row) for row in reader)
    for name in NEEDED:
        if name not in names:
            raise UsageError(
                f'path: "{file}" has no column "{name}"{did_you_mean(name, names)}; it has {", ".join(names)}'
            )
    persons = [name for name in PERSONS if name in names]
    if len(persons) == 1:
        raise UsageError(f'path: "{file}" has {persons[0]} alone; name both persons of a pair, or none')
    for where, row in rows:
        yield _line(where, row, with_people=bool(persons), with_split="split" in names)


def _line(where: str, row: Mapping[str, Any], *, with_people: bool, with_split: bool) -> Line:
    said = {name: "" if value is None else str(value).strip() for name, value in row.items() if name is not None}
    wanted = (*NEEDED, *(PERSONS if with_people else ()), *(("split",) if with_split else ()))
    for name in wanted:
        if not said[name]:
            raise UsageError(f"{where}: {name} is empty")
    same = SAME.get(said["same"].lower())
    if same is None:
        raise UsageError(f'{where}: same: one of {", ".join(SAME)}, not "{said["same"]}"')
    if said["photo_a"] == said["photo_b"]:
        raise UsageError(f'{where}: "{said["photo_a"]}" is compared with itself')
    split = next((name for name in SPLITS if name == said["split"]), None) if with_split else None
    if with_split and split is None:
        raise UsageError(f'{where}: split: one of calibration, judged, not "{said["split"]}"')
    people = (said["person_a"], said["person_b"]) if with_people else None
    if people and (people[0] == people[1]) != same:
        raise UsageError(f"{where}: same is {said['same']}, and the photos show {people[0]} and {people[1]}")
    return Line(where, ListedPair(said["photo_a"], said["photo_b"], same, split), people)


def _missing(lines: Sequence[Line], root: Path) -> Iterator[str]:
    """Name each photo that there is not, where the list first names it."""
    found: dict[str, bool] = {}
    for line in lines:
        for name, photo in zip(NEEDED, (line.pair.a, line.pair.b), strict=False):
            if photo in found:
                continue
            place = root / photo
            found[photo] = place.is_file()
            if not found[photo]:
                beside = [entry.name for entry in place.parent.iterdir()] if place.parent.is_dir() else []
                yield f'{line.where}: {name}: there is no "{photo}" in "{root}"{did_you_mean(place.name, beside)}'


def _named(lines: Sequence[Line]) -> dict[str, str]:
    """Return whom each photo shows, as the list says."""
    shows: dict[str, str] = {}
    for line in lines:
        for photo, person in zip((line.pair.a, line.pair.b), line.people or (), strict=True):
            if shows.setdefault(photo, person) != person:
                raise UsageError(
                    f'{line.where}: "{photo}" shows {person}, and before it was said to show {shows[photo]}'
                )
    return shows


def _joined(lines: Sequence[Line]) -> dict[str, str]:
    """Return whom each photo shows as far as pairs of one person tell: he has the name of the first photo of his."""
    first: dict[str, str] = {}

    def of(photo: str) -> str:
        while (before := first.setdefault(photo, photo)) != photo:
            photo = before
        return photo

    for line in lines:
        a, b = sorted((of(line.pair.a), of(line.pair.b)))
        if line.pair.same:
            first[b] = a
    return {photo: of(photo) for photo in first}


def _contradictions(lines: Sequence[Line], shows: Mapping[str, str]) -> Iterator[str]:
    """Say where the list contradicts itself, of pairs and of who is set apart."""
    seen: dict[frozenset[str], str] = {}
    side: dict[str, tuple[str, str]] = {}
    for line in lines:
        a, b, same, split = line.pair
        if not same and shows[a] == shows[b]:
            yield f'{line.where}: "{a}" and "{b}" show two people, and other pairs say that they show one'
        if (before := seen.setdefault(frozenset((a, b)), line.where)) != line.where:
            yield f'{line.where}: "{a}" and "{b}" are a pair already, see {before}'
        for person in dict.fromkeys((shows[a], shows[b])):
            if split is not None and (known := side.setdefault(person, (split, line.where)))[0] != split:
                yield (
                    f"{line.where}: {person} is {split} here and {known[0]} before, see {known[1]}: people who set thresholds are "
                    "not judged"
                )


def _refuse(messages: Iterator[str]) -> None:
    found = list(messages)
    if found:
        more = [f"{len(found) - NAMED} more of the like"] if len(found) > NAMED else []
        raise UsageError(*found[:NAMED], *more)
