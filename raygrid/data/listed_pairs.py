"""Trials of verification out of listed pairs of photos: which pairs set thresholds, which are judged, and who attacks as whom."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import pyarrow as pa

from raygrid.data.dataset import Dataset, ListedPair, Split
from raygrid.data.pairs import CALIBRATION, REFERENCES, rank
from raygrid.errors import UsageError

PAIRS = "pairs"
"""Column of the gallery: the listed pairs that begin with a photo, which alone say how well a victim verifies."""
SIDES: tuple[Split, ...] = ("judged", None, "calibration")
"""Of a pair, by how many of its photos show people who are set apart."""
BETWEEN = " | "
"""Stands between the two photos in the id of a trial."""


def make_pair_trials(photos: Dataset, fit: int) -> tuple[Dataset, pa.Table, pa.Table]:
    """Make trials out of listed pairs: photo a attacks with what is known of the person of photo b.

    Args:
        photos: with their pairs; clusters are the people.
        fit: photos that are set apart at least to set thresholds, those of whole people; 0: half of the people. The pairs say it
            themselves where they have a split.

    Returns:
        The trials, the gallery of all photos with their pairs, of which those of people set apart are marked, and the photos set
        apart.

    Raises:
        UsageError: pairs that are missing on either side, or too few photos of a person.
    """
    person_of = dict(zip(*(photos.table.column(name).to_pylist() for name in ("sample_id", "cluster")), strict=True))
    pairs, apart = _split(photos, person_of, fit)
    kinds = {(pair.split, pair.same) for pair in pairs if pair.split}
    for split, verb in (("calibration", "set thresholds"), ("judged", "are judged")):
        for same, number in ((True, "one person"), (False, "two people")):
            if (split, same) not in kinds:
                raise UsageError(
                    f"{photos.name}: of the pairs that {verb}, none shows {number}; a pair counts where both of its people are on "
                    "one side: list more pairs, or say in a column `split` which are for calibration and which are judged"
                )
    calibrating = set(apart.column("cluster").to_pylist())
    marks = [person in calibrating for person in photos.table.column("cluster").to_pylist()]
    gallery = photos.table.append_column(CALIBRATION, pa.array(marks)).append_column(PAIRS, _column(photos, pairs))
    return _trials(photos, [pair for pair in pairs if pair.split == "judged"], person_of), gallery, apart


def _split(photos: Dataset, person_of: dict[str, str], fit: int) -> tuple[list[ListedPair], pa.Table]:
    """Return the pairs with their splits, None where they have a person on either side, and the photos of who is set apart."""
    if any(pair.split for pair in photos.pairs):
        if fit:
            raise UsageError(
                f"splits.fit: the pairs of {photos.name} say themselves which set thresholds; leave it out"
            )
        people = {person_of[photo] for pair in photos.pairs if pair.split == "calibration" for photo in pair[:2]}
        return list(photos.pairs), photos.parted_by(people)[0]
    number = len(set(person_of.values()))
    apart = (photos.parted(fit) if fit else photos.parted_by_clusters(number // 2))[0]
    calibrating = set(apart.column("cluster").to_pylist())
    found = []
    for pair in photos.pairs:
        inside = sum(person_of[photo] in calibrating for photo in (pair.a, pair.b))
        found.append(pair._replace(split=SIDES[inside]))
    return found, apart


def _column(photos: Dataset, pairs: Sequence[ListedPair]) -> pa.Array:
    of: dict[str, list[dict[str, object]]] = defaultdict(list)
    for pair in pairs:
        if pair.split:
            of[pair.a].append({"with": pair.b, "calibration": pair.split == "calibration"})
    kind = pa.list_(pa.struct([("with", pa.string()), ("calibration", pa.bool_())]))
    return pa.array([of[photo] for photo in photos.table.column("sample_id").to_pylist()], kind)


def listed(gallery: pa.Table, *, calibration: bool) -> list[tuple[int, int]] | None:
    """Return the pairs of rows of a gallery that set thresholds, or are judged; None where all pairs do."""
    if PAIRS not in gallery.column_names:
        return None
    place = {photo: row for row, photo in enumerate(gallery.column("sample_id").to_pylist())}
    return [
        (row, place[pair["with"]])
        for row, some in enumerate(gallery.column(PAIRS).to_pylist())
        for pair in some
        if pair["calibration"] is calibration
    ]


def _trials(photos: Dataset, pairs: Sequence[ListedPair], person_of: dict[str, str]) -> Dataset:
    """Return a trial a pair, in an order of hashes. The photos of a person in it have one part each, but for the photo known, which
    judges where no others do."""
    known, judged = photos.people or (1, 0)
    genuine = photos.extra["attacked"] == "genuine"
    of_person: dict[str, list[str]] = defaultdict(list)
    for photo, person in person_of.items():
        of_person[person].append(photo)
    place = {photo: row for row, photo in enumerate(person_of)}
    few: list[str] = []
    rows, taken = [], []
    for pair in sorted((p for p in pairs if p.same is genuine), key=lambda p: rank("pair", p.a, p.b)):
        others = [photo for photo in of_person[person_of[pair.b]] if photo not in (pair.a, pair.b)]
        others.sort(key=lambda other: rank("references", pair.a, other))
        if len(others) < known + judged - 1:
            few.append(f"{pair.a}{BETWEEN}{pair.b} ({len(others) + 1})")
            continue
        theirs = [pair.b, *others[: known - 1]], others[known - 1 : known - 1 + judged] or [pair.b]
        rows.append(
            {
                "sample_id": f"{pair.a}{BETWEEN}{pair.b}",
                "person": person_of[pair.a],
                "target": person_of[pair.b],
                **dict(zip(REFERENCES, (*theirs, *theirs), strict=True)),
            }
        )
        taken.append(place[pair.a])
    if few and photos.extra["few_photos"] == "refuse":
        raise UsageError(
            f"few_photos: of {len(few)} pairs of {photos.name} the person of photo_b has fewer than {known + judged} photos in the "
            f"list besides photo_a, {known} known and {judged} that judge: {', '.join(few[:5])}{', ...' if len(few) > 5 else ''}; "
            "say smaller numbers for `known` and `judged`, or state `few_photos: skip` to leave these pairs out"
        )
    if not rows:
        whom = "one person" if genuine else "two people"
        raise UsageError(f"{photos.name}: no pair is left to attack, of those that are judged and show {whom}")
    table = photos.table.take(pa.array(taken, pa.int64())).combine_chunks()
    for name in rows[0]:
        values = pa.array([row[name] for row in rows])
        column = table.schema.get_field_index(name)
        table = table.append_column(name, values) if column < 0 else table.set_column(column, name, values)
    return replace(photos, table=table)
