import pytest
import torch

from raygrid.goals import LOSSES, Goal, make_goal
from raygrid.randomness import Randomness

LABELS = torch.tensor([0, 1, 2, 3, 1])
LOGITS = torch.tensor(
    [[3.0, 1.0, 0.0, -1.0], [3.0, 1.0, 0.0, -1.0], [0.0, 0.0, 5.0, 4.9], [0.0, 2.0, 0.0, 1.0], [1.0, 1.5, 1.0, 1.0]]
)
IDS = [str(i) for i in range(5)]


def target_goal(target=1):
    return Goal("targeted", LABELS, torch.full_like(LABELS, target))


def test_untargeted_succeeds_where_the_answer_is_wrong():
    assert Goal("untargeted", LABELS).success(LOGITS).tolist() == [False, True, False, True, False]


def test_targeted_succeeds_where_the_answer_is_the_target():
    assert target_goal().success(LOGITS).tolist() == [False, False, False, True, True]


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("goal", [Goal("untargeted", LABELS), target_goal()], ids=["untargeted", "targeted"])
def test_logits_that_are_not_finite_meet_no_goal(goal, bad):
    logits = LOGITS.clone()
    logits[:, 2] = bad
    assert not goal.success(logits).any()


@pytest.mark.parametrize("kind", LOSSES)
@pytest.mark.parametrize("goal", [Goal("untargeted", LABELS), target_goal()], ids=["untargeted", "targeted"])
def test_the_margin_is_at_most_zero_where_the_goal_is_met_and_the_loss_falls_with_it(goal, kind):
    assert torch.equal(goal.margin(LOGITS) <= 0, goal.success(LOGITS))
    y, sign = (LABELS, 1) if goal.targets is None else (goal.targets, -1)
    closer = LOGITS - sign * torch.nn.functional.one_hot(y, 4)
    if kind == "dlr":  # its unit moves with the logits, too
        assert (goal.loss(closer, kind) <= goal.loss(LOGITS, kind))[~goal.success(LOGITS)].all()
    else:
        assert (goal.loss(closer, kind) < goal.loss(LOGITS, kind)).all()
    assert (goal.margin(closer) < goal.margin(LOGITS)).all()


def test_the_loss_has_the_values_and_directions_of_cross_entropy():
    goal, logits = Goal("untargeted", LABELS), LOGITS.clone().double().requires_grad_()
    loss = goal.loss(logits)
    textbook = torch.nn.functional.cross_entropy(logits, LABELS, reduction="none")
    assert torch.allclose(torch.nn.functional.softplus(-loss), textbook)
    (ours,) = torch.autograd.grad(loss.sum(), logits)
    logits = logits.detach().requires_grad_()
    (theirs,) = torch.autograd.grad(torch.nn.functional.cross_entropy(logits, LABELS, reduction="none").sum(), logits)
    assert torch.allclose(torch.cosine_similarity(-ours, theirs), torch.ones(5, dtype=torch.float64))


@pytest.mark.parametrize("kind", ["ce", "margin"])
@pytest.mark.parametrize("scale", [1.0, 1e4, 1e30])
def test_no_loss_saturates(kind, scale):
    logits = (scale * LOGITS).requires_grad_()
    (gradient,) = torch.autograd.grad(Goal("untargeted", LABELS).loss(logits, kind).sum(), logits)
    assert torch.isfinite(gradient).all()
    assert (gradient.gather(1, LABELS[:, None]) == 1).all()
    assert (gradient.amin(1) <= -0.3).all()  # three equal rivals share it
    assert torch.allclose(Goal("untargeted", LABELS).slope(logits.detach(), kind)[1].sum(1), torch.zeros(5), atol=1e-6)


@pytest.mark.parametrize("kind", LOSSES)
@pytest.mark.parametrize("scale", [1.0, 1e4])
@pytest.mark.parametrize("goal", ["untargeted", "targeted", "rival"])
def test_the_slope_is_the_gradient_of_the_loss(goal, scale, kind):
    untargeted = Goal("untargeted", LABELS)
    goals = {
        "untargeted": untargeted,
        "targeted": target_goal(2),
        "rival": untargeted.rival(torch.full_like(LABELS, 3)),
    }
    logits = (scale * LOGITS.double()).requires_grad_()
    loss = goals[goal].loss(logits, kind)
    (gradient,) = torch.autograd.grad(loss.sum(), logits)
    found, slope = goals[goal].slope(logits.detach(), kind)
    assert torch.allclose(found, loss.detach())
    assert torch.allclose(slope, gradient)


@pytest.mark.parametrize("rival", [None, 3])
@pytest.mark.parametrize("scale", [1.0, 1e4, 1e30])
def test_the_ratio_of_logits_does_not_change_with_their_scale(rival, scale):
    goal = Goal("untargeted", LABELS, rivals=None if rival is None else torch.full_like(LABELS, rival))
    assert torch.allclose(goal.loss(scale * LOGITS, "dlr"), goal.loss(LOGITS, "dlr"))


def test_the_ratio_of_logits_is_that_of_the_paper():
    goal = Goal("untargeted", LABELS)
    assert goal.loss(LOGITS, "dlr")[0] == pytest.approx((3 - 1) / (3 - 0))
    assert goal.rival(torch.full_like(LABELS, 2)).loss(LOGITS, "dlr")[0] == pytest.approx((3 - 0) / (3 - (0 - 1) / 2))
    two = torch.tensor([[2.0, 0.5]])
    assert Goal("untargeted", torch.tensor([0])).loss(two, "dlr").item() == pytest.approx(1.5)


def test_the_goal_of_some_samples_is_theirs():
    index = torch.tensor([3, 1])
    assert torch.equal(target_goal().at(index).margin(LOGITS[index]), target_goal().margin(LOGITS)[index])
    untargeted = Goal("untargeted", LABELS)
    assert torch.equal(untargeted.at(index).loss(LOGITS[index]), untargeted.loss(LOGITS)[index])


def test_a_target_that_is_the_label_is_pointless():
    assert target_goal().pointless.tolist() == [False, True, False, False, True]
    assert not Goal("untargeted", LABELS).pointless.any()


@pytest.mark.parametrize("classes", [2, 3, 10, 1000])
def test_random_targets_are_any_class_but_the_label(classes):
    labels = torch.arange(1000) % classes
    ids = [f"s{i}" for i in range(1000)]
    goal = make_goal("random-target", labels, classes, randomness=Randomness(0, "pgd", ids))
    assert not goal.pointless.any()
    assert goal.targets.min() >= 0 and goal.targets.max() < classes
    assert len(goal.targets.unique()) > min(classes, 500) / 2
    few = make_goal("random-target", labels[5:8], classes, randomness=Randomness(0, "pgd", ids[5:8]))
    assert torch.equal(few.targets, goal.targets[5:8])


MISTAKES = {
    "no target": ("targeted", None),
    "a target below the classes": ("targeted", -1),
    "a target beyond the classes": ("targeted", 4),
    "random targets without randomness": ("random-target", None),
}


@pytest.mark.parametrize(("name", "target"), MISTAKES.values(), ids=MISTAKES.keys())
def test_a_goal_without_what_it_needs_is_refused(name, target):
    with pytest.raises(ValueError, match="needs"):
        make_goal(name, LABELS, 4, target)
