"""Ball and box: projections are the nearest points, random points lie inside, float32 rounding stays within the tolerance."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from models import numbers, pixels
from scipy.optimize import minimize

from raygrid.constraints import BALLS, TOLERANCE, Constraint
from raygrid.randomness import Randomness

NORMS = list(BALLS)
ROUND = ["linf", "l2", "l1"]
"""Norms whose balls can be scaled; L0 counts."""
RADII = {
    "linf": (0.0, 1e-7, 0.1, 1.0),
    "l2": (0.0, 1e-7, 0.5, 3.0, 30.0),
    "l1": (0.0, 1e-7, 1.0, 20.0, 500.0),
    "l0": (0.0, 1.0, 7.0, 60.0),
}
SETTINGS = [(norm, eps) for norm, radii in RADII.items() for eps in radii]


def points(shape, spread, seed=0):
    """Clean inputs, a third of their values at the box's edges, and points around them at all distances."""
    x = pixels(*shape, seed=seed)
    x = torch.where(pixels(*shape, seed=seed + 1) < 1 / 3, x.round(), x)
    far = spread * numbers(*shape, seed=seed + 2) * torch.logspace(-3, 1, shape[0]).view(-1, *[1] * (len(shape) - 1))
    return x, x + far


@pytest.mark.parametrize("shape", [(9, 1, 1, 1), (9, 1, 6, 6), (9, 3, 32, 32), (3, 3, 224, 224)], ids=str)
@pytest.mark.parametrize(("norm", "eps"), SETTINGS)
def test_a_projection_lies_inside_and_projecting_again_changes_nothing(norm, eps, shape):
    x, z = points(shape, spread=0.5)
    constraint = Constraint(norm, eps)
    inside = constraint.project(z, x)
    assert constraint.allows(inside, x).all()
    assert inside.min() >= 0 and inside.max() <= 1
    assert torch.allclose(constraint.project(inside, x), inside, atol=3e-7)
    if eps == 0:
        assert torch.equal(inside, x)


@pytest.mark.parametrize(("norm", "eps"), SETTINGS)
def test_what_lies_inside_is_left_as_it_is(norm, eps):
    x, z = points((6, 1, 6, 6), spread=0.5)
    constraint = Constraint(norm, eps)
    inside = x + 0.9 * (constraint.project(z, x) - x)
    assert torch.allclose(constraint.project(inside, x), inside, atol=2e-7)


@pytest.mark.parametrize("norm", ROUND)
@settings(max_examples=25, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10_000), eps=st.floats(0.01, 2.0), size=st.integers(1, 5))
def test_a_projection_is_the_nearest_point_of_ball_and_box(norm, seed, eps, size):
    """Against scipy's constrained minimization of the distance, in up to five dimensions."""
    eps = min(eps, 1.0) if norm == "linf" else eps
    x, z = (values[:1].double() for values in points((2, 1, 1, size), spread=1.0, seed=seed))
    z = x + 100 * (z - x)  # the first of the points is a near one
    ours = Constraint(norm, eps).project(z, x).flatten().numpy()
    assert (
        np.linalg.norm(ours - z.flatten().numpy())
        <= nearest(norm, eps, z.flatten().numpy(), x.flatten().numpy()) + 3e-4
    )


def nearest(norm, eps, z, x):
    """The least distance of z from ball and box. With delta = up - down, both at least 0, the L1 ball is smooth."""
    n = len(x)
    bounds = [*((0, 1 - v) for v in x), *((0, v) for v in x)]
    if norm == "linf":
        bounds = [(low, min(high, eps)) for low, high in bounds]
    room = {
        "linf": [],
        "l2": [{"type": "ineq", "fun": lambda v: eps**2 - np.sum((v[:n] - v[n:]) ** 2)}],
        "l1": [{"type": "ineq", "fun": lambda v: eps - v.sum()}],
    }[norm]
    found = minimize(
        lambda v: np.sum((x + v[:n] - v[n:] - z) ** 2),
        np.zeros(2 * n),
        bounds=bounds,
        constraints=room,
        method="SLSQP",
        options={"ftol": 1e-14, "maxiter": 500},
    )
    return np.sqrt(found.fun)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10_000), count=st.integers(0, 5), size=st.integers(1, 5))
def test_the_l0_projection_is_the_nearest_of_all_choices_of_values(seed, count, size):
    x, z = (values[:1].double() for values in points((2, 1, 1, size), spread=1.0, seed=seed))
    z = x + 100 * (z - x)
    ours = Constraint("l0", count).project(z, x)
    choices = torch.cartesian_prod(*[torch.tensor([False, True])] * size).view(-1, 1, 1, size)
    allowed = torch.where(choices, z.clamp(0, 1), x)[choices.flatten(1).sum(1) <= count]
    assert torch.isclose((ours - z).norm(), (allowed - z).flatten(1).norm(dim=1).amin())


def test_the_l2_projection_fills_the_ball_where_the_box_cuts_it():
    """Shrinking first and clipping then leaves a quarter of the radius unused on digits, whose background is black."""
    x = torch.where(pixels(8, 1, 28, 28) < 0.8, torch.zeros(()), torch.ones(()))
    z = x + numbers(8, 1, 28, 28)
    assert torch.allclose(
        Constraint("l2", 2.0).distance(Constraint("l2", 2.0).project(z, x), x),
        torch.full((8,), 2.0).double(),
        rtol=2e-4,
    )
    shrunk = x + 2 * (z - x) / (z - x).flatten(1).norm(dim=1).view(-1, 1, 1, 1)
    assert Constraint("l2", 2.0).distance(shrunk.clamp(0, 1), x).max() < 1.6


def test_the_l2_projection_of_a_sample_knows_nothing_of_its_neighbors():
    """Neither of one that takes many rounds, at a thousand radii into the corner of the box, nor of one that is no number."""
    x = torch.where(pixels(4, 1, 28, 28) < 0.8, torch.zeros(()), torch.ones(()))
    z = x + numbers(4, 1, 28, 28) * torch.tensor([1.0, 1e4, 0.1, 1.0]).view(-1, 1, 1, 1)
    z[3] = torch.nan
    together = Constraint("l2", 2.0).project(z, x)
    for i in range(3):
        assert torch.equal(together[i : i + 1], Constraint("l2", 2.0).project(z[i : i + 1], x[i : i + 1]))
    endless = Constraint("l2", torch.inf).project(z[:3], x[:3])
    assert torch.allclose(endless, z[:3].clamp(0, 1), atol=1e-6)


@pytest.mark.parametrize(("norm", "eps"), [("linf", 8 / 255), ("l2", 1e-3), ("l2", 3.0), ("l1", 0.5), ("l1", 12.0)])
def test_rounding_on_a_photo_stays_within_the_tolerance(norm, eps):
    """The perturbation a hair too long: float32 values of x + delta can't hold the difference, and all round outwards."""
    x = pixels(4, 3, 224, 224, seed=1)
    delta = numbers(4, 3, 224, 224)
    constraint = Constraint(norm, eps)
    delta *= eps / constraint.ball.norm(delta.flatten(1)).view(-1, 1, 1, 1)
    for share in (1.0, 1 + 1e-7, 1 + 1e-6, 1 + 1e-4, 1.01):
        assert constraint.allows(constraint.project(x + share * delta, x), x).all()


@pytest.mark.parametrize(("norm", "eps"), SETTINGS)
def test_random_points_lie_inside_and_differ(norm, eps):
    x, _ = points((5, 3, 8, 8), spread=1.0)
    constraint, randomness = Constraint(norm, eps), Randomness(0, "pgd", list("abcde"))
    start = constraint.random_start(x, randomness, "start", torch.arange(5))
    assert constraint.allows(start, x).all()
    if eps > 1e-3:
        assert constraint.distance(start, x).min() > 0.1 * eps * (norm != "l1" or eps < 100)
        other = constraint.random_start(x, randomness, "another", torch.arange(5))
        assert (start != other).flatten(1).any(1).all()


@pytest.mark.parametrize("norm", ROUND)
def test_random_points_fill_the_ball_evenly(norm):
    """In three dimensions, away from the box: as many points in an inner ball as its share of the volume says."""
    ids = [str(i) for i in range(3000)]
    x = torch.full((3000, 1, 1, 3), 0.5)
    constraint = Constraint(norm, 0.3)
    start = constraint.random_start(x, Randomness(0, "pgd", ids), "start", torch.arange(3000))
    assert abs(float((constraint.distance(start, x) < 0.15).float().mean()) - 1 / 8) < 0.02
    assert (start - x).mean((0, 1, 2)).abs().max() < 0.01


@pytest.mark.parametrize("norm", NORMS)
def test_distance_is_the_norm(norm):
    x, z = points((5, 3, 8, 8), spread=1.0)
    flat = (z.double() - x.double()).flatten(1).numpy()
    wanted = np.linalg.norm(flat, {"linf": np.inf, "l2": 2, "l1": 1, "l0": 0}[norm], axis=1)
    assert np.allclose(Constraint(norm, 1.0).distance(z, x).numpy(), wanted, rtol=1e-12)


BEYOND = {
    "on the ball": (0.5, True),
    "within the tolerance": (0.5 + 0.5 * TOLERANCE, True),
    "past the tolerance": (0.5 + 3 * TOLERANCE, False),
    "far out": (0.9, False),
    "nan": (float("nan"), False),
    "infinite": (float("inf"), False),
}


@pytest.mark.parametrize("norm", ROUND)
@pytest.mark.parametrize(("moved", "allowed"), BEYOND.values(), ids=BEYOND.keys())
def test_allows_what_keeps_to_ball_and_box_up_to_the_tolerance(norm, moved, allowed):
    x = torch.zeros(2, 1, 2, 2, dtype=torch.float64)
    z = x.clone()
    z[1, 0, 0, 1] = moved
    assert Constraint(norm, 0.5).allows(z, x).tolist() == [True, allowed]


@pytest.mark.parametrize(("changed", "allowed"), [(0, True), (2, True), (3, False), (12, False)])
@pytest.mark.parametrize("by", [1e-7, 0.5])
def test_l0_counts_the_values_that_changed_however_little(changed, allowed, by):
    """Channels count one by one: two values may be two channels of one pixel."""
    x = torch.full((1, 3, 2, 2), 0.25)
    z = x.clone().view(1, 3, 4).transpose(1, 2).flatten(1)
    z[:, :changed] += by
    z = z.view(1, 4, 3).transpose(1, 2).reshape(x.shape)
    constraint = Constraint("l0", 2.0)
    assert constraint.distance(z, x).tolist() == [changed]
    assert constraint.allows(z, x).tolist() == [allowed]


def test_l0_counts_exactly_on_a_photo():
    x = torch.zeros(1, 3, 224, 224)
    for eps in (1e4, 1.5e5):
        z = x.clone().flatten(1)
        z[:, : int(eps)] = 1
        assert Constraint("l0", eps).allows(z.view_as(x), x).all()
        z[:, int(eps)] = 1
        assert not Constraint("l0", eps).allows(z.view_as(x), x).any()


def test_an_l0_step_moves_the_values_of_the_largest_gain_to_the_edge():
    gradient = torch.tensor([5.0, -4.0, 3.0, 2.0]).view(1, 1, 1, 4)
    z = torch.tensor([0.1, 0.9, 0.3, 0.5]).view(1, 1, 1, 4)  # gains of 0.5, 0.4, 0.9 and 1.0
    moved = Constraint("l0", 2.0).descend(z, gradient, 2.0)
    assert torch.allclose(moved.flatten(), torch.tensor([0.1, 0.9, 0.0, 0.0]))
    each = torch.tensor([3.0, 0.0]).view(-1, 1, 1, 1)
    moved = Constraint("l0", 2.0).descend(z.repeat(2, 1, 1, 1), gradient.repeat(2, 1, 1, 1), each)
    assert torch.allclose(moved.flatten(1)[0], torch.tensor([0.0, 0.9, 0.0, 0.0]))
    assert torch.equal(moved[1], z[0])


def test_random_points_of_l0_change_as_many_values_as_they_may_at_any_place():
    x = torch.full((400, 1, 1, 8), 0.5)
    constraint = Constraint("l0", 3.0)
    start = constraint.random_start(x, Randomness(0, "n", [str(i) for i in range(400)]), "start", torch.arange(400))
    assert constraint.distance(start, x).tolist() == [3.0] * 400
    assert ((start != x).double().mean((0, 1, 2)) - 3 / 8).abs().max() < 0.09


@pytest.mark.parametrize(("value", "allowed"), [(-1e-7, True), (-1e-4, False), (1 + 1e-7, True), (1.001, False)])
def test_allows_nothing_outside_the_box(value, allowed):
    x = torch.full((1, 1, 1, 1), float(round(value)))
    assert Constraint("linf", 0.5).allows(torch.full_like(x, value), x).tolist() == [allowed]


@pytest.mark.parametrize("progress", [0.0, 0.6, 1.0])
@pytest.mark.parametrize("norm", ROUND)
def test_a_step_has_its_length_and_goes_downhill(norm, progress):
    z = 0.3 + 0.4 * pixels(4, 1, 20, 20)
    gradient = numbers(4, 1, 20, 20)
    moved = Constraint(norm, 1.0).descend(z, gradient, 0.1, progress)
    assert torch.allclose(BALLS[norm].norm((moved - z).flatten(1)), torch.full((4,), 0.1), atol=1e-5)
    assert (((moved - z) * gradient).flatten(1).sum(1) < 0).all()
    each = torch.tensor([0.1, 0.2, 0.0, 0.1]).view(-1, 1, 1, 1)
    steps = BALLS[norm].norm((Constraint(norm, 1.0).descend(z, gradient, each, progress) - z).flatten(1))
    assert torch.allclose(steps, each.flatten(), atol=1e-5)


@pytest.mark.parametrize(("progress", "values"), [(0.0, 9), (0.5, 9), (0.62, 3), (0.75, 1), (1.0, 1)])
def test_l1_steps_move_fewer_values_towards_the_end(progress, values):
    z = torch.full((3, 1, 30, 30), 0.5)
    moved = Constraint("l1", 1.0).descend(z, numbers(3, 1, 30, 30), 0.1, progress)
    assert (moved != z).flatten(1).sum(1).tolist() == [values] * 3


def test_an_l1_step_moves_no_value_past_the_box_and_goes_on_with_the_next():
    gradient = torch.tensor([5.0, -4.0, 3.0, 2.0]).view(1, 1, 1, 4)
    z = torch.tensor([0.0, 0.9, 0.3, 0.5]).view(1, 1, 1, 4)  # the first can fall no further, the second can rise by 0.1
    moved = Constraint("l1", 1.0).descend(z, gradient, 0.3, progress=1.0)
    assert torch.allclose(moved.flatten(), torch.tensor([0.0, 1.0, 0.1, 0.5]))


def sparse_step(z, gradient, length, at_once):
    """The L1 step of one sample in plain words: down the slopes, steepest first, each to the edge or by its share."""
    moved, left = z.copy(), length
    for i in np.argsort(-np.abs(gradient), kind="stable"):
        room = z[i] if gradient[i] > 0 else 1 - z[i]
        move = min(room, length / at_once, left) if gradient[i] else 0.0
        moved[i] -= np.sign(gradient[i]) * move
        left -= move
    return moved


@pytest.mark.parametrize("room", [1.0, 0.01, 0.003])
@pytest.mark.parametrize(("progress", "at_once"), [(0.0, 8), (1.0, 1)])
def test_an_l1_step_looks_at_as_many_values_as_it_takes(progress, at_once, room):
    g = numbers(6, 1, 28, 28)
    z = torch.where(g > 0, room / 2, 1 - room / 2)
    z[:3] = 0.5  # the others may be short of room, and only they look further
    moved = Constraint("l1", 1.0).descend(z, g, 0.03, progress)
    for before, after, slope in zip(z, moved, g, strict=True):
        origin = before.flatten().double().numpy()
        wanted = sparse_step(origin, slope.flatten().double().numpy(), 0.03, at_once)
        assert (wanted != origin).sum() <= 24
        np.testing.assert_allclose(after.flatten().numpy(), wanted, atol=1e-6)


@pytest.mark.parametrize("norm", NORMS)
def test_no_gradient_is_no_step(norm):
    z = pixels(2, 1, 3, 3)
    assert torch.equal(Constraint(norm, 1.0).descend(z, torch.zeros_like(z), 0.1), z)


@pytest.mark.parametrize("norm", NORMS)
def test_nothing_is_asked_of_no_samples(norm):
    none, constraint = torch.empty(0, 3, 4, 4), Constraint(norm, 0.1)
    index = torch.empty(0, dtype=torch.long)
    assert constraint.project(none, none).shape == none.shape
    assert constraint.descend(none, none, 0.1).shape == none.shape
    assert constraint.random_start(none, Randomness(0, "pgd", []), "start", index).shape == none.shape
    assert constraint.allows(none, none).shape == (0,)


# Masks


def masks(n, h, w):
    return pixels(n, 1, h, w, seed=9) < 0.4


@pytest.mark.parametrize(("norm", "eps"), [*SETTINGS, ("linf", np.inf)])
def test_nothing_changes_outside_a_mask(norm, eps):
    x, z = points((9, 3, 6, 6), spread=0.5)
    constraint = Constraint(norm, eps, mask=masks(9, 6, 6))
    inside = constraint.project(z, x)
    outside = ~constraint.mask.expand_as(x)
    assert torch.equal(inside[outside], x[outside])
    assert constraint.allows(inside, x).all()
    assert Constraint(norm, eps).allows(inside, x).all()
    if eps == 0 or eps >= 0.1:
        assert bool((inside != x).any()) is (eps > 0)
    step = constraint.descend(x, numbers(9, 3, 6, 6), 0.1)
    assert torch.equal(step[outside], x[outside])


def test_a_change_outside_the_mask_is_a_violation_and_rounding_is_none():
    x = 0.25 + pixels(4, 3, 6, 6) / 2
    constraint = Constraint("linf", np.inf, mask=masks(4, 6, 6))
    inside, outside = (torch.where(where, 0.25, 0.0) for where in (constraint.mask, ~constraint.mask))
    assert constraint.allows(x + inside, x).all()
    assert constraint.allows(x + 1e-7, x).all()
    one = torch.zeros_like(x)
    one[1] = outside[1]
    assert constraint.allows(x + one, x).tolist() == [True, False, True, True]
    assert not constraint.allows(x + 4 * inside, x).any()  # outside the box


def test_the_mask_of_some_samples_is_theirs():
    mask = masks(5, 6, 6)
    index = torch.tensor([3, 1])
    assert torch.equal(Constraint("l2", 1.0, mask=mask).at(index).mask, mask[index])
    assert Constraint("l2", 1.0).at(index).mask is None


@pytest.mark.parametrize("norm", ["linf", "l2", "l1", "l0"])
def test_no_distance_is_too_far_without_a_radius(norm):
    x = torch.zeros(2, 1, 3, 3)
    assert Constraint(norm, float("inf")).allows(torch.ones_like(x), x).all()
