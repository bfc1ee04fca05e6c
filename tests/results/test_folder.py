"""The layout and its commits."""

import json

import pytest
from small_folder import key, trial

from raygrid.errors import UsageError
from raygrid.results.folder import (
    check,
    commit_craft,
    commit_failure,
    commit_trials,
    forsake,
    indexed_runs,
    keys,
    part_name,
    prepare,
    read_crafts,
    read_examples,
    read_runs,
    write_index,
    write_run,
)
from raygrid.results.schema import EXAMPLES, SCHEMA_VERSION
from raygrid.results.store import LocalStore

UNIT = key("u")


def test_a_folder_is_prepared_once_and_taken_again(tmp_path):
    store = LocalStore(tmp_path)
    assert [prepare(store), prepare(store)] == [True, False]
    assert json.loads(store.get("raygrid.json")) == {"schema_version": SCHEMA_VERSION}


def test_a_folder_is_forsaken_only_while_nothing_was_written_to_it(tmp_path):
    store = LocalStore(tmp_path / "results")
    prepare(store)
    store.put("runs/x.json", b"")
    forsake(store)
    assert store.exists("raygrid.json") and store.exists("runs/x.json")
    store.delete("runs/x.json")
    forsake(store)
    assert not store.root.exists() and tmp_path.exists()


@pytest.mark.parametrize("there", [True, False])
def test_a_forsaken_folder_stays_where_a_person_made_it(tmp_path, there):
    store = LocalStore(tmp_path / "results")
    if there:
        (store.root / "own").mkdir(parents=True)
    prepare(store)
    forsake(store)
    assert store.root.exists() is there
    assert [path.name for path in store.root.glob("*")] == ["own"] * there


@pytest.mark.parametrize("touch", [prepare, check])
@pytest.mark.parametrize(
    ("marker", "message"),
    [
        (
            '{"schema_version": 99}',
            f"schema version 99, this raygrid writes version {SCHEMA_VERSION} and reads no later one: use another folder",
        ),
        ("<html>", "not what raygrid writes there"),
        ("[1]", "not what raygrid writes there"),
        ("{}", "not what raygrid writes there"),
    ],
)
def test_a_folder_of_someone_else_is_refused(tmp_path, touch, marker, message):
    store = LocalStore(tmp_path)
    store.put("raygrid.json", marker.encode())
    with pytest.raises(UsageError, match=message):
        touch(store)
    assert store.get("raygrid.json") == marker.encode()


def test_the_second_commit_of_a_unit_changes_nothing(folder):
    assert commit_trials(folder.store, UNIT, [trial("u", "s1", "robust")], samples=1)
    assert not commit_trials(folder.store, UNIT, [trial("u", "s1", "broken")], samples=1)
    assert keys(folder.store, "trials") == {UNIT}


REFUSED = {
    "no rows": ([], None, "one or more rows, not 0"),
    "a sample missing": ([trial("u", "s1", "robust")], 2, "2 rows, not 1"),
    "a sample twice": ([trial("u", "s1", "robust")] * 2, 2, "sample_id is missing or stands twice"),
    "a sample without a name": ([trial("u", None, "robust")], 1, "sample_id is missing or stands twice"),
    "rows of another unit": ([trial("v", "s1", "robust")], 1, "rows of another unit_key"),
    "an unknown column": ([trial("u", "s1", "robust", cel="x")], 1, 'no column "cel"'),
}


@pytest.mark.parametrize("commit", [commit_trials, commit_failure])
@pytest.mark.parametrize(("rows", "samples", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_refuses_to_commit(folder, commit, rows, samples, message):
    rows = [row | {"status": "error"} for row in rows]
    with pytest.raises(ValueError, match=message):
        commit(folder.store, UNIT, rows, samples)
    assert not list(folder.store.list("trials")) and not list(folder.store.list("failures"))


def test_a_failure_has_no_verdict(folder):
    with pytest.raises(ValueError, match="not 'robust'"):
        commit_failure(folder.store, UNIT, [trial("u", "s1", "error"), trial("u", "s2", "robust")])


def test_a_later_failure_takes_the_place_of_an_earlier_one(folder):
    for status in ("timeout", "error"):
        commit_failure(folder.store, UNIT, [trial("u", "s1", status)])
    assert keys(folder.store, "failures") == {UNIT} and keys(folder.store, "trials") == set()


@pytest.mark.parametrize("wrong", ["", "a", "../../etc", "aa/bb"])
def test_a_key_is_no_path(folder, wrong):
    with pytest.raises(ValueError, match="hex digits"):
        commit_trials(folder.store, wrong, [trial("u", "s1", "robust", unit_key=wrong)])


def test_examples_come_back_as_they_were(folder):
    assert folder.craft("u", "s1", "s2")
    examples = read_examples(folder.store, UNIT)
    assert examples.schema == EXAMPLES.arrow
    assert examples.select(["sample_id", "shape"]).to_pylist()[1] == {"sample_id": "s2", "shape": [3, 2, 2]}
    assert not folder.craft("u", "s1", "s2")


def test_a_craft_that_died_before_its_costs_is_done_again(folder, monkeypatch):
    kept = LocalStore.put

    def dies(store, name, content):
        if name.startswith("crafts/"):
            raise KeyboardInterrupt
        kept(store, name, content)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(LocalStore, "put", dies)
        folder.craft("u", "s1")
    assert keys(folder.store, "crafts") == set()
    assert folder.craft("u", "s1") and keys(folder.store, "crafts") == {UNIT}


def test_a_failed_sample_has_a_cost_and_no_example(folder):
    rows = [{"craft_key": UNIT, "sample_id": "s1", "status": "error", "error": "NaN"}]
    assert commit_craft(folder.store, UNIT, rows, [])
    assert read_examples(folder.store, UNIT) == EXAMPLES.arrow.empty_table()
    assert read_crafts(folder.store, UNIT)["error"].to_pylist() == ["NaN"]


def test_removed_examples_can_be_made_again(folder):
    folder.craft("u", "s1")
    folder.store.delete(part_name("examples", UNIT))
    with pytest.raises(FileNotFoundError):
        read_examples(folder.store, UNIT)
    assert folder.craft("u", "s1")
    assert read_examples(folder.store, UNIT).num_rows == 1


def test_an_example_without_a_craft_row_is_refused(folder):
    with pytest.raises(ValueError, match="examples without a craft row: s2"):
        commit_craft(
            folder.store,
            UNIT,
            [{"craft_key": UNIT, "sample_id": "s1", "status": "crafted"}],
            [{"craft_key": UNIT, "sample_id": "s2"}],
        )
    assert not list(folder.store.list("examples"))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "has no units"),
        ([{"grid": "g", "cell_id": "c", "unit_key": UNIT}] * 2, "stands twice in one cell"),
        ([{"grid": "g", "cell_id": "c", "unit": UNIT}], 'index has no column "unit"'),
    ],
)
def test_refuses_an_index(folder, rows, message):
    with pytest.raises(ValueError, match=message):
        write_index(folder.store, "r1", rows)


def test_runs_are_listed_oldest_first(folder):
    for run, started in (("b", "2026-01-02"), ("a", "2026-01-03"), ("c", "2026-01-01")):
        write_index(folder.store, run, iter([{"grid": "g", "cell_id": "c", "unit_key": UNIT}]))
        write_run(folder.store, run, {"started": started})
    assert indexed_runs(folder.store) == list(read_runs(folder.store)) == ["c", "b", "a"]
