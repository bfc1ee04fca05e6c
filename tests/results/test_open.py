"""Opening a folder, and what comes out of it in each form."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from small_folder import Unit, key

from raygrid.errors import UsageError
from raygrid.results import open as opening
from raygrid.results.folder import prepare
from raygrid.results.open import open_results
from raygrid.results.store import LocalStore

TWO = Unit("c.0", {"s1": "robust", "s2": "broken"})


@pytest.fixture
def results(folder):
    folder.craft("c.0", "s1", "s2")
    return folder.run(TWO)


NEW_IN_7 = {"false_gradients"}
NEW_IN_6 = NEW_IN_7 | {"pair_distance"}
NEW_IN_3 = NEW_IN_6 | {"lpips", "lpips_stored", "clean_detected", "fit_key", "judged", "layer_distance"}
NEW_IN_2 = NEW_IN_3 | {"eot", "suite", "stage", "stages", "zero_gradients", "parent_key"}
LACKING = {1: NEW_IN_2, 2: NEW_IN_3, 5: NEW_IN_6, 6: NEW_IN_7}
"""Schema version -> columns that its folders lack."""


@pytest.mark.parametrize("version", LACKING)
def test_a_folder_of_an_earlier_schema_version_is_read_and_not_added_to(results, folder, version):
    for file in folder.store.root.rglob("*.parquet"):
        table = pq.read_table(file)
        pq.write_table(table.drop_columns([name for name in table.column_names if name in LACKING[version]]), file)
    folder.store.put("raygrid.json", json.dumps({"schema_version": version}).encode())
    old = open_results(folder.store.root)
    assert old.query("SELECT robust, broken, suite FROM summary").to_pylist() == [
        {"robust": 1, "broken": 1, "suite": None}
    ]
    with old.duckdb() as connection:
        counts = connection.sql("SELECT count(*), count(stage), count(lpips), count(layer_distance) FROM trials")
        assert counts.fetchall() == [(2, 0, 0, 0)]
    assert old.query("FROM layer_profile").num_rows == old.query("FROM recovery").num_rows == 0
    with pytest.raises(
        UsageError,
        match=rf"has schema version {version}: it can be read and queried; new results .* `--results FOLDER`",
    ):
        prepare(folder.store)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "not a results folder"),
        (lambda path: path.mkdir(), "not a results folder"),
        (lambda path: path.write_text("x"), "not a results folder"),
        (lambda path: prepare(LocalStore(path)), "has no run yet; `raygrid run JOB` starts one"),
    ],
    ids=["missing", "empty", "a file", "without a run"],
)
def test_says_what_is_wrong_with_a_folder_and_makes_none(tmp_path, make, message):
    path = tmp_path / "r"
    make(path)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UsageError, match=message):
        open_results(path)
    assert sorted(tmp_path.rglob("*")) == before


def test_an_unknown_run_is_named_with_the_nearest(folder):
    folder.run(TWO, run="run-1")
    with pytest.raises(UsageError, match='unknown run "run-2"; did you mean "run-1"'):
        open_results(folder.store.root, "run-2")


def test_every_form_holds_the_same_trials(results):
    expected = ["broken", "robust"]
    assert sorted(results.arrow()["status"].to_pylist()) == expected
    assert sorted(results.pandas()["status"]) == expected
    assert sorted(results.polars()["status"]) == expected
    assert results.duckdb().sql("SELECT status FROM trials ORDER BY 1").fetchall() == [("broken",), ("robust",)]


def test_cursors_of_the_database_see_the_views(results):
    assert results.duckdb().cursor().execute("SELECT count(*) FROM summary").fetchall() == [(1,)]


@pytest.mark.parametrize("package", ["pandas", "polars"])
def test_a_missing_extra_is_named(results, monkeypatch, package):
    monkeypatch.setattr(opening, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=rf"{package} is not installed; pip install 'raygrid\[frames\]'"):
        getattr(results, package)()


def test_a_folder_with_special_characters_in_its_name_opens(tmp_path, folder):
    folder.run(TWO)
    moved = folder.store.root.rename(tmp_path / "it's [a] 100% 'test'?")
    assert open_results(moved).arrow().num_rows == 2
    assert open_results(moved).query("SELECT count(*) AS n FROM trials")["n"].to_pylist() == [2]


def test_examples_are_arrays_beside_their_trials(results):
    (example,) = results.examples("status = 'broken' -- only these")
    assert (example.trial["sample_id"], example.x.dtype, example.x.shape) == ("s2", np.float32, (3, 2, 2))
    np.testing.assert_array_equal(example.x, np.arange(12, dtype=np.float32).reshape(3, 2, 2) + 1)
    np.testing.assert_array_equal(example.stored, example.x.astype(np.uint8))
    example.x[:] = 0  # not read-only, so torch.from_numpy takes it without a warning


def test_trials_without_an_example_are_left_out(folder):
    folder.craft("c.0", "s1")
    results = folder.run(TWO, Unit("d.0", {"s1": "robust"}))
    assert [example.trial["sample_id"] for example in results.examples()] == ["s1"]


def test_a_wrong_condition_is_refused_before_anything_is_read(results):
    with pytest.raises(UsageError, match=r'"statuss".*Candidate bindings: .*"status"'):
        results.examples("statuss = 'broken'")


def test_a_query_answers(results):
    answer = results.query("SELECT victim, robust_accuracy FROM summary")
    assert answer.to_pylist() == [{"victim": "lite0", "robust_accuracy": 0.5}]


WRONG = {
    "syntax": ("SELEC 1", 'syntax error at or near "SELEC"'),
    "unknown column": ("SELECT victm FROM trials", 'victm.* Candidate bindings: .*"victim"'),
    "unknown view": ("FROM trails", 'Did you mean "trials"'),
    "nothing": ("", "one SELECT statement"),
    "two statements": ("SELECT 1; SELECT 2", "one SELECT statement"),
    "a write": ("COPY trials TO '{root}/x.csv'", "one SELECT statement"),
    "a write in disguise": ("WITH x AS (COPY runs TO '{root}/x.csv') FROM x", "Permission Error"),
    "a file of the folder": ("FROM read_text('{root}/raygrid.json')", "Permission Error"),
    "a file elsewhere": ("FROM read_text('/etc/passwd')", "Permission Error"),
    "another database": ("ATTACH '{root}/x.db'", "one SELECT statement"),
    "a change of settings": ("SET enable_external_access = true", "one SELECT statement"),
    "a corrupt number": ("SELECT 'a'::INTEGER", "Could not convert"),
}


@pytest.mark.parametrize(("sql", "message"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_query_gets_one_line_and_touches_no_file(results, sql, message):
    root = results.store.root
    before = sorted(root.rglob("*"))
    with pytest.raises(UsageError, match=message) as caught:
        results.query(sql.format(root=root))
    assert "\n" not in str(caught.value)
    assert sorted(root.rglob("*")) == before


def test_a_corrupt_part_is_named(results):
    part = results.store.root / f"trials/{key('c.0')[:2]}/{key('c.0')}.parquet"
    part.write_bytes(b"<html>")
    with pytest.raises(UsageError, match=part.name):
        results.query("FROM trials")
