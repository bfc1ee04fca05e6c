"""A victim that is trained on people of the data: who they are, that they play no other part, and that nothing of it is chance."""

import pytest
import torch
from face_victim import write_people
from safetensors.torch import load as read_tensors
from small_jobs import load, run_here, table
from test_faces_in_a_grid import PGD, rows, victim

from raygrid.data.dataset import pixels
from raygrid.data.face_folder import face_folder
from raygrid.engine.inputs import read_inputs
from raygrid.engine.replay import replay
from raygrid.errors import UsageError
from raygrid.registry import find, parse
from raygrid.results.folder import read_artifact
from raygrid.results.store import open_store
from raygrid.units import Score
from raygrid.verification import all_pairs
from raygrid.victims.catalog_faces import PrivateEmbedder, identify_private
from raygrid.victims.private_embedder import build, fit, varied

PEOPLE, PHOTOS, TAUGHT = 12, 4, 4
PRIVATE = {"use": "private-embedder", "epochs": 2}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return {
        **write_people(tmp_path_factory.mktemp("people") / "people", PEOPLE, PHOTOS),
        "known": 1,
        "judged": 2,
        "limit": 4,
        "shard": 4,
    }


@pytest.fixture(scope="module")
def photos(data):
    words = {key: value for key, value in data.items() if key not in ("use", "limit", "shard")}
    found = face_folder(parse(find("data", "face-folder"), words), None).table
    return torch.tensor(pixels(found)), torch.tensor(found.column("label").to_numpy())


def job_of(folder, data, **words):
    said = {
        "victims": [PRIVATE],
        "attacks": [{**PGD, "steps": 2}],
        "judge": {"far": 0.2},
        "splits": {"train": TAUGHT * PHOTOS},
    }
    return load(folder, data=data, **{**said, **words})


@pytest.fixture(scope="module")
def job(tmp_path_factory, data):
    job = job_of(tmp_path_factory.mktemp("private"), data)
    outcome = run_here(job)
    assert (outcome.state, outcome.failed) == ("complete", 0)
    return job


def test_the_same_photos_and_seed_make_the_same_net_whatever_else_draws(photos):
    x, who = photos
    weights = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        weights.append(fit(PrivateEmbedder(epochs=1), x[:16], who[:16]))
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    other = fit(PrivateEmbedder(epochs=1, seed=1), x[:16], who[:16])
    assert not torch.equal(other["conv1.weight"], weights[0]["conv1.weight"])


def test_it_learns_to_tell_people_apart_whom_it_has_never_seen(photos):
    """Light changes from photo to photo, by much more than what is left of the noise: an untrained net sees little else."""
    x, who = photos
    lit = (x * torch.linspace(0.4, 1.0, PHOTOS).repeat_interleave(PEOPLE)[: len(x), None, None, None]).clamp(0, 1)
    taught, params = who < 8, PrivateEmbedder(epochs=12)
    info = identify_private(params, "p")
    errors = {}
    for name, weights in (("before", None), ("after", fit(params, lit[taught], who[taught]))):
        with torch.no_grad():
            embeddings = build(params, info, weights)(lit[~taught])
        errors[name] = all_pairs(embeddings, who[~taught].tolist(), "cosine").eer[0]
    assert errors["after"] < 0.7 * errors["before"] or errors["after"] == 0, errors


def test_photos_are_varied_within_the_box_and_each_by_itself(photos):
    x = photos[0][:6]
    seen = varied(x, torch.Generator().manual_seed(0))
    assert seen.shape == x.shape and float(seen.min()) >= 0 and float(seen.max()) <= 1
    assert ((seen - x).abs().flatten(1).mean(1) > 0.005).all()
    other = torch.cat([x[:1], torch.zeros_like(x[1:])])
    assert torch.equal(varied(other, torch.Generator().manual_seed(0))[0], seen[0])


def test_the_people_it_learns_from_set_no_threshold_and_are_in_no_trial(job, data):
    inputs = read_inputs(job)
    (units,) = {spec.fits for spec in {score.model for score in inputs.plan.scores}}
    (trained,) = units
    people = {
        name: set(inputs.shards[key].column("cluster").to_pylist())
        for name, key in (
            ("taught", trained.shard.key),
            ("all others", inputs.plan.scores[0].enrolled.shard.key),
        )
    }
    gallery = inputs.shards[inputs.plan.scores[0].enrolled.shard.key]
    calibrating = {
        person
        for person, mark in zip(gallery["cluster"].to_pylist(), gallery["calibration"].to_pylist(), strict=True)
        if mark
    }
    seen = {row["person"] for row in table(job.results)} | {row["target_person"] for row in table(job.results)}
    assert len(people["taught"]) == TAUGHT and len(people["all others"]) == PEOPLE - TAUGHT and len(calibrating) == 4
    assert not people["taught"] & people["all others"] and not seen & calibrating and seen <= people["all others"]
    assert {row["people"] for row in rows(job, "FROM verification")} == {4}


def test_it_is_trained_once_and_its_weights_are_kept(job, photos, tmp_path):
    fits = {row["kind"]: row for row in rows(job, "FROM fits")}
    assert fits.keys() == {"victim", "enrollment"}
    assert (fits["victim"]["name"], fits["victim"]["samples"]) == ("private-embedder", TAUGHT * PHOTOS)
    weights = read_tensors(read_artifact(open_store(job.results), fits["victim"]["fit_key"]))
    inputs = read_inputs(job)
    taught = inputs.shards[inputs.plan.scores[0].model.trained.shard.key]
    again = fit(
        PrivateEmbedder(epochs=2), torch.tensor(pixels(taught)), torch.tensor(taught.column("label").to_numpy())
    )
    assert all(torch.equal(weights[name], again[name]) for name in weights)
    assert {row["victim_sha256"] for row in table(job.results)} == {None}
    outcome = run_here(job)
    assert (outcome.computed, outcome.reused) == (0, 1)
    trial = table(job.results)[0]
    same, _ = replay(job.results, trial["unit_key"], trial["sample_id"], tmp_path)
    assert same


def test_another_recipe_or_other_people_make_another_victim_and_no_other_key_moves(tmp_path, data):
    def keys(**words):
        plan = read_inputs(job_of(tmp_path, data, victims=[PRIVATE, victim()], **words)).plan
        by_victim = {"private-embedder": set(), "tiny": set()}
        for score in plan.scores:
            assert isinstance(score, Score)
            by_victim[score.model.victim.id].add(score.key)
        return by_victim

    usual, longer = keys(), {**PRIVATE, "epochs": 3}
    plan = read_inputs(job_of(tmp_path, data, victims=[longer, victim()])).plan
    moved = {score.key for score in plan.scores}
    assert usual["tiny"] <= moved and not usual["private-embedder"] & moved
    fewer = keys(splits={"train": 3 * PHOTOS})
    assert not usual["private-embedder"] & fewer["private-embedder"]


def test_a_surrogate_that_is_trained_works_too(tmp_path, data):
    transfer = {**PGD, "access": "transfer", "source": PRIVATE}
    job = job_of(
        tmp_path, data, victims=[victim()], attacks=[transfer], defenses=["none", {"use": "jpeg", "quality": 80}]
    )
    outcome = run_here(job)
    assert (outcome.state, outcome.failed) == ("complete", 0)
    assert {row["source"] for row in table(job.results)} == {"private-embedder"}


def test_who_sets_no_people_apart_is_told_to_and_whoever_has_none_to_set_apart(tmp_path, data):
    with pytest.raises(
        UsageError, match='victim "private-embedder" is trained on people of its own: say how many of their photos'
    ):
        read_inputs(job_of(tmp_path, data, splits={"fit": 0}))
    with pytest.raises(UsageError, match="needs four people at least"):
        read_inputs(job_of(tmp_path, data, splits={"train": 40}))
    digits = load(tmp_path, splits={"train": 10})
    with pytest.raises(
        UsageError, match=r"splits\.train: is for data whose faces are verified, and mnist-5k is no such data"
    ):
        read_inputs(digits)
    with pytest.raises(UsageError, match="a victim that is trained on the data stands alone, and in no ensemble"):
        job_of(tmp_path, data, victims=[{"ensemble": [PRIVATE, victim()]}])
