"""What is learned once for many units: run first, kept, found again, and never twice."""

from pathlib import Path

import pytest
from safetensors.numpy import load_file
from small_jobs import PGD, load, parts, run_here, shown, statuses, table

from raygrid.engine.estimate import plan_report
from raygrid.engine.inputs import read_inputs
from raygrid.engine.placement import HostWishes
from raygrid.engine.replay import replay
from raygrid.errors import UsageError
from raygrid.results.open import open_results

UNIVERSAL = {"use": "universal", "norm": "linf", "eps": 0.2, "epochs": 1}
SCALED = {"use": "noise", "site": "relu2", "sigma": 0.5, "unit": "std"}
FEW = {"use": "mnist-5k", "limit": 16, "shard": 8}
APART = {"splits": {"fit": 24}}


def fits(job):
    return open_results(job.results).query("SELECT * FROM fits ORDER BY kind, eps").to_pylist()


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fits")
    job = load(
        folder,
        data=FEW,
        victims=["mnist-cnn"],
        defenses=["none", SCALED],
        attacks=[{**UNIVERSAL, "eps": [0.1, 0.2]}, {**UNIVERSAL, "eps": 0.3, "awareness": "none"}],
        judge={"draws": 3},
        **APART,
    )
    run_here(job)
    return job


def test_each_is_fitted_once_whatever_number_of_shards_uses_it(job):
    found = fits(job)
    assert sorted((row["name"], row["eps"] or 0, row["defense"]) for row in found) == [
        ("noise", 0, "none"),
        ("universal", 0.1, "noise"),
        ("universal", 0.1, "none"),
        ("universal", 0.2, "noise"),
        ("universal", 0.2, "none"),
        ("universal", 0.3, "none"),  # by one who does not know of the defense: laid over the inputs of both
    ]
    assert {row["samples"] for row in found} == {24}


def test_what_was_found_lies_beside_the_results_as_tensors(job):
    for row in fits(job):
        tensors = load_file(Path(job.results, row["artifact"]))
        assert set(tensors) == ({"delta"} if row["kind"] == "attack" else {"relu2"})


def test_crafts_name_the_fit_that_they_used(job):
    rows = open_results(job.results).query("SELECT DISTINCT fit_key FROM crafts").to_pylist()
    known = {row["fit_key"] for row in fits(job) if row["kind"] == "attack"}
    assert {row["fit_key"] for row in rows} == known


def test_samples_that_are_fitted_on_are_never_attacked_whatever_the_limit(tmp_path):
    jobs = [
        load(
            tmp_path,
            name=f"limit{limit}",
            data={**FEW, "limit": limit},
            victims=["mnist-cnn"],
            attacks=[UNIVERSAL],
            **APART,
        )
        for limit in (8, 500)
    ]
    inputs = [read_inputs(job) for job in jobs]
    (few,), (many,) = (set(each.plan.fits) for each in inputs)
    assert few == many
    for each in inputs:
        (fit,) = each.plan.fits.values()
        apart = set(each.shards[fit.shard.key].column("cluster").to_pylist())
        attacked = {
            cluster
            for score in each.plan.scores
            for cluster in each.shards[score.craft.shard.key].column("cluster").to_pylist()
        }
        assert len(apart) >= 24 and not apart & attacked


def test_the_same_job_again_fits_nothing_and_another_eps_only_its_own(job):
    before = {file: file.stat().st_mtime_ns for file in Path(job.results, "fits").rglob("*.parquet")}
    assert run_here(job).computed == 0
    assert {file: file.stat().st_mtime_ns for file in Path(job.results, "fits").rglob("*.parquet")} == before


def test_a_fit_that_is_there_already_is_used_for_units_that_are_not(job):
    score = next(row for row in table(job.results) if row["attack"] == "universal" and row["defense"] == "none")
    before = statuses(job.results)
    for kind, key in (("trials", score["unit_key"]), ("crafts", score["craft_key"]), ("examples", score["craft_key"])):
        parts(job.results, kind)[key].unlink()
    fitted = {file: file.stat().st_mtime_ns for file in Path(job.results, "fits").rglob("*.parquet")}
    assert run_here(job).computed == 1
    assert statuses(job.results) == before
    assert {file: file.stat().st_mtime_ns for file in Path(job.results, "fits").rglob("*.parquet")} == fitted


def test_the_table_does_not_hang_on_the_order_of_the_victims(tmp_path):
    first, second = (
        load(tmp_path, name=name, data=FEW, victims=victims, attacks=[UNIVERSAL], **APART)
        for name, victims in (("ab", ["mnist-cnn", "mnist-cnn-adv"]), ("ba", ["mnist-cnn-adv", "mnist-cnn"]))
    )
    run_here(first), run_here(second)
    assert statuses(first.results) == statuses(second.results)


def test_a_trial_is_replayed_with_the_fits_that_it_needs(job, tmp_path):
    row = next(row for row in table(job.results) if row["attack"] == "universal" and row["defense"] == "noise")
    same, _ = replay(job.results, row["unit_key"], row["sample_id"], tmp_path)
    assert same


def test_the_plan_counts_fits(job):
    found = plan_report(job, {"CPU": 2, "memory": 8e9}, HostWishes())
    assert any("6 fit units, 0 to run" in shown(line, 300) for line in found)


def test_a_fit_that_fails_fails_all_that_needs_it_and_nothing_else_and_is_tried_again(tmp_path, monkeypatch):
    job = load(tmp_path, data=FEW, victims=["mnist-cnn"], attacks=[UNIVERSAL, {**PGD, "eps": 0.2}], **APART)

    def down(*_):
        raise ConnectionError("the service is down")

    with monkeypatch.context() as patch:
        patch.setattr("raygrid.engine.fitting.found", down)
        outcome = run_here(job)
    assert (outcome.state, outcome.computed, outcome.failed) == ("failed", 2, 2)
    rows = table(job.results)
    assert {row["status"] for row in rows if row["attack"] == "universal"} == {"error"}
    assert all("the service is down" in row["error"] for row in rows if row["attack"] == "universal")
    assert "error" not in {row["status"] for row in rows if row["attack"] == "pgd"}
    again = run_here(job)
    assert (again.state, again.computed, again.failed) == ("complete", 2, 0)


def test_what_needs_a_fit_without_samples_for_it_is_refused_before_any_work(tmp_path):
    job = load(tmp_path, data=FEW, victims=["mnist-cnn"], defenses=[SCALED], attacks=[UNIVERSAL])
    with pytest.raises(UsageError) as told:
        read_inputs(job)
    assert len(told.value.messages) == 2
    assert all("splits: {fit: 200}" in message for message in told.value.messages)


def test_a_layer_that_is_not_there_is_told_before_any_work(tmp_path):
    job = load(
        tmp_path, data=FEW, victims=["mnist-cnn"], defenses=[{**SCALED, "site": "relu9"}], attacks=[PGD], **APART
    )
    with pytest.raises(UsageError, match='has no layer "relu9"; did you mean'):
        run_here(job)
    assert not list(Path(job.results).glob("trials/*/*"))


def test_a_split_that_leaves_nothing_to_attack_is_refused(tmp_path):
    job = load(tmp_path, data=FEW, victims=["mnist-cnn"], attacks=[UNIVERSAL], splits={"fit": 1000})
    with pytest.raises(UsageError, match="sets apart all of the 1000 samples"):
        read_inputs(job)
