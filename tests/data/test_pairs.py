"""Trials out of photos: no photo plays two parts, everybody attacks and is attacked alike, and nothing hangs on order or limit."""

import re
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raygrid.data.dataset import Dataset, make_table
from raygrid.data.pairs import CALIBRATION, REFERENCES, make_trials
from raygrid.errors import UsageError


def photos_of(counts, order=None):
    """Photos of 2 x 2 pixels, so many of each person; `order` is one of rows."""
    ids = [f"{person}/{i}" for person, count in counts.items() for i in range(count)]
    people = [name.split("/")[0] for name in ids]
    places = {person: place for place, person in enumerate(sorted(counts))}
    x = np.arange(len(ids) * 12, dtype=np.int64).reshape(-1, 3, 2, 2).astype(np.uint8)
    table = make_table(ids, x, np.array([places[person] for person in people]), people, person=people)
    if order is not None:
        table = table.take(pa.array(order)).combine_chunks()
    return Dataset("friends", table, len(counts))


def rows_of(trials):
    return {row["sample_id"]: row for row in trials.table.drop_columns(["x"]).to_pylist()}


@st.composite
def cases(draw):
    """People with their numbers of photos, and which of these are known and judge."""
    known, judged = draw(st.integers(1, 4)), draw(st.integers(1, 5))
    names = draw(st.lists(st.text("abcxyz0189", min_size=1, max_size=4), min_size=4, max_size=9, unique=True))
    counts = {name: draw(st.integers(known + judged + 1, known + judged + 4)) for name in names}
    return counts, known, judged


@settings(max_examples=60)
@given(cases())
def test_no_photo_plays_two_parts(case):
    counts, known, judged = case
    photos = photos_of(counts)
    trials, gallery, apart = make_trials(photos, 0, known, judged)
    person_of = dict(zip(*(photos.table[name].to_pylist() for name in ("sample_id", "cluster")), strict=True))
    calibrating = set(apart["sample_id"].to_pylist())
    marked = dict(zip(*(gallery[name].to_pylist() for name in ("sample_id", CALIBRATION)), strict=True))
    assert marked == {photo: photo in calibrating for photo in person_of}  # all photos, those of whole people marked
    assert len({person_of[photo] for photo in calibrating}) == len(counts) // 2
    assert not {person_of[photo] for photo in calibrating} & {row["person"] for row in rows_of(trials).values()}
    for photo, row in rows_of(trials).items():
        assert row["person"] == row["cluster"] == person_of[photo] != row["target"]
        for whose, person in (("target", row["target"]), ("own", row["person"])):
            given_, judges = row[f"{whose}_known"], row[f"{whose}_judged"]
            assert (len(given_), len(judges)) == (known, judged)
            parts = [photo, *given_, *judges]
            assert len(set(parts)) == len(parts) and not set(parts) & calibrating
            assert {person_of[other] for other in (*given_, *judges)} == {person}


@given(cases())
def test_everybody_targets_one_and_is_targeted_by_one_in_a_single_circle(case):
    counts, known, judged = case
    trials = rows_of(make_trials(photos_of(counts), 0, known, judged)[0]).values()
    targets = {row["person"]: row["target"] for row in trials}
    assert len(targets) == len(counts) - len(counts) // 2
    assert Counter(targets.values()) == dict.fromkeys(targets, 1)
    assert {(row["person"], row["target"]) for row in trials} == set(targets.items())  # all photos of a person alike
    assert Counter(row["person"] for row in trials) == {person: counts[person] for person in targets}
    seen, person = [], min(targets)
    while person not in seen:
        seen.append(person)
        person = targets[person]
    assert set(seen) == set(targets)


@settings(max_examples=30)
@given(cases(), st.randoms(use_true_random=False))
def test_trials_do_not_hang_on_the_order_of_the_photos(case, random):
    counts, known, judged = case
    order = list(range(sum(counts.values())))
    random.shuffle(order)
    one, other = (make_trials(photos_of(counts, some), 0, known, judged) for some in (None, order))
    assert rows_of(one[0]) == rows_of(other[0])
    assert one[0].table["sample_id"] == other[0].table["sample_id"]  # and neither does their order
    assert set(one[2]["sample_id"].to_pylist()) == set(other[2]["sample_id"].to_pylist())


@given(cases())
def test_whatever_is_kept_of_the_first_trials_shows_everybody_as_often_as_can_be(case):
    counts, known, judged = case
    trials = make_trials(photos_of(counts), 0, known, judged)[0]
    people = trials.table["person"].to_pylist()
    for limit in range(1, len(people) + 1):
        shown = Counter(people[:limit])
        for person, times in shown.items():
            # Nobody comes again before all those who still have a photo.
            assert all(shown[other] >= min(times - 1, counts[other]) for other in set(people)), (person, limit)


def test_the_photos_of_other_trials_hang_on_the_photo_and_not_on_the_person_alone():
    trials = rows_of(make_trials(photos_of(dict.fromkeys("abcdefgh", 10)), 0, 4, 5)[0])
    known = [
        tuple(row["target_known"]) for row in trials.values() if row["person"] == next(iter(trials.values()))["person"]
    ]
    assert len(set(known)) > 5  # of ten photos that attack as one person
    judging = Counter(photo for row in trials.values() for photo in row["target_judged"])
    assert set(judging) == set(trials)  # each of the photos judges somewhere


@pytest.mark.parametrize("fit", [7, 8, 10, 12])
def test_people_are_set_apart_whole_until_there_are_photos_enough(fit):
    photos = photos_of(dict.fromkeys("abcdef", 4))
    trials, _, apart = make_trials(photos, fit, 1, 2)
    assert apart.num_rows == 4 * -(-fit // 4)
    assert trials.table.num_rows == 24 - apart.num_rows


def test_who_says_nothing_of_fit_sets_half_of_the_people_apart():
    trials, _, apart = make_trials(photos_of(dict.fromkeys("abcde", 3)), 0, 1, 1)
    assert (apart.num_rows, trials.table.num_rows) == (6, 9)


@pytest.mark.parametrize("fit", [1, 4, 21, 24, 500])
def test_both_sides_need_two_people(fit):
    few = {1: (5, 1), 4: (5, 1), 21: (0, 6), 24: (0, 6), 500: (0, 6)}[fit]
    message = (
        f"splits.fit leaves {few[0]} people to attack and {few[1]} to set the threshold on, of 6; each side needs two"
    )
    with pytest.raises(UsageError, match=re.escape(message)):
        make_trials(photos_of(dict.fromkeys("abcdef", 4)), fit, 1, 2)


def test_too_few_people_are_told():
    with pytest.raises(
        UsageError, match=r"verification needs four people at least, two to set the threshold on .*; friends has 3"
    ):
        make_trials(photos_of(dict.fromkeys("abc", 10)), 0, 4, 5)


def test_people_with_too_few_photos_are_named_with_how_many_they_have():
    counts = dict.fromkeys("abcdefgh", 10) | {"b": 9, "e": 1}
    with pytest.raises(UsageError) as error:
        make_trials(photos_of(counts), 0, 4, 5)
    (message,) = error.value.messages
    assert message.startswith(
        "friends: 2 of 8 people have fewer than 10 photos, one to attack with, 4 that an attacker may have"
    )
    assert "and 5 that judge: b (9), e (1); add photos" in message
    make_trials(photos_of(counts | {"b": 10, "e": 10}), 0, 4, 5)
    with pytest.raises(
        UsageError, match=r"8 of 8 people have fewer than 11 photos.*: a \(10\), .*e \(10\), \.\.\.; add"
    ):
        make_trials(photos_of(dict.fromkeys("abcdefgh", 10)), 0, 5, 5)


def test_a_column_of_the_data_that_is_called_as_one_of_the_trial_does_not_stand_for_it():
    photos = photos_of(dict.fromkeys("abcd", 3))
    strange = photos.table.append_column("target", pa.array(["nobody"] * 12)).append_column(
        REFERENCES[0], pa.array([["a/0"]] * 12)
    )
    trials = make_trials(Dataset("friends", strange, 4), 0, 1, 1)[0]
    plain = make_trials(photos, 0, 1, 1)[0]
    assert rows_of(trials) == rows_of(plain)
    assert trials.table.column_names.count("target") == 1
