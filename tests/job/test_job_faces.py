"""What a job may say of attacks on faces, and what follows where it says nothing."""

import pytest

from raygrid.component import Component, Params
from raygrid.errors import UsageError
from raygrid.job import load_job

JOB = """version: 1
grids:
  g:
    data: {data}
    victims: efficientnet-lite0
    attacks: {attack}
{more}"""


@pytest.fixture
def components(components):
    faces = Component("data", "people", "Faces.", "m:f", Params, task="verification")
    return {**components, ("data", "people"): faces}


@pytest.fixture
def attacks(load):
    def attacks(attack, data="people", more=""):
        return load(JOB.format(attack=attack, data=data, more=more)).grids[0].attacks

    return attacks


@pytest.mark.parametrize(("data", "goal"), [("people", "impersonate"), ("imagenet-samples", "untargeted")])
def test_who_says_no_goal_impersonates_where_faces_are_verified_and_fools_elsewhere(attacks, data, goal):
    (attack,) = attacks("{use: pgd, eps: 1/255}", data)
    assert (attack.goal, attack.photos, attack.combine, attack.verifies) == (goal, 1, "mean", data == "people")


def test_a_goal_that_is_said_stands(attacks):
    assert [a.goal for a in attacks("{use: pgd, eps: 1/255, goal: [dodge, impersonate]}")] == ["dodge", "impersonate"]


def test_photos_and_combinations_are_axes(attacks):
    found = attacks("{use: pgd, eps: 1/255, photos: [1, 4], combine: [mean, worst, weighted]}")
    assert {(a.photos, a.combine) for a in found} == {(k, c) for k in (1, 4) for c in ("mean", "worst", "weighted")}


@pytest.mark.parametrize("attack", ["apgd-ce", "sparse", "uniform"])
def test_an_attack_that_only_fools_can_impersonate_and_dodge(attacks, attack):
    for goal in ("impersonate", "dodge"):
        assert attacks(f"{{use: {attack}, eps: 1, goal: {goal}}}")[0].goal == goal


@pytest.mark.parametrize("more", ["photos: 2", "combine: worst"])
@pytest.mark.parametrize("goal", ["untargeted", "random-target", "targeted, target: 3"])
def test_photos_and_combinations_are_for_faces(attacks, goal, more):
    with pytest.raises(UsageError) as error:
        attacks(f"{{use: pgd, eps: 1/255, goal: {goal}, {more}}}")
    name = goal.split(",")[0]
    assert [message.split(": ", 2)[2] for message in error.value.messages] == [
        f'"photos" and "combine" are for the goals impersonate and dodge, not "{name}"'
    ]


@pytest.mark.parametrize(
    ("attack", "message"),
    [
        ("{use: pgd, eps: 1/255, photos: 0}", "photos: must be greater than or equal to 1, not 0"),
        ("{use: pgd, eps: 1/255, combine: best}", "combine: must be 'mean', 'worst' or 'weighted'"),
        ("{use: pgd, eps: 1/255, goal: impersonate, target: 3}", 'target: is for goal "targeted", not "impersonate"'),
    ],
)
def test_what_cannot_be_is_told(attacks, attack, message):
    with pytest.raises(UsageError) as error:
        attacks(attack)
    assert any(message in found for found in error.value.messages), error.value.messages


@pytest.mark.parametrize("far", ["0", "1", "-0.1", "nan"])
def test_a_false_accept_rate_is_a_share(attacks, far):
    with pytest.raises(UsageError) as error:
        attacks("{use: pgd, eps: 1/255}", more=f"    judge: {{far: {far}}}\n")
    assert any("judge.far" in found for found in error.value.messages)


def test_judging_of_faces_takes_one_percent_where_nobody_says_otherwise(load):
    text = JOB.format(attack="[{use: pgd, eps: 1/255}]", data="people", more="{more}")
    for more, far in (("", 0.01), ("    judge: {far: 0.1}\n", 0.1)):
        (grid,) = load(text.replace("{more}", more)).grids
        assert grid.judge.of(grid.attacks[0]).far == far
    (grid,) = load(JOB.format(attack="[{use: pgd, eps: 1/255}]", data="imagenet-samples", more="")).grids
    assert grid.judge.of(grid.attacks[0]).far is None


def test_the_job_that_was_understood_says_the_goal(load):
    job = load(JOB.format(attack="[{use: pgd, eps: 1/255}]", data="people", more=""))
    (attack,) = job.resolved["grids"]["g"]["attacks"]
    assert attack["goal"] == "impersonate"


def test_the_jobs_of_the_repository_that_are_about_faces_load(request):
    jobs = request.config.rootpath / "jobs"
    loaded = [load_job(file) for file in sorted(jobs.glob("*face*.yaml"))]
    assert loaded and all(a.verifies for job in loaded for grid in job.grids for a in grid.attacks)
