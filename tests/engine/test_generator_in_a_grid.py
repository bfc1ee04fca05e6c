"""The generator of feature-space examples in a job: learned once, kept as a file and applied, or learned a shard at a time."""

from pathlib import Path

import pytest
from safetensors.torch import load_file
from small_jobs import DIGITS, load, parts, run_here, table

from raygrid.attacks.feature_generator import LOG
from raygrid.engine.inputs import read_inputs
from raygrid.engine.replay import replay
from raygrid.errors import UsageError
from raygrid.results.open import open_results

GENERATOR = {
    "use": "feature-space-generator",
    "target_layer": "relu3",
    "awareness": "none",
    "aware": "none",
    "epochs": 2,
    "batch": 8,
    "width": 4,
    "lr": 0.005,
}
FEW = {**DIGITS, "limit": 16, "shard": 8}


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    job = load(
        tmp_path_factory.mktemp("generator"),
        data=FEW,
        victims=["mnist-cnn"],
        defenses=["none", {"use": "noise", "site": ["input", "relu3"], "sigma": 0.3}],
        attacks=[{**GENERATOR, "learns_from": ["fit", "attacked"]}],
        judge={"draws": 3, "layers": True},
        splits={"fit": 24},
    )
    outcome = run_here(job)
    assert (outcome.state, outcome.failed) == ("complete", 0)
    return job


def rows(job, sql):
    return open_results(job.results).query(sql).to_pylist()


def test_one_fit_serves_every_shard_and_defense_and_its_file_tells_how_it_went(job):
    (row,) = rows(job, "FROM fits")
    assert (row["name"], row["samples"]) == ("feature-space-generator", 24)
    assert row["forwards"] <= 2 + 2 * 2 and row["backwards"] <= 2 * 2
    tensors = load_file(Path(job.results, row["artifact"]))
    assert tensors.pop("losses").shape == (2, len(LOG))
    assert tensors and all(name.startswith("generator.") for name in tensors)


def test_each_form_is_paid_for_where_it_learns(job):
    costs = rows(
        job,
        "SELECT DISTINCT attack_params ->> 'learns_from' AS form, forwards, backwards, fit_key IS NULL AS alone "
        "FROM crafts JOIN trials USING (craft_key, sample_id) WHERE defense = 'none' AND trials.status != 'clean_wrong'",
    )
    assert sorted(tuple(cost.values()) for cost in costs) == [("attacked", 6, 4, True), ("fit", 0, 0, False)]


def test_every_example_is_judged_behind_every_defense_with_its_distances_inside(job):
    trials = table(job.results)
    assert len(trials) == 16 * 2 * 3
    assert {row["status"] for row in trials} <= {"broken", "robust", "clean_wrong"}
    assert {row["awareness"] for row in trials} == {"none"}
    for row in trials:
        distances = dict(row["layer_distance"])
        assert distances["input"] > 0 and "relu3" in distances
    assert {row["site"] for row in rows(job, "FROM recovery")} == {"input", "relu3"}


def test_an_example_is_made_again_from_the_generator_that_was_kept(job, tmp_path):
    row = next(row for row in table(job.results) if '"fit"' in row["attack_params"] and row["defense"] == "none")
    same, _ = replay(job.results, row["unit_key"], row["sample_id"], tmp_path)
    assert same


def test_the_same_job_again_trains_nothing(job):
    assert run_here(job).computed == 0


def test_without_samples_set_apart_it_is_refused_and_the_form_that_needs_none_is_not(tmp_path):
    job = load(tmp_path, data=FEW, victims=["mnist-cnn"], attacks=[GENERATOR])
    with pytest.raises(UsageError, match=r"is fitted on samples of its own: .*splits: \{fit: 200\}"):
        read_inputs(job)
    read_inputs(load(tmp_path, data=FEW, victims=["mnist-cnn"], attacks=[{**GENERATOR, "learns_from": "attacked"}]))


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"target_layer": "relu4"}, r'has no layer "relu4"; did you mean "relu[123]"'),
        ({"target_layer": None, "preset": "vgg16"}, r'has no layer "net.features.20"; it has: .*relu3'),
    ],
)
def test_a_layer_that_the_victim_lacks_is_refused_before_any_work(tmp_path, said, why):
    attack = {key: value for key, value in {**GENERATOR, **said}.items() if value is not None}
    job = load(tmp_path, data=FEW, victims=["mnist-cnn"], attacks=[attack], splits={"fit": 24})
    with pytest.raises(UsageError, match=why):
        run_here(job)
    assert not parts(job.results, "fits") and not parts(job.results, "crafts")


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"target_layer": None}, "target_layer: say which, or take it from a preset: vgg16, resnet50"),
        ({"eps": 0.1}, "keeps to no ball around the input and takes no eps"),
        ({"learns_from": "validate"}, "learns_from"),
    ],
)
def test_a_job_that_makes_no_sense_is_refused(tmp_path, said, why):
    attack = {key: value for key, value in {**GENERATOR, **said}.items() if value is not None}
    with pytest.raises(UsageError, match=why):
        load(tmp_path, data=FEW, victims=["mnist-cnn"], attacks=[attack], splits={"fit": 24})
