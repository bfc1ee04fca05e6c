"""What is Auto-PGD's own: its checkpoints, and steps that shrink where they make no progress."""

import pytest
import torch
from cases import batch_of
from models import Linear, Tiny, pixels

from raygrid.attacks.autopgd import apgd, apgd_t, checkpoints
from raygrid.bench import watched
from raygrid.bench_alike import start_alike
from raygrid.bench_inputs import some_samples, some_victim
from raygrid.bench_suites import REFERENCE, REFERENCE_NORMS
from raygrid.constraints import Constraint
from raygrid.goals import Goal
from raygrid.oracle import Oracle
from raygrid.randomness import Randomness
from raygrid.spec import Budget


def test_checkpoints_are_the_papers():
    assert checkpoints(100) == [0, 22, 41, 57, 70, 80, 87, 93, 99]


@pytest.mark.parametrize("steps", [2, 5, 20, 1000])
def test_checkpoints_shrink_with_the_steps(steps):
    marks = checkpoints(steps)
    assert marks[0] == 0 and marks == sorted(set(marks)) and marks[-1] <= steps


class Path(torch.nn.Module):
    """A victim that keeps where it was asked for gradients."""

    def __init__(self, model):
        super().__init__()
        self.model, self.points = model, []

    def forward(self, x):
        if torch.is_grad_enabled():
            self.points.append(x.detach().clone())
        return self.model(x)


def path(model, x, constraint, steps=40, rho=0.75):
    watched = Path(model)
    batch = batch_of(x, model(x).argmax(1), 3)
    oracle = Oracle(watched, len(x), stop_early=False)
    goal, randomness = Goal("untargeted", batch.labels), Randomness(0, "apgd-ce", batch.ids)
    best = apgd(oracle, goal, x, constraint, randomness, steps=steps, restarts=1, rho=rho, loss="ce", variant="exact")
    return torch.stack(watched.points), best


@pytest.mark.parametrize("constraint", [Constraint("linf", 0.1), Constraint("l2", 0.8)], ids=lambda c: c.norm)
def test_steps_start_long_and_shrink_where_the_loss_no_longer_falls(constraint):
    points, _ = path(Tiny(), 0.2 + 0.6 * pixels(6, 1, 6, 6), constraint)
    lengths = (points[1:] - points[:-1]).flatten(2).norm(dim=2)
    assert (lengths[-5:].mean(0) < 0.25 * lengths[:3].mean(0)).all()


def test_steps_stay_long_while_every_one_makes_progress():
    """With rho 0 a step is halved only when a whole stretch brought nothing new."""
    model = Linear(torch.stack([torch.ones(36), -torch.ones(36), torch.zeros(36)]) / 6, torch.tensor([0.0, 0.0, -50.0]))
    x = torch.full((2, 1, 6, 6), 0.9)
    points, best = path(model, x, Constraint("linf", 0.5), steps=6, rho=0.01)
    assert torch.allclose(best, x - 0.5)
    assert torch.allclose(points[-1], x - 0.5)


def test_returns_the_best_point_that_it_saw():
    x = pixels(6, 1, 6, 6)
    goal = Goal("untargeted", Tiny()(x).argmax(1))
    points, best = path(Tiny(), x, Constraint("l2", 0.2))
    losses = torch.stack([goal.loss(Tiny()(point)) for point in points])
    assert (goal.loss(Tiny()(best)) <= losses.amin(0) + 1e-5).all()


def side_by_side(name, norm, eps):
    """Return the clean inputs [N, ...], and the points [looks, N, ...] of the authors' code and of ours, from the same start."""
    package = pytest.importorskip(REFERENCE, reason=f"{REFERENCE} is the authors' code, .ci/run installs it")
    model = some_victim("mnist-cnn-adv")
    x, y = some_samples(model, 12, None, repeated=False)
    streams, n = Randomness(3, name, [str(i) for i in range(len(x))]), len(x)
    suite = package.AutoAttack(model, norm=REFERENCE_NORMS[norm], eps=eps, device="cpu")
    theirs = suite.apgd if name == "apgd-ce" else suite.apgd_targeted
    start_alike(theirs, name, "start/{}" if name == "apgd-ce" else "start/0/{}", x, 3)
    theirs.init_hyperparam(x)
    theirs.y_target = model(x).topk(2).indices[:, 1]
    with watched(model) as seen:
        if theirs.use_largereps:
            theirs.decr_eps_pgd(x, y, [3 * eps, 2 * eps, eps], [30, 30, 40])
        else:
            theirs.attack_single_run(x, y)
    ours, own = (apgd, {"loss": "ce"}) if name == "apgd-ce" else (apgd_t, {"loss": "dlr", "targets": 1})
    with watched(model) as looks:
        oracle, goal, ball = Oracle(model, n, stop_early=False), Goal("untargeted", y), Constraint(norm, eps)
        ours(oracle, goal, x, ball, streams, steps=100, restarts=1, rho=0.75, variant="published", **own)
    points = torch.stack([z for z, with_gradient in seen if with_gradient])
    return x, points, torch.stack([z for z, _ in looks][-len(points) :])


@pytest.mark.parametrize(("norm", "eps"), [("linf", 0.325), ("l2", 1.6)])
@pytest.mark.parametrize("name", ["apgd-ce", "apgd-t"])
def test_every_step_is_that_of_the_authors_code(norm, eps, name):
    """From the same start, over all checkpoints."""
    _, theirs, ours = side_by_side(name, norm, eps)
    assert len(theirs) == 101
    apart = (theirs - ours).abs().amax((0, 2, 3, 4))
    assert (apart > 1e-3).sum() <= 1, "rounding may turn a step of one"


@pytest.mark.parametrize("name", ["apgd-ce", "apgd-t"])
def test_every_step_in_l1_is_that_of_the_authors_code(name):
    """In the three balls, from starts that have as many values apart from x: rounding leaves theirs more in one sample of two."""
    x, theirs, ours = side_by_side(name, "l1", 10.0)
    assert len(theirs) == 103
    torch.testing.assert_close(theirs[0], ours[0], atol=1e-5, rtol=0)
    alike = ((theirs[0] != x) == (ours[0] != x)).flatten(1).all(1)
    apart = (theirs - ours).abs().amax((0, 2, 3, 4))[alike]
    assert len(apart) >= 4 and (apart > 1e-3).sum() <= 1, "rounding may turn a step of one"


@pytest.mark.parametrize("variant", ["exact", "published"])
@pytest.mark.parametrize(("steps", "budget"), [(2, None), (4, None), (5, None), (100, 1), (100, 20), (100, 45)])
def test_l1_ends_in_the_ball_that_counts_however_few_its_steps_or_queries(variant, steps, budget):
    """The larger balls come first: what is found there is no example yet, and the clean input is none either."""
    x = 0.2 + 0.6 * pixels(6, 1, 6, 6)
    oracle, ball = Oracle(Tiny(), 6, budget=Budget(budget), stop_early=False), Constraint("l1", 1.5)
    goal, streams = Goal("untargeted", Tiny()(x).argmax(1)), Randomness(0, "apgd-ce", [str(i) for i in range(6)])
    best = apgd(oracle, goal, x, ball, streams, steps=steps, restarts=1, rho=0.75, loss="ce", variant=variant)
    assert ball.allows(best, x).all()
    assert ((best - x).abs().flatten(1).sum(1) > 0.9 * ball.eps).all()
