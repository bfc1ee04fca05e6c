"""From a job to units: what is crossed with what, and what makes no sense."""

from dataclasses import replace

import pytest
from grid_cases import DIGITS, SHARDS, TRANSFER, job_of, keys, plan, through, with_grid

from raygrid.errors import UsageError
from raygrid.grid import format_eps, label
from raygrid.registry import components, find
from raygrid.units import ShardRef


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


@pytest.mark.parametrize(
    ("attack", "message"),
    [
        (
            {"use": "ddn", "norm": "l2", "budget": {"queries": 1}},
            "takes 2 queries until it has an example, and its budget is 1",
        ),
        ({"use": "deepfool", "norm": "l2", "budget": {"gradients": 8}}, "takes 9 gradients until it has an example"),
        ({"use": "apgd-t", "budget": {"queries": 5}, "eot": 3}, "takes 6 queries until"),
        ({"use": "nes", "budget": {"queries": 2}}, "takes 3 queries until"),
        ({"use": "apgd-t", "targets": 10}, "targets 10, and besides the true class there are 9"),
        ({"use": "fab", "targets": 12}, "targets 12, and besides the true class there are 9"),
    ],
)
def test_a_budget_that_buys_nothing_and_more_rivals_than_there_are_are_told(tmp_path, attack, message):
    with pytest.raises(UsageError, match=message):
        plan(job_of(tmp_path, **with_grid(attacks=[{"norm": "linf", "eps": 0.1, **attack}])))


@pytest.mark.parametrize(
    "attack",
    [
        {"use": "ddn", "norm": "l2", "budget": {"queries": 2}},
        {"use": "apgd-t", "targets": 9},
        {"use": "apgd-race"},
        {"use": "autoattack"},
    ],
)
def test_a_budget_that_buys_an_example_and_as_many_rivals_as_there_are_are_fine(tmp_path, attack):
    assert plan(job_of(tmp_path, **with_grid(attacks=[{"norm": "linf", "eps": 0.1, **attack}]))).crafts


def test_a_grid_of_which_exclude_leaves_nothing_is_told(tmp_path):
    one = {**DIGITS, "exclude": [{"victim": "mnist-cnn"}, {"victim": "mnist-cnn-adv"}]}
    with pytest.raises(UsageError, match=r"grids\.one\.exclude: drops every combination"):
        plan(job_of(tmp_path, one=one, two=DIGITS))


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
