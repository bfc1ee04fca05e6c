"""Grids over faces: what the keys of units depend on, who enrolls what, and what makes no sense."""

import pytest
from grid_cases import DIGITS, SHARDS, TRANSFER, job_of, keys, plan, with_grid

from raygrid import grid
from raygrid.errors import UsageError
from raygrid.grid import CRAFT_VERSION, JUDGE_VERSION, Enrollment
from raygrid.keys import content_key
from raygrid.units import ShardRef

PGD = {"use": "pgd", "norm": "linf", "eps": "8/255", "steps": 5}
GALLERY, FIT = ShardRef("c" * 32, 400), ShardRef("d" * 32, 200)
FACES = {
    "name": "orl-faces",
    "shape": (3, 160, 160),
    "task": "verification",
    "classes": 40,
    "gallery": GALLERY,
    "fit": FIT,
    "calibration": 20,
    "known": 4,
}
CODE = "from torch import nn\n\ndef make():\n    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 160 * 160, 8))\n"


@pytest.fixture
def faces(tmp_path):
    """Plan a grid over faces with two embedders that a job brings."""
    (tmp_path / "embedder.py").write_text(CODE)

    def victim(name, **words):
        target = f"{tmp_path}/embedder.py:make"
        common = {"use": "module", "input": [3, 160, 160], "classes": 8, "trust": True, "task": "verification"}
        return {**common, "id": name, "target": target, **words}

    def planned(attacks=(PGD,), victims=("ann",), source=None, facts=None, **grid):
        known = {name: victim(name, **words) for name, words in (("ann", {}), ("bob", {"similarity": "l2"}))}
        said = [known.get(one, one) if isinstance(one, str) else one for one in victims]
        attacks = [{**attack, "source": known[source]} if source else attack for attack in attacks]
        words = {"data": "orl-faces", "victims": said, "attacks": list(attacks), **grid}
        return plan(job_of(tmp_path, people=words), **{**FACES, **(facts or {})})

    planned.victim = victim
    return planned


def enrollments(found):
    return {key: fit for key, fit in found.fits.items() if isinstance(fit.what, Enrollment)}


def messages(planned, *args, **words):
    with pytest.raises(UsageError) as error:
        planned(*args, **words)
    return list(error.value.messages)


# Defaults


def test_who_says_no_goal_impersonates_on_faces_at_one_percent(faces):
    found = faces()
    (cell,) = found.cells.values()
    assert (cell.attack.goal, cell.attack.photos, cell.attack.combine) == ("impersonate", 1, "mean")
    assert (cell.judging.far, cell.judging.draws, cell.judging.broken_at) == (0.01, 1, 1)
    assert " goal=impersonate photos=1 far=0.01 " in cell.id


def test_a_cell_says_photos_combination_and_far(faces):
    found = faces([{**PGD, "photos": [1, 4], "combine": "worst"}], judge={"far": 0.05})
    assert [" photos=1,worst far=0.05 " in cell or " photos=4,worst far=0.05 " in cell for cell in found.cells] == [
        True
    ] * 2
    assert not any(" judge=" in cell for cell in found.cells)  # another FAR is no other way to judge by draws


# Keys


def test_adding_a_victim_an_attack_or_a_defense_changes_no_other_key(faces):
    alone = faces()
    for more in (
        faces(victims=("ann", "bob")),
        faces([PGD, {**PGD, "photos": 4}, {**PGD, "goal": "dodge"}, {**PGD, "use": "mi-fgsm"}]),
        faces(defenses=["none", "jpeg", {"use": "noise", "sigma": 0.1}]),
    ):
        assert keys(alone) < keys(more)
        assert alone.crafts.keys() < more.crafts.keys()
        assert alone.fits.keys() <= more.fits.keys()


@pytest.mark.parametrize(
    ("attack", "grid"),
    [
        ({"photos": 2}, {}),
        ({"photos": 2, "combine": "worst"}, {}),
        ({"photos": 2, "combine": "weighted"}, {}),
        ({"goal": "dodge"}, {}),
        ({}, {"judge": {"far": 0.05}}),
    ],
)
def test_photos_combination_goal_and_far_make_other_examples_and_other_verdicts(faces, attack, grid):
    usual, other = faces(), faces([{**PGD, **attack}], **grid)
    assert not keys(usual) & keys(other) and not usual.crafts.keys() & other.crafts.keys()
    assert usual.fits.keys() == other.fits.keys()  # embeddings serve every threshold, goal and number of photos


def test_each_way_to_combine_is_an_attack_of_its_own(faces):
    found = faces([{**PGD, "photos": 3, "combine": ["mean", "worst", "weighted"]}])
    assert len(found.crafts) == 3 * len(SHARDS) and len(keys(found)) == len(found.scores)


def test_the_gallery_and_how_embeddings_are_compared_are_part_of_every_key(faces):
    usual = faces()
    for other in (
        faces(facts={"gallery": ShardRef("e" * 32, 400)}),
        faces(victims=[faces.victim("ann", similarity="l2")]),
    ):
        assert not keys(usual) & keys(other) and not usual.crafts.keys() & other.crafts.keys()
        assert not usual.fits.keys() & other.fits.keys()


def test_keys_of_classification_are_those_from_before_there_were_faces(tmp_path, monkeypatch):
    """As commit e0e59e3 made them, but for the versions of judge and PGD. Another key throws away everybody's results, and is
    to be changed on purpose only."""
    defenses, attacks = ["none", {"use": "noise", "sigma": 0.1}], [DIGITS["attacks"][0], TRANSFER]
    words = with_grid(victims=["mnist-cnn"], attacks=attacks, defenses=defenses, judge={"draws": 5})
    monkeypatch.setattr(grid, "JUDGE_VERSION", 1)
    found = plan(job_of(tmp_path, **words))
    assert (CRAFT_VERSION, JUDGE_VERSION) == (3, 3)
    assert content_key(sorted(keys(found))) == "1475b5c50278fd0e091de517ef44b0ea"
    assert content_key(sorted(found.crafts)) == "b6acff24676af7157cdf8884067e3b0c"


# Enrollment


def test_a_victim_behind_a_defense_enrolls_once_for_all_attacks_seeds_and_shards(faces):
    attacks = [{**PGD, "eps": ["2/255", "8/255"], "photos": [1, 4]}, {**PGD, "goal": "dodge"}]
    found = faces(attacks, victims=("ann", "bob"), defenses=["none", "jpeg"])
    fits = enrollments(found)
    assert {(fit.model.victim.id, fit.model.defense.component.name) for fit in fits.values()} == {
        (victim, defense) for victim in ("ann", "bob") for defense in ("none", "jpeg")
    }
    assert len(fits) == 4 and all(fit.shard == GALLERY for fit in fits.values())
    for score in found.scores:
        assert score.enrolled.model.digest == score.model.digest
        assert score.craft.enrolled.model.digest == score.craft.model.digest


def test_seeds_share_an_enrollment(faces, tmp_path):
    words = {"data": "orl-faces", "victims": [faces.victim("ann")], "attacks": [PGD]}
    found = plan(job_of(tmp_path, seed=[0, 1, 2], people=words), **FACES)
    assert len(enrollments(found)) == 1 and len(found.cells) == 3


def test_transfer_crafts_by_what_the_source_enrolled_and_is_judged_by_what_the_victim_did(faces):
    found = faces([{**PGD, "access": "transfer"}], victims=("bob",), source="ann", defenses=["none", "jpeg"])
    assert {craft.model.victim.id for craft in found.crafts.values()} == {"ann"}
    for score in found.scores:
        assert score.craft.enrolled.model.victim.id == "ann" and score.craft.enrolled.model.defense.is_none
        assert score.enrolled.model.digest == score.model.digest and score.model.victim.id == "bob"
    assert len(enrollments(found)) == 3


def test_who_does_not_know_of_a_defense_crafts_by_what_the_bare_victim_enrolled(faces):
    found = faces([{**PGD, "awareness": "none"}], defenses=["jpeg"])
    for score in found.scores:
        assert score.craft.enrolled.model.defense.is_none
        assert score.enrolled.model.defense.component.name == "jpeg"


# Series


def test_an_example_is_crafted_to_the_end_at_every_eps(faces):
    """A ladder would go on with those that the photos which judge left, and so tell the attacker of them."""
    found = faces([{**PGD, "eps": ["2/255", "4/255", "8/255"]}])
    assert len(found.crafts) == 3 * len(SHARDS)
    assert all(craft.parent is None and craft.attack.to_the_end for craft in found.crafts.values())


@pytest.mark.parametrize("suite", ["autoattack", "audit"])
def test_a_suite_would_tell_the_attacker_of_the_photos_that_judge(faces, suite):
    found = messages(faces, [{"use": suite, "norm": "linf", "eps": "8/255"}])
    assert found == [
        f'grids.people: attack "{suite}" is a suite, whose attacks go on with what the judge left: on orl-faces that would tell '
        "them of the photos that nobody but the judge has; give one attack of it"
    ]


# What makes no sense


@pytest.mark.parametrize("goal", ["untargeted", "random-target"])
def test_goals_about_classes_make_no_sense_on_faces(faces, goal):
    (found,) = messages(faces, [{**PGD, "goal": goal}])
    assert (
        found
        == f'grids.people: attack "pgd": goal {goal} makes no sense on orl-faces, which has the goals impersonate, dodge'
    )


@pytest.mark.parametrize("goal", ["impersonate", "dodge"])
def test_goals_about_faces_make_no_sense_elsewhere(tmp_path, goal):
    attack = {**DIGITS["attacks"][0], "goal": goal}
    with pytest.raises(
        UsageError, match=f"goal {goal} makes no sense on digits, which has the goals untargeted, targeted"
    ):
        plan(job_of(tmp_path, **with_grid(attacks=[attack])))


def test_photos_combinations_and_thresholds_mean_nothing_without_faces(tmp_path):
    for more in ({"photos": 2}, {"combine": "worst"}):
        with pytest.raises(
            UsageError, match='"photos" and "combine" are for data whose faces are verified, and digits is no'
        ):
            plan(job_of(tmp_path, **with_grid(attacks=[{**DIGITS["attacks"][0], **more}])))
    with pytest.raises(
        UsageError, match=r"judge\.far: is for data whose faces are verified, and digits is no such data"
    ):
        plan(job_of(tmp_path, **with_grid(judge={"far": 0.1})))


def test_a_victim_of_another_task_is_no_victim_of_the_data(faces, tmp_path):
    found = messages(faces, victims=["mnist-cnn"])
    assert (
        'grids.people: victim "mnist-cnn" does classification and orl-faces is for verification: give each a grid of its own'
        in found
    )
    words = {"data": "mnist-5k", "victims": [faces.victim("ann")], "attacks": [PGD]}
    with pytest.raises(UsageError, match='victim "ann" does verification and digits is for classification'):
        plan(job_of(tmp_path, people=words), shape=(3, 160, 160))


def test_a_source_of_another_task_is_none_either(faces):
    attack = {**PGD, "access": "transfer", "source": "mnist-cnn"}
    assert any('victim "mnist-cnn" does classification' in found for found in messages(faces, [attack]))


def test_nobody_has_more_photos_than_there_are(faces):
    (found,) = messages(faces, [{**PGD, "photos": 5}])
    assert found == (
        'grids.people: attack "pgd": an attacker may have 4 photos of a person of orl-faces, not 5; say more as its `known`'
    )


def test_a_far_that_the_people_do_not_carry_says_how_many_it_needs(faces):
    (found,) = messages(faces, judge={"far": 0.001})
    assert found.startswith(
        "grids.people: judge.far: far 0.001 is less than one in the 190 pairs of people that 20 calibration"
    )
    assert "it needs 46 people, or a far of 0.0053 or more" in found
    faces(judge={"far": 0.0053})
    faces(judge={"far": 0.001}, facts={"calibration": 46})
    (default,) = messages(faces, facts={"calibration": 10})  # and so is the far that nobody said
    assert "far 0.01 is less than one in the 45 pairs" in default and "needs 15 people" in default


@pytest.mark.parametrize(
    "defense",
    [
        {"use": "noise", "sigma": 0.1, "votes": 5},
        {"use": "noise", "sigma": 0.1, "votes": 200, "abstain": 0.05},
        {"use": "smoothing", "sigma": 0.25},
        {"use": "multi-scale", "vote": "majority"},
        {"use": "multi-scale", "alarm_above": 0.3},
        {"use": "feature-squeezing", "threshold": 1.0},
        {"use": "output-policy", "top": 1},
    ],
)
def test_a_defense_that_counts_classes_has_nothing_to_count(faces, defense):
    found = messages(faces, defenses=[defense])
    assert any("goes by scores of classes, and victims of orl-faces give embeddings" in message for message in found), (
        found
    )


def test_votes_whose_mean_is_taken_and_noise_inside_are_fine(faces):
    found = faces(defenses=[{"use": "noise", "sigma": 0.1, "votes": 5, "vote": "mean"}, {"use": "noise", "sigma": 0.1}])
    assert {(cell.judging.draws, cell.judging.broken_at) for cell in found.cells.values()} == {(20, 11)}
    assert {cell.attack.looks for cell in found.cells.values()} == {20}


def test_what_is_fitted_on_labels_cannot_be_fitted_on_people(faces):
    found = messages(faces, [{"use": "universal", "norm": "linf", "eps": "8/255"}])
    assert (
        'grids.people: attack "universal" is fitted on labeled samples, and there are none where faces are verified'
        in found
    )
