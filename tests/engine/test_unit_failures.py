"""What fails everything is the unit's failure, tried again by the next run; what is lost never turns into a robust sample."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from small_jobs import PGD, load, parts, run_here, table

from raygrid.results.open import open_results
from raygrid.victims import mnist_cnn

ATTACK = {**PGD, "eps": 0.2}


def outage(monkeypatch):
    """Make every victim fail on whatever it is shown after its preflight."""

    def down(victim, *_):
        raise ConnectionError("the service is down")

    monkeypatch.setattr("raygrid.engine.host.check_victim", lambda *_, **__: [])
    monkeypatch.setattr("raygrid.victims.victim.Victim.forward", down)


def test_an_outage_is_no_result_and_the_next_run_tries_again(tmp_path, monkeypatch):
    job = load(tmp_path, victims=["mnist-cnn"], attacks=[ATTACK])
    with monkeypatch.context() as patch:
        outage(patch)
        down = run_here(job)
    assert (down.state, down.computed, down.failed) == ("failed", 0, 4)
    assert not parts(job.results, "trials")
    assert {row["status"] for row in table(job.results)} == {"error"}
    again = run_here(job)
    assert (again.state, again.computed, again.failed) == ("complete", 4, 0)
    assert "error" not in {row["status"] for row in table(job.results)}


def test_an_example_that_was_lost_is_an_error_and_never_robust(tmp_path):
    job = load(tmp_path, victims=["mnist-cnn"], attacks=[ATTACK])
    run_here(job)
    sound = {row["sample_id"]: row["status"] for row in table(job.results)}
    for file in parts(job.results, "trials").values():
        file.unlink()
    for file in parts(job.results, "examples").values():
        pq.write_table(pq.read_table(file).slice(1), file)
    outcome = run_here(job)
    assert outcome.state == "failed"
    assert {row["status"] for row in table(job.results)} == {"error"}
    assert "robust" in sound.values() or "broken" in sound.values()


def test_the_accuracy_is_null_in_sql_where_samples_have_no_verdict(tmp_path, monkeypatch):
    job = load(tmp_path, victims=["mnist-cnn"], attacks=[ATTACK])
    with monkeypatch.context() as patch:
        outage(patch)
        run_here(job)
    (row,) = open_results(job.results).query("SELECT * FROM summary").to_pylist()
    assert row["robust_accuracy"] is None
    assert (row["robust_accuracy_worst"], row["robust_accuracy_best"], row["error"]) == (0, 1, 32)


@pytest.mark.parametrize("budget", [{"queries": 1}, {"queries": 3}, {"gradients": 1}])
def test_a_spent_budget_leaves_the_last_iterate_and_not_the_clean_image(tmp_path, budget):
    job = load(tmp_path, victims=["mnist-cnn"], attacks=[{**ATTACK, "budget": budget, "steps": 3}])
    run_here(job)
    rows = [row for row in table(job.results) if row["status"] != "clean_wrong"]
    assert all(row["linf"] > 0 for row in rows)
    assert "broken" in {row["status"] for row in rows}


def test_a_victim_that_returns_probabilities_is_refused(tmp_path, monkeypatch):
    plain = mnist_cnn.build
    monkeypatch.setattr(mnist_cnn, "build", lambda params, info: _softened(plain(params, info)))
    with pytest.raises(Exception, match=r"returns probabilities.*return the logits before the softmax"):
        run_here(load(tmp_path, victims=["mnist-cnn"], attacks=[ATTACK]))


def _softened(victim):
    logits = victim.forward
    victim.forward = lambda x: logits(x).softmax(1)
    return victim


def test_datasets_that_differ_in_a_parameter_have_cells_and_worst_cases_of_their_own(tmp_path):
    data = {"use": "mnist-5k", "limit": 8, "split": ["held-out", "train"]}
    job = load(tmp_path, data=data, victims=["mnist-cnn"], attacks=[ATTACK])
    run_here(job)
    found = open_results(job.results)
    assert {row["data"] for row in found.query("SELECT data FROM summary").to_pylist()} == {
        "mnist-5k",
        "mnist-5k(split=train)",
    }
    worst = found.query("SELECT planned, n, attacks FROM worst_case").to_pylist()
    assert worst == [{"planned": 8, "n": 8, "attacks": 1}] * 2
    assert isinstance(found.arrow("worst_case"), pa.Table)
