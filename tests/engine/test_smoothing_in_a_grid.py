"""Randomized smoothing through the whole grid: certificates on every trial, answers that are none, and what is refused."""

import json

import pytest
from small_jobs import DIGITS, load, run_here, table

from raygrid.defenses.smoothing import Smoothed
from raygrid.engine.replay import replay
from raygrid.errors import UsageError
from raygrid.results.open import open_results

SMOOTHING = {"use": "smoothing", "sigma": 0.25, "votes": 12, "n0": 10, "n": 60, "alpha": 0.01}
GRID = {
    "data": {**DIGITS, "limit": 12, "shard": 6},
    "victims": ["mnist-cnn"],
    "defenses": ["none", SMOOTHING],
    "attacks": [
        {"use": "pgd", "norm": "l2", "eps": 1.5, "steps": 3, "eot": 2},
        {"use": "pgd", "norm": "l2", "eps": 1.5, "steps": 3, "awareness": "none"},
        {
            "use": "uniform-noise",
            "norm": "linf",
            "eps": 0.3,
            "draws": 2,
            "eot": 1,
            "channel": "view",
            "awareness": "none",
        },
    ],
    "judge": {"draws": 3},
}


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    looks = []
    certify = Smoothed.certify
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Smoothed, "certify", lambda self, x, draws: (looks.append(len(x)), certify(self, x, draws))[1])
        job = load(tmp_path_factory.mktemp("smoothing"), **GRID)
        assert run_here(job).state == "complete"
    assert looks == [6, 6], "once for each shard, whatever attacks it"
    return job


def rows_of(job, defense):
    return [row for row in table(job.results) if row["defense"] == defense]


def test_every_trial_of_the_defense_has_its_radius_and_no_other_has_one(job):
    assert {row["certified_radius"] for row in rows_of(job, "none")} == {None}
    assert {row["abstained"] for row in rows_of(job, "none")} == {None}
    smoothed = rows_of(job, "smoothing")
    assert {row["certified_radius"] for row in smoothed if row["channel"]} == {None}
    direct = [row for row in smoothed if not row["channel"]]
    radii = {(row["sample_id"], row["certified_radius"]) for row in direct}
    assert len(direct) == 24 and len(radii) == 12, "one a sample, whatever the attack"
    assert sum(radius > 0 for _, radius in radii) >= 6 and all(0 <= radius < 0.4 for _, radius in radii)


def test_no_answer_is_said_and_breaks(job):
    smoothed = [row for row in rows_of(job, "smoothing") if row["prediction"] is not None]
    assert all(row["abstained"] is (row["prediction"] == "abstain") for row in smoothed)
    assert all((row["confidence"] is None) is row["abstained"] for row in smoothed)
    nothing = [row for row in smoothed if row["abstained"]]
    assert nothing and {row["status"] for row in nothing} <= {"broken", "clean_wrong"}
    assert all(not row["clean_correct"] for row in smoothed if row["clean_prediction"] == "abstain")


def test_certified_accuracy_counts_what_the_trials_say(job):
    radii = {row["sample_id"]: row["certified_radius"] for row in rows_of(job, "smoothing") if not row["channel"]}
    found = open_results(job.results).arrow("certified").to_pylist()
    assert len(found) >= 3 and found[-1]["certified_accuracy_num"] == 0
    for row in found:
        count = sum(radius > row["radius"] for radius in radii.values())
        assert (row["certified_accuracy_num"], row["certified_accuracy"]) == (count, count / 12)
    beside = open_results(job.results).arrow("certified_distance").to_pylist()
    assert {row["awareness"] for row in beside} == {"none", "defense"}
    assert all(row["least_l2"] <= row["median_l2"] <= 1.5 + 1e-5 and row["refuted_num"] == 0 for row in beside)


def test_a_rerun_computes_nothing_and_a_trial_is_replayed_to_the_bit(job, tmp_path):
    assert run_here(job).computed == 0
    row = next(row for row in rows_of(job, "smoothing") if row["abstained"])
    same, _ = replay(job.results, row["unit_key"], row["sample_id"], tmp_path)
    assert same


def test_one_draw_may_judge_since_its_votes_are_tested(tmp_path):
    grid = {**GRID, "data": {**DIGITS, "limit": 4, "shard": 4}, "defenses": [SMOOTHING], "attacks": GRID["attacks"][:1]}
    job = load(tmp_path, **{**grid, "judge": {"draws": 1}})
    assert run_here(job).state == "complete"
    assert {row["draws"] for row in table(job.results)} == {1}


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"n": 5}, "even if all 5 noisy copies of n agreed, smoothing could never certify at alpha 0.01; it must be 7 or more"),
        ({"votes": 5}, "even if all 5 noisy copies of votes agreed, smoothing could never answer at alpha 0.01; it must be 8"),
        ({"sigma": 0}, "sigma"),
    ],
)  # fmt: skip
def test_smoothing_that_could_prove_nothing_is_refused_where_the_job_file_says_so(tmp_path, params, message):
    with pytest.raises(UsageError) as caught:
        load(tmp_path, **{**GRID, "defenses": [{**SMOOTHING, **params}]})
    (said,) = caught.value.messages
    assert message in said and "job.yaml:1:" in said and "defenses" in said
    assert json.loads((tmp_path / "job.yaml").read_text()) and not (tmp_path / "job").exists()
