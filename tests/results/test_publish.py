"""The snapshot: complete or not at all, the same rows, and never changed again."""

import re
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from small_folder import Unit, key, trial

from raygrid.errors import UsageError
from raygrid.results.columns import table
from raygrid.results.folder import encode, part_name, snapshot_name
from raygrid.results.publish import publish
from raygrid.results.schema import CRAFTS, PLACED_TRIALS, TRIALS

UNITS = (Unit("c.1", {"s3": "broken", "s4": "robust"}), Unit("c.0", {"s2": "robust", "s1": "clean_wrong"}))
VIEWS = ("trials", "crafts", "cells", "summary", "worst_case", "examples")


def test_a_snapshot_answers_every_view_as_the_parts_do(folder):
    folder.craft("c.0", "s1", "s2")
    folder.run(*UNITS)
    before = {view: folder.results().query(f"FROM {view} ORDER BY ALL") for view in VIEWS}
    assert publish(folder.store, "r1") is None
    for name in folder.store.list("trials"):
        folder.store.delete(name)
    assert {view: folder.results().query(f"FROM {view} ORDER BY ALL") for view in VIEWS} == before
    assert folder.results().arrow().num_rows == 4


def test_a_snapshot_has_the_schema_of_the_tables_and_is_sorted(folder):
    folder.craft("c.0", "s1", "s2")
    folder.run(*UNITS)
    publish(folder.store, "r1")
    trials = pq.read_table(folder.store.locate(snapshot_name("r1", PLACED_TRIALS)))
    assert trials.schema == PLACED_TRIALS.arrow
    assert trials["sample_id"].to_pylist() == ["s1", "s2", "s3", "s4"]
    assert pq.read_schema(folder.store.locate(snapshot_name("r1", CRAFTS))) == CRAFTS.arrow


def test_a_published_run_stays_as_it_is(folder):
    folder.run(*UNITS)
    publish(folder.store, "r1")
    published = folder.store.get(snapshot_name("r1", PLACED_TRIALS))
    folder.store.put(part_name("trials", key("c.0")), b"changed later")
    assert publish(folder.store, "r1") is None
    assert folder.store.get(snapshot_name("r1", PLACED_TRIALS)) == published


def foreign(*rows):
    """The bytes of a part that no commit would have made."""
    return encode(table(rows, TRIALS))


S1, S2 = trial("c.0", "s1", "robust"), trial("c.0", "s2", "robust")
ODD = {
    "a sample is doubled": (foreign(S1, S2, S2), f"unit {key('c.0')} has 3 rows of 2 samples, 2 samples were planned"),
    "a sample hides another": (foreign(S1, S1), "2 rows of 1 samples, 2 samples were planned"),
    "a sample is missing": (foreign(S1), "1 rows of 1 samples, 2 samples were planned"),
}


@pytest.mark.parametrize(("part", "reason"), ODD.values(), ids=ODD.keys())
def test_a_part_that_somebody_touched_is_not_published(folder, part, reason):
    folder.run(*UNITS)
    folder.store.put(part_name("trials", key("c.0")), part)
    assert reason in publish(folder.store, "r1")
    assert list(folder.store.list("snapshot")) == []


INCOMPLETE = {
    "a unit is missing": (Unit("d.0", {}, planned=3), "1 of 3 units have no results yet"),
    "a unit failed": (Unit("d.0", {"s1": "timeout"}, failed=True), "1 of 3 units have no results yet"),
}


@pytest.mark.parametrize(("unit", "reason"), INCOMPLETE.values(), ids=INCOMPLETE.keys())
def test_an_incomplete_run_is_not_published(folder, unit, reason):
    folder.run(*UNITS, unit)
    assert publish(folder.store, "r1") == reason
    assert list(folder.store.list("snapshot")) == []


def test_a_run_that_is_not_there_is_not_published(folder):
    assert publish(folder.store, "r9") == "run r9 has no index"


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1 and what a torn disk left of it"])
def test_a_damaged_file_is_told_by_name_with_the_fix(folder, content):
    folder.run(*UNITS)
    name = part_name("trials", key("c.0"))
    Path(folder.store.locate(name)).write_bytes(content)
    told = re.escape(f"{folder.store.locate(name)} is damaged; delete it and run the job again")
    with pytest.raises(UsageError, match=told):
        publish(folder.store, "r1")
    with pytest.raises(UsageError, match=told):
        folder.results().query("FROM trials")
    with pytest.raises(UsageError, match="query: "):
        folder.results().query("FROM trial")
