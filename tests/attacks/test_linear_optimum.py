"""Truth in closed form: on linear victims the least eps that breaks a sample is known, for every norm and with the box.

Left out are samples whose least eps lies within 1 % of the eps tried (3 % for L1): a step size that is a few percent of the ball
can end that far from a corner, and float32 rounds.
"""

import pytest
import torch
from cases import ATTACKS, GRADIENT, batch_of, run, statuses
from models import Linear, numbers, pixels, radius

SAMPLES = 160
NEAR = {"linf": 0.01, "l2": 0.01, "l1": 0.03}


def problem(classes, side, box, seed=0, scale=1.0):
    """A victim that balances its classes, and inputs: off the edges of the box, or a fifth of their values on them."""
    weight = numbers(classes, side * side, seed=seed) / side
    x = 0.5 + (0.2 if not box else 1.6) * (pixels(SAMPLES, 1, side, side, seed=seed + 1) - 0.5)
    x = x.clamp(0, 1)
    victim = Linear(scale * weight, -scale * weight @ x.flatten(1).mean(0))
    return victim, x, victim(x).argmax(1)


def attacked(case, params, victim, x, y, eps):
    params = {key: value * eps if key == "step_size" else value for key, value in params.items()}
    made, verdicts = run(victim, batch_of(x, y, len(victim.bias)), case.spec(eps, **params))
    return made, torch.tensor([status == "broken" for status in statuses(verdicts)])


@pytest.mark.parametrize(("side", "share"), [(8, 0.5), (8, 1.0), (28, 1.0)])
@pytest.mark.parametrize("box", [False, True], ids=["box out of reach", "box in the way"])
@pytest.mark.parametrize("case", [case for case in ATTACKS if case.two_classes is not None], ids=str)
def test_breaks_exactly_what_can_be_broken(case, side, box, share):
    if box and not case.box:
        pytest.skip("this attack does not promise the optimum where the box is in the way")
    victim, x, y = problem(2, side, box)
    least = radius(victim, x, y, case.norm)
    eps = share * float(least.median())
    _, broken = attacked(case, case.two_classes, victim, x, y, eps)
    clear = (least / eps - 1).abs() > NEAR[case.norm]
    assert clear.sum() > 0.9 * SAMPLES
    assert torch.equal(broken[clear], (least <= eps)[clear])


@pytest.mark.parametrize("box", [False, True], ids=["box out of reach", "box in the way"])
@pytest.mark.parametrize("case", [case for case in ATTACKS if case.within is not None], ids=str)
def test_by_scores_alone_breaks_what_is_well_within_reach_and_nothing_else(case, box):
    victim, x, y = problem(2, 8, box)
    least = radius(victim, x, y, case.norm)
    eps = float(least.median())
    _, broken = attacked(case, {"queries": 1000}, victim, x, y, eps)
    reachable = least <= case.within * eps
    assert reachable.sum() >= 0.15 * SAMPLES
    assert broken[reachable].all()
    assert not broken[least > eps * (1 + NEAR[case.norm])].any()


@pytest.mark.parametrize("case", [case for case in ATTACKS if case.many_classes is not None], ids=str)
def test_of_ten_classes_breaks_what_the_class_it_went_for_allows(case):
    """An attack descends to one rival class; the nearest in logits is not always the nearest in distance, so a few are missed."""
    victim, x, y = problem(10, 28, box=True)
    least = radius(victim, x, y, case.norm)
    eps = float(least.median())
    made, broken = attacked(case, case.many_classes, victim, x, y, eps)
    clear = (least / eps - 1).abs() > NEAR[case.norm]
    assert not broken[clear & (least > eps)].any()
    assert (~broken & clear & (least <= eps)).sum() <= 0.01 * SAMPLES

    rivals = victim(made.x_adv).scatter(1, y[:, None], -torch.inf).argmax(1)
    to_rival = radius(victim, x, y, case.norm, rivals)
    assert not (~broken & (to_rival < eps * (1 - NEAR[case.norm]))).any()


@pytest.mark.parametrize(
    "case", [case for case in GRADIENT if case.many_classes is None and case.two_classes is not None], ids=str
)
def test_of_ten_classes_breaks_nothing_that_cannot_be_broken(case):
    victim, x, y = problem(10, 8, box=True)
    least = radius(victim, x, y, case.norm)
    eps = float(least.median())
    _, broken = attacked(case, {}, victim, x, y, eps)
    assert broken.any()
    assert not broken[least > eps * 1.01].any()


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
@pytest.mark.parametrize("name", ["pgd", "apgd-ce"])
def test_cross_entropy_finds_the_optimum_of_ten_classes_once_the_victim_is_confident(name, norm):
    """On diffuse logits cross-entropy pushes every class up at once and misses the nearest; on confident ones it is the margin."""
    case = next((case for case in GRADIENT if (case.name, case.norm) == (name, norm)), None)
    if case is None:
        pytest.skip(f"{name} knows no {norm}")
    victim, x, y = problem(10, 28, box=True, scale=1e4)
    least = radius(victim, x, y, norm)
    eps = float(least.median())
    _, broken = attacked(case, case.two_classes, victim, x, y, eps)
    clear = (least / eps - 1).abs() > NEAR[norm]
    assert not broken[clear & (least > eps)].any()
    assert (~broken & clear & (least <= eps)).sum() <= 0.01 * SAMPLES


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_the_closed_form_is_right(norm):
    """By brute force over random points of the ball's surface in three dimensions: none is wrong within the radius, some beyond."""
    victim = Linear(numbers(3, 3), numbers(3, seed=1) / 10)
    x = pixels(12, 3, seed=2)
    y = victim(x).argmax(1)
    least = radius(victim, x, y, norm)
    cube = 2 * torch.rand(40_000, 3, generator=torch.Generator().manual_seed(3)) - 1
    length = {"linf": cube.abs().amax(1), "l2": cube.norm(dim=1), "l1": cube.abs().sum(1)}[norm]
    for i in range(len(x)):
        if least[i].isinf():
            assert (victim(cube / 2 + 0.5).argmax(1) == y[i]).all()
            continue
        for eps, found in ((0.99 * least[i], False), (1.06 * least[i] + 1e-3, True)):
            points = (x[i] + eps * cube / length[:, None]).clamp(0, 1).float()
            assert bool((victim(points).argmax(1) != y[i]).any()) is found
