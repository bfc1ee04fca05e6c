"""`raygrid geometry` on a finished run: which pairs, at which sites, kept once, and refused in one message."""

import json
import shutil

import pytest
from small_jobs import DIGITS, PGD, faulty, load, parts, run_here

from raygrid.engine import geometry as module
from raygrid.engine.geometry import FALLEN, Look, Selection, geometry
from raygrid.errors import UsageError
from raygrid.results.open import open_results

LOOK = Look(radii=(0.0, 0.5, 2.0), directions=12)
FEATURE_SPACE = {"use": "feature-space", "target_layer": "relu3", "steps": 6, "lr": 0.1, "lc": 5, "draws": 2}
AIMED = "attack = 'feature-space'"


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    job = load(
        tmp_path_factory.mktemp("geometry"),
        data={**DIGITS, "limit": 12, "shard": 6},
        victims=["mnist-cnn"],
        defenses=["none", {"use": "noise", "site": "input", "sigma": 0.1}],
        attacks=[FEATURE_SPACE, {**PGD, "eps": 0.25, "awareness": "none"}],
    )
    assert run_here(job).state == "complete"
    return job.results


@pytest.fixture(scope="module")
def looked(finished, tmp_path_factory):
    """The same with what is around all pairs that fell."""
    copy = shutil.copytree(finished, tmp_path_factory.mktemp("looked") / "results")
    geometry(copy, Selection(), LOOK)
    return copy


@pytest.fixture
def results(finished, tmp_path):
    return shutil.copytree(finished, tmp_path / "results")


def stored(results, where="true"):
    rows = open_results(results).query(f"FROM geometry WHERE {where} ORDER BY ALL").to_pylist()
    return [{name: value for name, value in row.items() if name != "geometry_key"} for row in rows]


def fallen(results, where="true"):
    rows = open_results(results).query(f"FROM trials WHERE {FALLEN} AND {where}").to_pylist()
    return {(row["unit_key"], row["sample_id"]): row for row in rows}


def test_every_fallen_pair_is_looked_at_and_its_counts_sum_to_the_directions(looked):
    rows, trials = stored(looked), fallen(looked)
    assert {(row["unit_key"], row["sample_id"]) for row in rows} == set(trials)
    sums = {}
    for row in rows:
        at = (row["unit_key"], row["sample_id"], row["site"], row["center"], row["radius"])
        sums[at] = sums.get(at, 0) + row["count"]
    assert set(sums.values()) == {12}
    sites = {"feature-space": 2, "pgd": 4}
    assert len(sums) == sum(sites[trial["attack"]] * 2 * 3 for trial in trials.values())


def test_at_radius_0_stands_what_the_victim_answered_when_it_was_judged(looked):
    trials = fallen(looked)
    for row in stored(looked, "radius = 0"):
        trial = trials[row["unit_key"], row["sample_id"]]
        judged = {"original": trial["clean_prediction"], "example": trial["prediction"]}
        assert (row["class"], row["count"]) == (judged[row["center"]], 12)
        assert (row["original_class"], row["example_class"]) == tuple(judged.values())


def test_where_nobody_says_an_attack_is_looked_at_where_it_aimed(looked):
    found = {attack: {r["site"] for r in stored(looked, f"attack = '{attack}'")} for attack in ("feature-space", "pgd")}
    assert found == {"feature-space": {"input", "relu3"}, "pgd": {"input", "relu1", "relu2", "relu3"}}


def test_distance_and_norm_are_those_of_the_pair(looked):
    trials = fallen(looked)
    for row in stored(looked, "site = 'input'"):
        trial = trials[row["unit_key"], row["sample_id"]]
        assert row["distance"] * row["original_norm"] == pytest.approx(trial["l2"], rel=1e-5)


def test_counts_are_the_same_whatever_else_is_selected(results, looked):
    geometry(results, Selection(attack=AIMED, samples=2), Look(("relu3",), (0.5,), directions=12))
    found = stored(results)
    assert len({row["sample_id"] for row in found}) == 2
    samples = ", ".join(f"'{row['sample_id']}'" for row in found)
    assert found == stored(looked, f"{AIMED} AND site = 'relu3' AND radius = 0.5 AND sample_id IN ({samples})")


def test_absolute_radii_are_lengths(results):
    one = Selection(attack=AIMED, samples=1)
    geometry(results, one, Look(("relu3",), (0.5,), directions=40))
    relative = stored(results)
    norm = relative[0]["original_norm"]
    geometry(results, one, Look(("relu3",), (0.5 * norm,), "absolute", 40))
    absolute = stored(results, "radius_unit = 'absolute'")
    assert [(r["center"], r["class"], r["count"]) for r in absolute] == [
        (r["center"], r["class"], r["count"]) for r in relative
    ]
    assert absolute[0]["distance"] == pytest.approx(relative[0]["distance"] * norm)


def test_the_same_question_again_computes_nothing(results, monkeypatch):
    first = geometry(results, Selection(attack=AIMED), LOOK)
    monkeypatch.setattr(module, "load_model", lambda *_: pytest.fail("computed again"))
    assert geometry(results, Selection(attack=AIMED), LOOK).equals(first)
    assert len(parts(results, "geometry")) == 1


@pytest.mark.parametrize(
    ("selection", "look", "message"),
    [
        (Selection(victim="mnist-cn"), LOOK, 'this run has no victim "mnist-cn"; did you mean "mnist-cnn"'),
        (Selection(attack="status = 'robust'"), LOOK, "no trial is selected: geometry looks at examples that broke"),
        (Selection(attack="atack = 'pgd'"), LOOK, "query: .*atack"),
        (Selection(), Look(("relu4",)), 'victim "mnist-cnn" has no layer "relu4"; did you mean "relu[123]"'),
        (Selection(), Look(radii=(0, -1)), "radii: one or more different numbers, 0 or more, not 0, -1"),
        (Selection(), Look(radii=(1, float("nan"))), "radii: .* not 1, nan"),
        (Selection(), Look(radii=()), "radii: .* not none"),
        (Selection(), Look(radii=(1, 1)), "radii: one or more different numbers"),
    ],
)
def test_a_mistake_is_told_before_any_work(finished, selection, look, message):
    with pytest.raises(UsageError, match=message):
        geometry(finished, selection, look)
    assert not parts(finished, "geometry")


def test_examples_that_were_removed_are_told(results):
    shutil.rmtree(results / "examples")
    with pytest.raises(UsageError, match="the selected trials have no stored examples any more"):
        geometry(results, Selection(), LOOK)


def test_a_folder_of_an_earlier_version_is_not_added_to(results):
    (results / "raygrid.json").write_text(json.dumps({"schema_version": 2}))
    with pytest.raises(UsageError, match="has schema version 2"):
        geometry(results, Selection(), LOOK)


@pytest.fixture
def of_code(tmp_path):
    """A run of a victim that is Python code, and fails on inputs of a kind that the run had none of."""
    job = load(
        tmp_path,
        data={**DIGITS, "limit": 4},
        victims=[faulty(tmp_path, "raise")],
        attacks=[{**PGD, "eps": 0.2}],
    )
    assert run_here(job).state == "complete"
    return job.results


def test_code_of_the_job_runs_only_where_it_is_trusted(of_code):
    with pytest.raises(UsageError, match=r"trust: true.*say --trust to run that code here"):
        geometry(of_code, Selection(), LOOK)
    assert geometry(of_code, Selection(), Look(radii=(0.0, 0.001)), trust=True).num_rows


def test_a_victim_that_fails_on_such_points_is_told(of_code):
    with pytest.raises(UsageError, match=r'victim "faulty" fails around sample .*: ArithmeticError: the marked sample'):
        geometry(of_code, Selection(), Look(("input",), (2.0,)), trust=True)
