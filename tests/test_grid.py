"""From a job to units: what is crossed, what each unit's key depends on, what makes no sense."""

import json
from dataclasses import replace

import pytest

from raygrid import grid
from raygrid.component import resolve
from raygrid.errors import UsageError
from raygrid.grid import expand, format_eps, label
from raygrid.job import excluded, load_job
from raygrid.registry import components, find
from raygrid.units import Dataset, ShardRef

DIGITS = {
    "data": "mnist-5k",
    "victims": ["mnist-cnn", "mnist-cnn-adv"],
    "attacks": [{"use": "pgd", "norm": "linf", "eps": [0.1, 0.2], "steps": 5}],
}
SHARDS = (ShardRef("a" * 32, 32), ShardRef("b" * 32, 18))
TRANSFER = {"use": "pgd", "norm": "linf", "eps": 0.1, "access": "transfer", "source": "mnist-cnn"}


def job_of(folder, seed=0, name="job", table=None, **grids):
    file = folder / "job.yaml"
    file.write_text(json.dumps({"version": 1, "name": name, "seed": seed, "grids": grids or {"digits": DIGITS}}))
    return load_job(file, components=table)


def plan(job, infos=None, **data):
    """Expand a job over two shards of digits; `infos` replaces facts of victims, by id."""
    specs = {spec.key: spec for grid in job.grids for spec in grid.data}
    datasets = {
        key: Dataset(
            **{
                "name": "digits",
                "label": label("digits", spec.params),
                "classes": 10,
                "classes_stated": True,
                "shape": (1, 28, 28),
                "shards": SHARDS,
                **data,
            }
        )
        for key, spec in specs.items()
    }
    victims = [v for grid in job.grids for v in grid.victims]
    victims += [attack.source for grid in job.grids for attack in grid.attacks if attack.source]
    found = {
        v.key: replace(resolve(v.component.identify)(v.params, v.id), **(infos or {}).get(v.id, {})) for v in victims
    }
    return expand(job, datasets, found, excluded)


def with_grid(**words):
    return {"digits": {**DIGITS, **words}}


def keys(plan):
    return {score.key for score in plan.scores}


def test_everything_is_crossed_with_everything(tmp_path):
    found = plan(job_of(tmp_path, seed=[0, 1]))
    assert len(found.cells) == 2 * 2 * 2
    assert len(found.scores) == len(found.crafts) == len(found.cells) * len(SHARDS)
    assert len(keys(found)) == len(found.scores)
    assert {score.craft.model for score in found.scores} == {score.model for score in found.scores}


def test_transfer_crafts_once_for_all_victims_and_defenses(tmp_path):
    found = plan(job_of(tmp_path, **with_grid(attacks=[TRANSFER])))
    assert len(found.scores) == 4
    assert len(found.crafts) == 2
    assert {craft.model.victim.id for craft in found.crafts.values()} == {"mnist-cnn"}


NOISE = ["none", {"use": "noise", "sigma": [0.1, 0.2]}]


@pytest.mark.parametrize("attack", [TRANSFER, {**DIGITS["attacks"][0], "eps": 0.1, "awareness": "none"}])
def test_who_knows_of_no_defense_crafts_once_for_all_of_them_and_for_none(tmp_path, attack):
    """So that what breaks the bare victim can be followed behind each defense."""
    found = plan(job_of(tmp_path, **with_grid(victims=["mnist-cnn"], defenses=NOISE, attacks=[attack])))
    assert len(found.scores) == 3 * 2
    assert len(found.crafts) == 2
    assert {(craft.model.defense.component.name, craft.attack.looks) for craft in found.crafts.values()} == {
        ("none", 1)
    }
    assert all(craft.attack.to_the_end for craft in found.crafts.values())
    assert {cell.attack.averages for cell in found.cells.values()} == {"none"}


FEATURE_SPACE = {"use": "feature-space", "target_layer": "relu3"}


@pytest.mark.parametrize(
    ("attack", "bare", "defended"),
    [
        ({"aware": "none"}, "none", "defense"),
        ({"aware": "none", "awareness": "none"}, "none", "none"),
        ({"aware": "both", "awareness": "none"}, "input+hidden", "input+hidden"),
        ({"aware": "hidden"}, "hidden", "defense+hidden"),
        ({"aware": "input", "awareness": "none", "channel": "view"}, "input", "input"),
        ({"aware": "input", "channel": "view"}, "channel+input", "all+input"),
    ],
)
def test_a_cell_says_what_noise_an_attack_imagines_by_itself(tmp_path, attack, bare, defended):
    defenses = ["none", {"use": "noise", "sigma": 0.1}]
    grid = with_grid(victims=["mnist-cnn"], defenses=defenses, attacks=[{**FEATURE_SPACE, **attack}])
    found = {cell.model.defense.component.name: cell for cell in plan(job_of(tmp_path, **grid)).cells.values()}
    assert {name: cell.attack.averages for name, cell in found.items()} == {"none": bare, "noise": defended}
    assert f" awareness={defended} " in found["noise"].id
    assert (f" awareness={bare} " in found["none"].id) is (bare != "none" or "channel" in attack)


LAYERS = {"judge": {"layers": True}}


def test_measuring_at_every_layer_judges_anew_what_was_crafted_before(tmp_path):
    attacks = [{**DIGITS["attacks"][0], "eps": 0.1}]
    plain, measured = (plan(job_of(tmp_path, **with_grid(attacks=attacks, **more))) for more in ({}, LAYERS))
    assert plain.crafts.keys() == measured.crafts.keys()
    assert plain.cells.keys() == measured.cells.keys()
    assert not keys(plain) & keys(measured)


def test_a_combination_that_is_named_twice_is_one(tmp_path):
    attack = DIGITS["attacks"][0]
    assert keys(plan(job_of(tmp_path, **with_grid(attacks=[attack, attack])))) == keys(plan(job_of(tmp_path)))


def test_what_exclude_names_is_left_out_and_nothing_else(tmp_path):
    found = plan(job_of(tmp_path, **with_grid(exclude=[{"victim": "mnist-cnn", "eps": 0.2}])))
    left = {(cell.model.victim.id, cell.attack.eps) for cell in found.cells.values()}
    assert left == {("mnist-cnn", 0.1), ("mnist-cnn-adv", 0.1), ("mnist-cnn-adv", 0.2)}


def test_two_grids_share_the_units_that_are_the_same(tmp_path):
    found = plan(job_of(tmp_path, one=DIGITS, two=DIGITS))
    assert len(found.cells) == 8
    assert len(found.scores) == 2 * len(keys(found))


GOLDEN = {
    "score": "8527268f5f51e1a5d452e209ab41ff52",
    "craft": "a42d2f3fd915610f71a030bfee0d1eab",
    "transfer": "ad17cd3ff71d2c5506538c9f1403e66e",
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


def through(params=None, **words):
    """A grid of one attack through a channel."""
    return with_grid(attacks=[{**DIGITS["attacks"][0], "channel": {"use": "view", **(params or {})}}], **words)


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


def test_whoever_does_not_know_the_channel_crafts_one_example_for_all(tmp_path):
    attack = {**DIGITS["attacks"][0], "eps": 0.1, "awareness": "none"}
    channels = {"use": "view", "tilt": [0, 10, 20]}
    found = plan(job_of(tmp_path, **with_grid(attacks=[{**attack, "channel": channels}], victims="mnist-cnn")))
    assert (len(found.crafts), len(found.scores), len(keys(found))) == (2, 6, 6)
    assert all(craft.attack.to_the_end for craft in found.crafts.values())


def test_a_cell_names_channel_awareness_and_a_judge_out_of_the_ordinary(tmp_path):
    grid = through({"tilt": 3}, judge={"broken_at": 15}, victims="mnist-cnn")
    found = list(plan(job_of(tmp_path, **grid)).cells)
    assert all(" channel=view(tilt=3.0) awareness=channel judge=15/20 " in name for name in found)
    assert not any("judge=" in name for name in plan(job_of(tmp_path, **through())).cells)
    assert not any(word in name for name in plan(job_of(tmp_path)).cells for word in ("channel", "awareness", "judge"))


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


MISTAKES = {
    "a size that the victim does not take": (
        {"shape": (1, 32, 32)},
        {},
        'grids.digits: victim "mnist-cnn" takes inputs 1x28x28 and digits has 1x32x32',
    ),
    "channels that the victim does not take": (
        {"shape": (3, 28, 28)},
        {"mnist-cnn": {"input_shape": (1, None, None)}},
        'grids.digits: victim "mnist-cnn" takes inputs 1xanyxany and digits has 3x28x28',
    ),
    "too many classes": (
        {"classes": 12},
        {},
        'grids.digits: victim "mnist-cnn" has 10 classes and digits has 12',
    ),
    "access that the victim does not give": (
        {},
        {"mnist-cnn": {"access": "score"}},
        'grids.digits: attack "pgd" needs gradient access and victim "mnist-cnn" gives score at most; exclude the pair '
        '("exclude: [{victim: mnist-cnn, attack: pgd}]"), or attack it by access: transfer',
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_what_makes_no_sense_is_told_with_the_fix(tmp_path, mistake):
    data, infos, message = MISTAKES[mistake]
    with pytest.raises(UsageError) as caught:
        plan(job_of(tmp_path), infos, **data)
    assert any(told.startswith(message) for told in caught.value.messages)
    assert len(set(caught.value.messages)) == len(caught.value.messages)


def test_a_target_that_is_no_class_is_told(tmp_path):
    attack = {**DIGITS["attacks"][0], "goal": "targeted", "target": 10}
    with pytest.raises(UsageError, match=r'target 10 of attack "pgd" is no class of digits: 0\.\.9'):
        plan(job_of(tmp_path, **with_grid(attacks=[attack])))


def test_an_excluded_pair_is_no_mistake(tmp_path):
    job = job_of(tmp_path, **with_grid(exclude=[{"victim": "mnist-cnn", "attack": "pgd"}]))
    assert len(plan(job, {"mnist-cnn": {"access": "score"}}).cells) == 2


def test_a_victim_that_gives_no_gradient_can_be_attacked_by_transfer(tmp_path):
    job = job_of(tmp_path, **with_grid(attacks=[{**TRANSFER, "source": "mnist-cnn-adv"}]))
    assert len(plan(job, {"mnist-cnn": {"access": "decision"}}).cells) == 2


@pytest.mark.parametrize(
    ("eps", "written"),
    [
        (0.3, "0.3"),
        (8 / 255, "8/255"),
        (1 / 7, "0.14285714285714285"),
        (8 / 255 + 1e-15, "0.03137254901960884"),
        (0, "0"),
        (3, "3"),
        (1e-5, "1e-05"),
    ],
)
def test_eps_is_written_as_people_do_and_never_ambiguously(eps, written):
    assert format_eps(eps) == written


def test_a_component_is_named_with_what_differs_from_its_defaults():
    pgd = find("attack", "pgd")
    assert label("pgd", pgd.params()) == "pgd"
    assert label("pgd", pgd.params(steps=5, restarts=2)) == "pgd(restarts=2,steps=5)"


def test_many_units_are_planned_with_keys_of_their_own(tmp_path):
    shards = tuple(ShardRef(f"{i:032x}", 32) for i in range(5000))
    assert len(keys(plan(job_of(tmp_path), shards=shards))) == 20_000


# Defenses that leave less, raise alarms, or stand one after another

LABELS = {"use": "output-policy", "label_only": True}


def test_what_a_defense_does_not_leave_is_refused_with_the_ways_out(tmp_path):
    chained = {"chain": ["jpeg", LABELS]}
    for defense, name in ((LABELS, "output-policy"), (chained, "jpeg+output-policy")):
        with pytest.raises(UsageError) as caught:
            plan(job_of(tmp_path, **with_grid(victims="mnist-cnn", defenses=[defense])))
        assert caught.value.messages == (
            f'grids.digits: attack "pgd" needs gradient access and victim "mnist-cnn" behind defense "{name}" gives decision at '
            "most; say awareness: none, which crafts on the bare victim, or access: transfer, or exclude the pair",
        )


@pytest.mark.parametrize(
    "attack",
    [
        {**DIGITS["attacks"][0], "awareness": "none"},
        {**TRANSFER, "source": "mnist-cnn-adv"},
        {"use": "hop-skip-jump", "norm": "l2", "eps": 1},
    ],
)
def test_behind_labels_there_are_decisions_transfer_and_the_bare_victim(tmp_path, attack):
    found = plan(job_of(tmp_path, **with_grid(victims="mnist-cnn", defenses=[LABELS], attacks=[attack])))
    assert found.scores


def test_a_bare_victim_that_gives_scores_needs_no_defense_to_be_refused(tmp_path):
    job = job_of(
        tmp_path,
        **with_grid(victims="mnist-cnn", defenses=["jpeg"], attacks=[{**DIGITS["attacks"][0], "awareness": "none"}]),
    )
    with pytest.raises(UsageError, match='victim "mnist-cnn" gives score at most; exclude the pair'):
        plan(job, {"mnist-cnn": {"access": "score"}})


def test_who_knows_of_a_detector_goes_on_and_inherits_nothing(tmp_path):
    """A success at a smaller eps may raise the alarm, and another one at a larger eps not."""
    detector = {"use": "feature-squeezing", "threshold": 0.5}
    crafts = plan(job_of(tmp_path, **with_grid(defenses=[detector, "jpeg"]))).crafts.values()
    assert {
        craft.attack.to_the_end for craft in crafts if craft.model.defense.component.name == "feature-squeezing"
    } == {True}
    assert {craft.parent for craft in crafts if craft.model.defense.component.name == "feature-squeezing"} == {None}
    assert {craft.attack.to_the_end for craft in crafts if craft.model.defense.component.name == "jpeg"} == {False}


def test_axes_in_a_chain_are_axes_of_the_grid(tmp_path):
    chained = {"chain": [{"use": "jpeg", "quality": [20, 50]}, {"use": "bit-depth", "bits": [1, 3]}]}
    job = job_of(tmp_path, **with_grid(victims="mnist-cnn", defenses=["none", chained]))
    names = {label(d.component.name, d.params) for d in job.grids[0].defenses}
    assert names == {"none", *(f"jpeg(quality={q})+bit-depth(bits={b})" for q in (20, 50) for b in (1, 3))}
    found = plan(job)
    assert {cell.id.partition(" defense=")[2].partition(" ")[0] for cell in found.cells.values()} == names
    assert len({craft.model.digest for craft in found.crafts.values()}) == 5


def test_the_key_of_a_chain_depends_on_order_parameters_and_versions(tmp_path):
    def digest(*parts, table=None):
        job = job_of(tmp_path, table=table, **with_grid(victims="mnist-cnn", defenses=[{"chain": list(parts)}]))
        return next(iter(plan(job).crafts.values())).model.digest

    bumped = {**components(), ("defense", "jpeg"): replace(find("defense", "jpeg"), version=99)}
    digests = [
        digest("jpeg", "median"),
        digest("median", "jpeg"),
        digest({"use": "jpeg", "quality": 20}, "median"),
        digest("jpeg", "median", table=bumped),
        digest("jpeg", "jpeg", "median"),
    ]
    assert len(set(digests)) == 5
    assert digest("none", "jpeg", "median") == digests[0]


def test_a_chain_can_be_excluded_by_the_names_of_its_parts(tmp_path):
    chained = {"chain": ["jpeg", "median"]}
    rule = {"defense": "jpeg+median", "eps": 0.1}
    found = plan(job_of(tmp_path, **with_grid(victims="mnist-cnn", defenses=["none", chained], exclude=[rule])))
    assert len(found.cells) == 3


def test_a_job_writes_its_chains_out(tmp_path):
    job = job_of(tmp_path, **with_grid(defenses=[{"chain": ["jpeg", {"use": "bit-depth", "bits": [1, 3]}]}]))
    (said,) = job.resolved["grids"]["digits"]["defenses"]
    assert said == {"chain": [{"use": "jpeg", "quality": 75, "chroma": "4:2:0"}, {"use": "bit-depth", "bits": [1, 3]}]}
