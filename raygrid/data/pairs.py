"""Trials of verification out of photos of people: who attacks as whom, which photos an attacker may have, and which ones judge.

The people that the threshold is set on are set apart first; no trial shows them. Everything else follows from hashes of names, so
that neither the order of the photos nor how many are asked for changes a trial.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from hashlib import blake2b

import numpy as np
import pyarrow as pa

from raygrid.data.dataset import Dataset
from raygrid.errors import UsageError

REFERENCES = ("target_known", "target_judged", "own_known", "own_judged")
"""Columns of a trial with lists of photos: of the target person and of the attacker himself, those that an attacker may have and
those that judge."""
STARTS = "target_photos"
"""Column of a trial with the pixels of the photos `target_known`, where an attack starts from them. No part of a shard's key: the
gallery's key tells of them."""
CALIBRATION = "calibration"
"""Column of the gallery: whether a photo's person sets the thresholds."""


def rank(*names: str) -> bytes:
    """Return a number, as bytes, by which things are put in an order that no other order has to do with."""
    return blake2b("\0".join(names).encode(), digest_size=8).digest()


def make_trials(photos: Dataset, fit: int, known: int, judged: int) -> tuple[Dataset, pa.Table, pa.Table]:
    """Make trials out of photos.

    Every photo of the people who are not set apart attacks once: as a target person, drawn so that everybody is targeted by as many
    others as he targets, or against the attacker's own other photos. In no trial has a photo two of these parts: to attack, to be
    known to the attacker, to judge; and no photo that calibrates has any.

    Args:
        photos: their clusters are the people.
        fit: photos that are set apart at least, those of whole people; 0: half of the people.
        known: photos of a person that an attacker may have.
        judged: photos of a person that judge.

    Returns:
        The trials, the gallery of all photos, of which those of the people set apart are marked, and the photos set apart.

    Raises:
        UsageError: too few people, or too few photos of some.
    """
    of_person: dict[str, list[str]] = defaultdict(list)
    for photo, person in zip(
        *(photos.table.column(name).to_pylist() for name in ("sample_id", "cluster")), strict=True
    ):
        of_person[person].append(photo)
    if len(of_person) < 4:
        raise UsageError(
            f"verification needs four people at least, two to set the threshold on and two to attack; {photos.name} has "
            f"{len(of_person)}"
        )
    _check_photos(photos.name, of_person, known, judged)
    apart, rest = photos.parted(fit) if fit else photos.parted_by_clusters(len(of_person) // 2)
    calibrating = set(apart.column("cluster").to_pylist())
    people = sorted(of_person.keys() - calibrating)
    if min(len(people), len(calibrating)) < 2:
        raise UsageError(
            f"splits.fit leaves {len(people)} people to attack and {len(calibrating)} to set the threshold on, of "
            f"{len(of_person)}; each side needs two at least"
        )
    targets = _targets(people)
    rows: dict[str, list[object]] = {name: [] for name in ("person", "target", *REFERENCES)}
    for photo, person in zip(*(rest.table.column(name).to_pylist() for name in ("sample_id", "cluster")), strict=True):
        target = targets[person]
        others = _mixed(photo, of_person[target]), _mixed(photo, [own for own in of_person[person] if own != photo])
        rows["person"].append(person)
        rows["target"].append(target)
        for prefix, some in zip(("target", "own"), others, strict=True):
            rows[f"{prefix}_known"].append(some[:known])
            rows[f"{prefix}_judged"].append(some[known : known + judged])
    table = rest.table
    for name, values in rows.items():
        if name in table.column_names:
            table = table.drop_columns([name])
        table = table.append_column(name, pa.array(values))
    order = sorted(range(table.num_rows), key=_turns(table))
    marks = pa.array([person in calibrating for person in photos.table.column("cluster").to_pylist()])
    gallery = photos.table.append_column(CALIBRATION, marks)
    return replace(rest, table=table.take(pa.array(order, pa.int64())).combine_chunks()), gallery, apart


def with_photos(trials: pa.Table, gallery: pa.Table) -> pa.Table:
    """Return trials with the pixels of the photos that an attacker may have of the target person, `STARTS`: as many to each."""
    place = {photo: row for row, photo in enumerate(gallery.column("sample_id").to_pylist())}
    x = gallery.column("x").combine_chunks().to_numpy_ndarray()
    known = trials.column("target_known").to_pylist()
    values = [[x[place[photo]].tobytes() for photo in photos] for photos in known]
    return trials.append_column(STARTS, pa.array(values, pa.list_(pa.binary())))


def photos_of(trials: pa.Table) -> np.ndarray | None:
    """Return the pixels [N, K, C, H, W] of what `with_photos` added, as the samples have them; None where nobody did."""
    if STARTS not in trials.column_names:
        return None
    like = trials.schema.field("x").type
    shape, kind = tuple(like.shape), like.value_type.to_pandas_dtype()
    photos = [[np.frombuffer(photo, kind).reshape(shape) for photo in some] for some in trials[STARTS].to_pylist()]
    return np.stack([np.stack(some) for some in photos])


def _check_photos(name: str, of_person: dict[str, list[str]], known: int, judged: int) -> None:
    needed = known + judged + 1
    few = {person: len(some) for person, some in of_person.items() if len(some) < needed}
    if few:
        told = ", ".join(f"{person} ({count})" for person, count in list(few.items())[:5])
        raise UsageError(
            f"{name}: {len(few)} of {len(of_person)} people have fewer than {needed} photos, one to attack with, {known} that an "
            f"attacker may have and {judged} that judge: {told}{', ...' if len(few) > 5 else ''}; add photos, leave these people "
            "out, or say smaller numbers for `known` and `judged`"
        )


def _targets(people: Sequence[str]) -> dict[str, str]:
    """Return whom each person attacks as: the next one of a circle, so that everybody attacks and is attacked by one."""
    circle = sorted(people, key=lambda person: rank("circle", person))
    return dict(zip(circle, (*circle[1:], circle[0]), strict=True))


def _mixed(photo: str, some: Sequence[str]) -> list[str]:
    return sorted(some, key=lambda other: rank("references", photo, other))


def _turns(table: pa.Table) -> Callable[[int], tuple[int, bytes]]:
    """Return what sorts rows so that everybody has his first photo before anybody has the second."""
    people, ids = (table.column(name).to_pylist() for name in ("cluster", "sample_id"))
    places: dict[str, list[int]] = defaultdict(list)
    for row in sorted(range(len(ids)), key=lambda row: rank("turn", ids[row])):
        places[people[row]].append(row)
    turn = np.zeros(len(ids), dtype=np.int64)
    for rows in places.values():
        turn[rows] = np.arange(len(rows))
    return lambda row: (int(turn[row]), rank("person", people[row]))
