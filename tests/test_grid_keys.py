"""What each unit's key depends on, and what it does not."""

from dataclasses import replace

import pytest
from grid_cases import DIGITS, SHARDS, TRANSFER, job_of, keys, plan, through, with_grid

from raygrid import grid
from raygrid.registry import components
from raygrid.units import ShardRef

GOLDEN = {
    "score": "02de4ae827d43841161ed4eb41821f05",
    "craft": "a42d2f3fd915610f71a030bfee0d1eab",
    "transfer": "62aaba3707b36a787242d4d5a73038e3",
}
REGENERATE = (
    "The content keys of unchanged units have moved, so that everybody's stored results would be computed again. If the maths "
    "did change, bump the version that says so (Component.version, grid.CRAFT_VERSION or grid.JUDGE_VERSION); if what is "
    "hashed had to change, or a version was bumped, put these keys into GOLDEN:"
)


def test_the_keys_of_unchanged_units_stay_what_they_are(tmp_path):
    plain = plan(job_of(tmp_path)).scores[0]
    transfer = plan(job_of(tmp_path, **with_grid(attacks=[TRANSFER]))).scores[-1]
    found = {"score": plain.key, "craft": plain.craft.key, "transfer": transfer.key}
    assert found == GOLDEN, f"{REGENERATE} {found}"


MATTERS = {
    "eps": with_grid(attacks=[{**DIGITS["attacks"][0], "eps": 0.15}]),
    "norm": with_grid(attacks=[{**DIGITS["attacks"][0], "norm": "l2"}]),
    "attack": with_grid(attacks=[{"use": "fgsm", "norm": "linf", "eps": 0.1}]),
    "parameter": with_grid(attacks=[{**DIGITS["attacks"][0], "steps": 6}]),
    "default": with_grid(attacks=[{**DIGITS["attacks"][0], "random_start": False}]),
    "goal": with_grid(attacks=[{**DIGITS["attacks"][0], "goal": "random-target"}]),
    "target": with_grid(attacks=[{**DIGITS["attacks"][0], "goal": "targeted", "target": 3}]),
    "queries": with_grid(attacks=[{**DIGITS["attacks"][0], "budget": {"queries": 4}}]),
    "gradients": with_grid(attacks=[{**DIGITS["attacks"][0], "budget": {"gradients": 4}}]),
    "access": with_grid(attacks=[TRANSFER]),
    "source": with_grid(attacks=[{**TRANSFER, "source": "mnist-cnn-adv"}]),
    "victim id": with_grid(victims=[{"use": "mnist-cnn", "id": "other"}]),
    "channel": with_grid(attacks=[{**DIGITS["attacks"][0], "channel": "view"}]),
    "channel that the attacker does not know": with_grid(
        attacks=[{**DIGITS["attacks"][0], "channel": "view", "awareness": "none"}]
    ),
    "draws": with_grid(judge={"draws": 3}),
    "measures": with_grid(perceptual=["lpips"]),
}
"""What a job says differently -> no unit of it is one of the first job's."""


@pytest.mark.parametrize("field", MATTERS)
def test_a_key_changes_with_every_field_that_decides_the_result(tmp_path, field):
    before = keys(plan(job_of(tmp_path))) | keys(plan(job_of(tmp_path, **with_grid(attacks=[TRANSFER]))))
    if field in {"access", "source"}:
        before = keys(plan(job_of(tmp_path)))
    assert not keys(plan(job_of(tmp_path, **MATTERS[field]))) & before


@pytest.mark.parametrize(
    ("other", "crafts_anew"),
    [
        (through({"tilt": 3}), True),
        (with_grid(attacks=[{**through()["digits"]["attacks"][0], "awareness": "none"}]), True),
        (with_grid(attacks=[{**through()["digits"]["attacks"][0], "eot": 2}]), True),
        (through(judge={"draws": 5}), False),
        (through(judge={"broken_at": 5}), False),
    ],
    ids=["strength", "awareness", "eot", "draws", "broken_at"],
)
def test_what_is_said_of_a_channel_decides_the_verdict_and_the_example_where_the_attacker_knows_it(
    tmp_path, other, crafts_anew
):
    before, after = plan(job_of(tmp_path, **through())), plan(job_of(tmp_path, **other))
    assert not keys(before) & keys(after)
    first = {key for key, craft in before.crafts.items() if craft.parent is None}
    assert bool(first & after.crafts.keys()) is not crafts_anew


@pytest.mark.parametrize("attack", [DIGITS["attacks"][0], {"use": "autoattack", "norm": "linf", "eps": [0.1, 0.2]}])
def test_what_is_measured_besides_changes_no_example_however_long_the_series(tmp_path, attack):
    plain, measured = (
        plan(job_of(tmp_path, **with_grid(attacks=[attack], perceptual=perceptual))) for perceptual in ([], ["lpips"])
    )
    assert plain.crafts.keys() == measured.crafts.keys()
    assert not keys(plain) & keys(measured)
    assert {craft.parent.key for craft in measured.crafts.values() if craft.parent} <= keys(measured)
    both = plan(job_of(tmp_path, one=with_grid()["digits"], two=with_grid(perceptual=["lpips"])["digits"]))
    assert len(both.crafts) == len(plan(job_of(tmp_path)).crafts)


def test_a_key_changes_with_the_version_of_what_is_measured_besides(tmp_path, monkeypatch):
    job = job_of(tmp_path, **with_grid(perceptual=["lpips", "lpips"]))
    before = plan(job)
    monkeypatch.setitem(grid.MEASURES, "lpips", 99)
    after = plan(job)
    assert not keys(before) & keys(after)
    assert before.crafts.keys() == after.crafts.keys()


def test_a_key_changes_with_the_version_of_the_package_that_computes_a_channel(tmp_path, monkeypatch):
    for channel, package in (("room", "pyroomacoustics"), ("lossy", "soundfile")):
        job = job_of(tmp_path, **with_grid(attacks=[{**DIGITS["attacks"][0], "channel": {"chain": [channel, "gain"]}}]))
        (spec,) = {attack.channel for attack in job.grids[0].attacks}
        attack = replace(job.grids[0].attacks[0], channel=spec)
        before = grid._channel(attack)
        with monkeypatch.context() as other:
            other.setattr(grid, "version", lambda name, package=package: {package: "99"}[name])
            assert grid._channel(attack) != before and grid._channel(attack)[0]["channel"][3] == {package: "99"}
    assert len(grid._channel(job_of(tmp_path, **through()).grids[0].attacks[0])[0]["channel"]) == 3


FACTS = {
    "arch": "another",
    "mean": (0.1,),
    "std": (0.5,),
    "weights_sha256": "0",
    "code_sha256": "0",
    "input_shape": (1, None, None),
    "resize": "bilinear",
}


@pytest.mark.parametrize("fact", FACTS)
def test_a_key_changes_with_every_fact_of_the_victim_and_of_no_other(tmp_path, fact):
    job = job_of(tmp_path)
    before, after = plan(job), plan(job, infos={"mnist-cnn": {fact: FACTS[fact]}})
    kept = {score.cell.model.victim.id for score in before.scores if score.key in keys(after)}
    assert kept == {"mnist-cnn-adv"}


@pytest.mark.parametrize(("kind", "name"), [("attack", "pgd"), ("victim", "mnist-cnn"), ("defense", "none")])
def test_a_key_changes_with_the_version_of_every_component(tmp_path, kind, name):
    newer = {**components(), (kind, name): replace(components()[kind, name], version=99)}
    one = with_grid(victims=["mnist-cnn"])
    assert not keys(plan(job_of(tmp_path, **one))) & keys(plan(job_of(tmp_path, table=newer, **one)))


@pytest.mark.parametrize("constant", ["CRAFT_VERSION", "JUDGE_VERSION", "PRECISION"])
def test_a_key_changes_with_the_versions_of_crafting_and_judging(tmp_path, monkeypatch, constant):
    before = plan(job_of(tmp_path))
    monkeypatch.setattr(f"raygrid.grid.{constant}", 99)
    after = plan(job_of(tmp_path))
    assert not keys(before) & keys(after)
    # An example that is not inherited does not depend on any verdict.
    first = {key for key, craft in before.crafts.items() if craft.parent is None}
    assert (first <= after.crafts.keys()) == (constant == "JUDGE_VERSION")


def test_a_key_of_mixed_precision_alone_changes_with_its_version(tmp_path, monkeypatch):
    job = job_of(tmp_path, **with_grid(attacks=[{**DIGITS["attacks"][0], "precision": ["float32", "mixed"]}]))
    before = plan(job)
    monkeypatch.setattr("raygrid.grid.MIXED_VERSION", 99)
    kept = {score.cell.attack.precision for score in before.scores if score.key in keys(plan(job))}
    assert kept == {"float32"}


def test_a_key_changes_with_the_seed_the_shard_the_number_of_classes_and_the_name_of_the_data(tmp_path):
    job = job_of(tmp_path)
    before = keys(plan(job))
    assert not keys(plan(job_of(tmp_path, seed=1))) & before
    assert not keys(plan(job, classes=9, classes_stated=False)) & before
    assert not {s.key for s in plan(job, label="others").scores} & before
    assert len(keys(plan(job, shards=(SHARDS[0], ShardRef("c" * 32, 18)))) & before) == len(before) / 2


SAME = {
    "the limit": with_grid(data={"use": "mnist-5k", "limit": 40}),
    "the name of the grid": {"another": DIGITS},
    "the order of victims": with_grid(victims=DIGITS["victims"][::-1]),
    "the order of eps": with_grid(attacks=[{**DIGITS["attacks"][0], "eps": [0.2, 0.1]}]),
    "a default that is written out": with_grid(attacks=[{**DIGITS["attacks"][0], "restarts": 1}]),
    "another way to write a name": with_grid(victims=[{"use": "mnist-cnn"}, "mnist-cnn-adv"]),
    "how eps is written": with_grid(attacks=[{**DIGITS["attacks"][0], "eps": ["1/10", "1/5"]}]),
}


@pytest.mark.parametrize("what", SAME)
def test_a_key_does_not_depend_on_what_does_not_decide_the_result(tmp_path, what):
    assert keys(plan(job_of(tmp_path, **SAME[what]))) == keys(plan(job_of(tmp_path)))


def test_a_key_does_not_depend_on_the_job_file_or_on_how_many_shards_there_are(tmp_path):
    before = keys(plan(job_of(tmp_path)))
    assert keys(plan(replace(job_of(tmp_path, name="else"), results="elsewhere", file="other.yaml"))) == before
    assert keys(plan(job_of(tmp_path), shards=(*SHARDS, ShardRef("c" * 32, 1)))) > before
