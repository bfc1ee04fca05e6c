"""The experiment of jobs/noise_defense.yaml, small: from the job file to recovery, awareness and the distances at every layer."""

import json

import numpy as np
import pytest
import torch
from small_jobs import DIGITS, PGD, load, parts, run_here, table

from raygrid.component import resolve
from raygrid.data.dataset import pixels
from raygrid.errors import UsageError
from raygrid.registry import find
from raygrid.results.open import open_results
from raygrid.victims.instability import layer_distances

FEATURE_SPACE = {
    "use": "feature-space",
    "target_layer": "relu3",
    "awareness": "none",
    "aware": ["none", "hidden"],
    "steps": 6,
    "lr": 0.1,
    "lc": 5,
    "draws": 2,
}
DEFENSES = ["none", {"use": "noise", "site": ["input", "relu3"], "sigma": 0.5}, {"use": "noise", "sigma": 0}]


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    job = load(
        tmp_path_factory.mktemp("noise"),
        data={**DIGITS, "limit": 12, "shard": 6},
        victims=["mnist-cnn"],
        defenses=DEFENSES,
        attacks=[FEATURE_SPACE, {**PGD, "eps": 0.2, "awareness": "none"}],
        judge={"draws": 3, "layers": True},
    )
    outcome = run_here(job)
    assert (outcome.state, outcome.computed) == ("complete", 3 * 4 * 2)
    return job


def rows(job, sql):
    return open_results(job.results).query(sql).to_pylist()


def test_awareness_says_what_noise_the_attack_imagined(job):
    said = {
        (row["attack"], json.loads(row["attack_params"]).get("aware"), row["awareness"]) for row in table(job.results)
    }
    assert said == {
        ("feature-space", "none", "none"),
        ("feature-space", "hidden", "hidden"),
        ("pgd", None, "none"),
    }


def test_recovery_is_counted_of_the_very_examples_and_without_noise_there_is_none(job):
    found = rows(job, "FROM recovery")
    assert len(found) == 3 * 3
    trials = table(job.results)
    for row in found:
        same = [t for t in trials if (t["attack_params"], t["awareness"]) == (row["attack_params"], row["awareness"])]
        fell = {t["sample_id"] for t in same if t["defense"] == "none" and t["status"] == "broken"}
        again = {t["sample_id"] for t in same if t["cell_id"] == row["cell_id"] and not t["success"]}
        assert (row["recovery_num"], row["recovery_den"]) == (len(fell & again), len(fell)) and fell
        if row["sigma"] == 0:
            assert row["recovery_num"] == row["clean_loss"] == 0
    assert {row["cost"] for row in rows(job, "FROM recovery_at_cost")} == {0.01, 0.02, 0.05}


def test_examples_run_to_the_end_where_they_are_made_for_other_victims_too(job):
    costs = rows(
        job,
        "SELECT DISTINCT attack, awareness, forwards, backwards FROM crafts JOIN trials USING (craft_key, sample_id)",
    )
    assert {(c["attack"], c["awareness"], c["forwards"], c["backwards"]) for c in costs} == {
        ("feature-space", "none", 13, 12),
        ("feature-space", "hidden", 25, 24),
        ("pgd", "none", 4, 3),
    }


@pytest.fixture(scope="module")
def model():
    component = find("victim", "mnist-cnn")
    return resolve(component.build)(component.params(), resolve(component.identify)(None, "mnist-cnn"))


def clean_digits():
    component = find("data", "mnist-5k")
    data = resolve(component.build)(component.params(), 12).table
    return data.column("sample_id").to_pylist(), torch.tensor(pixels(data))


def test_every_judged_trial_has_its_distances_at_every_layer(job, model):
    trials = table(job.results)
    clean = dict(zip(*clean_digits(), strict=True))
    for example in open_results(job.results).examples("attack = 'feature-space'"):
        (wanted,) = layer_distances(model, torch.tensor(example.x)[None], clean[example.trial["sample_id"]][None])
        found = dict(example.trial["layer_distance"])
        assert list(found) == ["input", *model.layers.names, "output"]
        assert np.allclose(list(found.values()), list(wanted.values()), rtol=1e-4)
    assert all(row["layer_distance"] for row in trials if row["status"] in ("robust", "broken", "clean_wrong"))
    assert len(rows(job, "FROM layer_profile WHERE layer = 'relu3'")) >= 3 * 4


def test_beside_them_stands_the_distance_to_the_original_before_it_in_the_shard(job, model):
    ids, x = clean_digits()
    before = torch.cat([shard.roll(1, 0) for shard in x.split(6)])
    wanted = dict(zip(ids, layer_distances(model, before, x), strict=True))
    for trial in table(job.results):
        assert dict(trial["pair_distance"]) == pytest.approx(wanted[trial["sample_id"]], rel=1e-4)
    profile = rows(job, "SELECT pair, of_pair FROM layer_profile WHERE layer = 'relu3'")
    assert profile and all(row["pair"] > 0 and row["of_pair"] > 0 for row in profile)


def test_a_layer_that_no_victim_has_is_refused_before_any_work(tmp_path):
    job = load(tmp_path, attacks=[{**FEATURE_SPACE, "target_layer": "relu4"}], victims=["mnist-cnn"])
    with pytest.raises(UsageError, match=r'victim "mnist-cnn" has no layer "relu4"; did you mean "relu[123]"'):
        run_here(job)
    assert not parts(job.results, "crafts")


def test_an_eps_is_refused_since_there_is_no_ball(tmp_path):
    with pytest.raises(UsageError, match='"feature-space" keeps to no ball around the input and takes no eps'):
        load(tmp_path, attacks=[{**FEATURE_SPACE, "eps": 0.1}])


def test_what_each_defense_costs_stands_beside_its_accuracy(job):
    found = rows(job, "FROM defense_cost")
    bare = [row for row in found if row["defense"] == "none"]
    assert bare and all(row["ratio"] == 1.0 for row in bare)
    assert {row["defense"] for row in found} == {"none", "noise"}
    assert all(
        row["seconds_per_answer"] > 0 and row["ratio"] > 0 and row["clean_accuracy"] is not None for row in found
    )
