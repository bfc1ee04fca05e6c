"""What a run promises: nothing is computed twice, what changed is computed again, and faults stay where they are."""

import errno
import os
from dataclasses import replace

import numpy as np
import pytest
from small_jobs import (
    BOTH,
    CODE,
    DIGITS,
    PGD,
    examples,
    faulty,
    load,
    marked_digits,
    mend,
    parts,
    run_here,
    statuses,
    table,
    write_job,
)

from raygrid.engine import host
from raygrid.engine.run import Options
from raygrid.errors import UsageError
from raygrid.job import load_job
from raygrid.registry import components
from raygrid.results.open import open_results
from raygrid.results.status import read_status
from raygrid.results.store import open_store

ONE = [{**PGD, "eps": 0.1}]
FROM_CNN = {**PGD, "eps": 0.2, "access": "transfer", "source": ["mnist-cnn"]}


def computed(job):
    """Run a job and return how many units it computed and how many it reused."""
    executors = []
    outcome = run_here(job, executors=executors)
    assert outcome.state == "complete"
    assert bool(executors) == bool(outcome.computed)
    return outcome.computed, outcome.reused


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The job as it is without changes, complete."""
    job = load(tmp_path_factory.mktemp("undisturbed"))
    computed(job)
    return job


def test_a_rerun_computes_nothing_and_starts_no_host(tmp_path):
    job = load(tmp_path)
    assert computed(job) == (16, 0)
    first = table(job.results)
    assert computed(job) == (0, 16)
    assert table(job.results) == first


def test_a_new_victim_computes_only_its_own_units(tmp_path):
    computed(load(tmp_path, victims=["mnist-cnn"]))
    assert computed(load(tmp_path)) == (8, 8)


def test_a_larger_limit_reuses_whole_shards(tmp_path):
    computed(load(tmp_path, victims=["mnist-cnn"], attacks=ONE, data={**DIGITS, "limit": 20}))
    assert computed(load(tmp_path, victims=["mnist-cnn"], attacks=ONE, data={**DIGITS, "limit": 32})) == (2, 2)


def mine(tmp_path, **words):
    return {"victims": [faulty(tmp_path, "raise", target=f"{tmp_path}/mine.py:make", **words)]}


def bumped(tmp_path, kind, name):
    newer = {**components(), (kind, name): replace(components()[kind, name], version=99)}
    return load_job(tmp_path / "job.yaml", components=newer)


def relabeled(tmp_path):
    arrays = dict(np.load(tmp_path / "digits.npz"))
    arrays["y"][-1] = (arrays["y"][-1] + 1) % 10
    np.savez(tmp_path / "digits.npz", **arrays)


CHANGES = {
    "nothing": (lambda tmp_path: None, 0),
    "a byte of the code": (lambda tmp_path: (tmp_path / "mine.py").open("a").write("#"), 4),
    "the label of one sample": (relabeled, 1),
}
"""What is changed outside the job file, and how many of four shards are computed again."""


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_outside_the_job_file_computes_again_what_depends_on_it(tmp_path, change):
    (tmp_path / "mine.py").write_text(CODE.read_text())
    job = {"data": marked_digits(tmp_path, 20), "attacks": ONE, **mine(tmp_path)}
    mend(tmp_path)
    computed(load(tmp_path, **job))
    do, again = CHANGES[change]
    do(tmp_path)
    assert computed(load(tmp_path, **job)) == (again, 4 - again)


@pytest.mark.parametrize(
    "words", [{"mean": [0.1]}, {"std": [0.9]}, {"id": "other"}, {"args": {"fault": "nan", "mended": "/"}}], ids=str
)
def test_a_change_of_the_victim_computes_again(tmp_path, words):
    (tmp_path / "mine.py").write_text(CODE.read_text())
    mend(tmp_path)
    computed(load(tmp_path, attacks=ONE, **mine(tmp_path)))
    assert computed(load(tmp_path, attacks=ONE, **mine(tmp_path, **words))) == (4, 0)


@pytest.mark.parametrize(("kind", "name"), [("attack", "pgd"), ("victim", "mnist-cnn"), ("defense", "none")])
def test_a_new_version_of_a_component_computes_again(tmp_path, kind, name):
    computed(load(tmp_path, victims=["mnist-cnn"], attacks=ONE))
    assert computed(bumped(tmp_path, kind, name)) == (4, 0)


def test_results_are_bit_identical_for_another_order_of_units(tmp_path):
    attacks = [PGD, {"use": "uniform-noise", "norm": "l2", "eps": 2, "draws": 3}]
    forward = load(tmp_path, attacks=attacks, name="forward")
    backward = load(tmp_path, attacks=attacks[::-1], victims=BOTH[::-1], name="backward")
    computed(forward)
    computed(backward)
    assert table(forward.results) == table(backward.results)
    assert examples(forward.results) == examples(backward.results)


@pytest.mark.parametrize("kept", ["examples", "crafts", "both"])
def test_a_run_that_ended_between_crafting_and_judging_goes_on_to_the_same_rows(tmp_path, kept, undisturbed):
    job = load(tmp_path)
    computed(job)
    for file in parts(job.results, "trials").values():
        file.unlink()
    if kept != "both":
        for file in parts(job.results, {"examples": "crafts", "crafts": "examples"}[kept]).values():
            file.unlink()
    assert computed(job) == (16, 0)
    assert table(job.results) == table(undisturbed.results)
    assert examples(job.results) == examples(undisturbed.results)


@pytest.mark.parametrize("fault", ["raise", "nan"])
def test_a_sample_that_its_victim_fails_on_is_an_error_row_and_the_others_are_judged(tmp_path, fault):
    data = marked_digits(tmp_path, 20)
    job = load(tmp_path, data=data, victims=[faulty(tmp_path, fault)])
    assert computed(job) == (8, 0)
    rows = table(job.results)
    mend(tmp_path)
    sound = load(tmp_path, data=data, victims=[faulty(tmp_path, fault)], name="sound")
    computed(sound)

    assert [row["sample_id"] for row in rows if row["status"] == "error"] == ["20"] * 2
    told = {"raise": "too much for this victim", "nan": "not finite"}[fault]
    assert all(told in row["error"] for row in rows if row["status"] == "error")
    # Floats in the marked sample's own shard may differ in the last digits: that shard was split around it.
    others = [(row["cell_id"], row["sample_id"], row["status"], row["prediction"]) for row in rows]
    expected = [(row["cell_id"], row["sample_id"], row["status"], row["prediction"]) for row in table(sound.results)]
    assert [row for row in others if row[1] != "20"] == [row for row in expected if row[1] != "20"]


def broken_crafting(monkeypatch, eps):
    """Let crafting at this eps fail as a whole, as it would without memory; return how to undo that."""
    real = host.craft

    def craft(model, batch, attack, *rest, **more):
        if attack.eps == eps:
            raise MemoryError("no memory left")
        return real(model, batch, attack, *rest, **more)

    monkeypatch.setattr(host, "craft", craft)
    return lambda: monkeypatch.setattr(host, "craft", real)


def test_a_unit_that_fails_as_a_whole_is_told_shown_as_unknown_and_tried_again(tmp_path, monkeypatch):
    undo = broken_crafting(monkeypatch, 0.2)
    job = load(tmp_path, victims=["mnist-cnn-adv"])
    outcome = run_here(job)
    assert (outcome.state, outcome.computed, outcome.failed) == ("failed", 4, 4)
    sound, failed = open_results(job.results).query("FROM summary ORDER BY eps").to_pylist()
    assert (sound["n"], sound["error"]) == (32, 0)
    assert sound["robust_accuracy_worst"] == sound["robust_accuracy_best"] == sound["robust_accuracy"]
    assert (failed["n"], failed["error"], failed["robust_accuracy"]) == (32, 32, None)
    assert (failed["robust_accuracy_worst"], failed["robust_accuracy_best"]) == (0, 1)
    assert all("MemoryError: no memory left" in row["error"] for row in table(job.results) if row["eps"] == 0.2)

    undo()
    assert computed(job) == (4, 4)
    assert {row["status"] for row in table(job.results)} <= {"robust", "broken", "clean_wrong"}
    whole = load(tmp_path, victims=["mnist-cnn-adv"], name="whole")
    computed(whole)
    assert table(job.results) == table(whole.results)


def test_a_failed_run_is_not_published(tmp_path, monkeypatch):
    broken_crafting(monkeypatch, 0.2)
    job = load(tmp_path)
    run_here(job)
    assert not (tmp_path / "job" / "snapshot").exists()


def test_fail_fast_stops_a_run_and_a_rerun_completes_it(tmp_path, monkeypatch, undisturbed):
    undo = broken_crafting(monkeypatch, 0.1)
    job = load(tmp_path)
    outcome = run_here(job, Options(fail_fast=True))
    assert outcome.state == "failed"
    assert outcome.computed + outcome.failed < 16
    undo()
    executors = []
    assert run_here(job, executors=executors).state == "complete"
    assert table(job.results) == table(undisturbed.results)


def test_transfer_crafts_once_on_the_source_and_judges_on_every_victim(tmp_path):
    job = load(tmp_path, attacks=[FROM_CNN])
    assert computed(job) == (8, 0)
    assert len(parts(job.results, "crafts")) == len(parts(job.results, "examples")) == 4
    by_victim = {victim: [row for row in table(job.results) if row["victim"] == victim] for victim in BOTH}
    crafted = [{row["sample_id"]: row["craft_key"] for row in rows} for rows in by_victim.values()]
    assert crafted[0] == crafted[1]
    assert {row["source"] for row in table(job.results)} == {"mnist-cnn"}


def test_examples_judged_on_their_own_source_break_what_a_white_box_attack_breaks(tmp_path):
    job = load(tmp_path, attacks=[FROM_CNN, {**PGD, "eps": 0.2, "access": "gradient"}], victims=["mnist-cnn"])
    computed(job)
    transfer, white_box = statuses(job.results).values()
    assert transfer == white_box
    assert "broken" in transfer.values()


def test_examples_to_transfer_are_crafted_for_samples_that_the_source_gets_wrong_too(tmp_path):
    arrays = marked_digits(tmp_path, 20)
    relabeled(tmp_path)
    job = load(tmp_path, data=arrays, attacks=[FROM_CNN])
    computed(job)
    rows = [row for row in table(job.results) if row["sample_id"] == "31"]
    assert {row["status"] for row in rows} == {"clean_wrong"}
    assert all(row["linf"] > 0.1 for row in rows)


def test_a_victim_added_to_a_transfer_grid_judges_the_examples_that_are_there(tmp_path):
    computed(load(tmp_path, attacks=[FROM_CNN], victims=["mnist-cnn"]))
    crafted = {key: file.stat().st_mtime_ns for key, file in parts(tmp_path / "job", "crafts").items()}
    assert computed(load(tmp_path, attacks=[FROM_CNN])) == (4, 4)
    assert {key: file.stat().st_mtime_ns for key, file in parts(tmp_path / "job", "crafts").items()} == crafted


def test_a_source_that_fails_fails_every_victim_that_waits_for_it_and_no_other(tmp_path, monkeypatch):
    broken_crafting(monkeypatch, 0.2)
    job = load(tmp_path, attacks=[FROM_CNN, *ONE])
    outcome = run_here(job)
    assert (outcome.state, outcome.computed, outcome.failed) == ("failed", 8, 8)
    assert {row["access"] for row in table(job.results) if row["status"] == "error"} == {"transfer"}


@pytest.mark.parametrize("after", [3, 9, 22], ids="after {} writes".format)
def test_a_full_disk_is_told_loses_nothing_and_leaves_nothing_half_written(tmp_path, monkeypatch, after, undisturbed):
    job = load(tmp_path)
    real, writes = os.fsync, iter(range(10**6))

    def fsync(descriptor):
        if next(writes) >= after:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(UsageError, match="disk full: cannot write"):
        run_here(job)
    monkeypatch.setattr(os, "fsync", real)
    assert not list((tmp_path / "job" / ".staging").glob("*"))
    assert run_here(job).state == "complete"
    assert table(job.results) == table(undisturbed.results)


def test_a_run_that_ends_early_says_so_and_keeps_what_it_committed(tmp_path, monkeypatch):
    real = host.VictimHost._score

    def score(self, unit, *rest):
        if unit.cell.attack.eps == 0.2:
            raise UsageError("the weights are gone")
        return real(self, unit, *rest)

    monkeypatch.setattr(host.VictimHost, "_score", score)
    job = load(tmp_path)
    with pytest.raises(UsageError, match="the weights are gone"):
        run_here(job)
    assert read_status(open_store(job.results))["state"] == "stopped"
    (manifest,) = open_results(job.results).runs().to_pylist()
    assert manifest["state"] == "stopped"
    kept = len(parts(job.results, "trials"))
    monkeypatch.setattr(host.VictimHost, "_score", real)
    assert computed(job) == (16 - kept, kept)


def test_a_unit_that_two_grids_share_is_computed_and_counted_once(tmp_path):
    file = write_job(tmp_path, attacks=ONE)
    text = file.read_text()
    grid = text[text.index('"digits": ') + len('"digits": ') : -2]
    file.write_text(f'{text[:-2]}, "again": {grid}}}}}')
    job = load_job(file)
    assert computed(job) == (8, 0)
    assert computed(job) == (0, 8)
    assert {row["grid"] for row in table(job.results)} == {"digits", "again"}
    assert read_status(open_store(job.results))["victims"]["digits / mnist-cnn"]["planned"] == 4
