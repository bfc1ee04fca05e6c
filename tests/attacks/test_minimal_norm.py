"""What holds for every attack that looks for the nearest example: by gradients, and by decisions alone. And what is one's own."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from minimal_norm_cases import (
    CASES,
    CW,
    FMN,
    QUERIES,
    QUICK,
    SAMPLES,
    SHAPE,
    TARGETED,
    TWO_LEGS,
    Case,
    boundaries,
    by_decision,
    distance,
    linear,
    run,
)
from models import Counting, Linear, numbers, pixels

from raygrid.attacks.carlini_wagner import carlini_wagner
from raygrid.attacks.decision import hop_skip_jump
from raygrid.attacks.fab import fab
from raygrid.attacks.planes import level
from raygrid.attacks.spheres import SPHERES
from raygrid.component import resolve
from raygrid.goals import Goal
from raygrid.oracle import AccessDeniedError
from raygrid.registry import find, of_kind, parse
from raygrid.sample_errors import NoStartError
from raygrid.spec import Budget


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("classes", [2, 10])
@pytest.mark.parametrize("edge", [False, True], ids=["inside", "at the edge"])
def test_comes_as_near_to_the_boundary_of_a_linear_victim_as_it_says(case, classes, edge):
    """Of the nearest of all classes, which is not always the likeliest."""
    victim, x, y = linear(classes, edge)
    nearest = boundaries(victim, x, y, case.norm).amin(1)

    z, oracle = run(case, victim, x, Goal("untargeted", y))

    assert (victim(z).argmax(1) != y).all()
    assert oracle.broken.all()
    found = distance(case, z, x)
    assert (found >= (1 - 1e-5) * nearest).all()
    assert (found / nearest).max() <= case.bounds[classes > 2]


@pytest.mark.parametrize("scale", [1e-3, 0.02, 0.1, 10])
@pytest.mark.parametrize("edge", [False, True], ids=["inside", "at the edge"])
@pytest.mark.parametrize("name", ["ddn-l2", "fmn-l0", "sigma_zero-l0"])
def test_small_logits_lead_no_attack_aside(name, edge, scale):
    """Where they are small, cross-entropy pushes away from all other classes: the first leg of DDN ends at up to 1.3 times the
    optimum here."""
    victim, x, y = linear(10, edge)
    victim = Linear(scale * victim.weight.detach(), scale * victim.bias.detach())
    (case,) = (case for case in CASES if str(case) == name)
    z, _ = run(case, victim, x, Goal("untargeted", y))
    assert (distance(case, z, x) / boundaries(victim, x, y, case.norm).amin(1)).max() <= case.bounds[1]


@pytest.mark.parametrize("case", TARGETED, ids=str)
def test_reaches_its_target(case):
    victim, x, y = linear(10, edge=True)
    targets = (y + 3) % 10

    z, oracle = run(case, victim, x, Goal("targeted", y, targets))

    assert (victim(z).argmax(1) == targets).all()
    assert oracle.broken.all()


@pytest.mark.parametrize("case", QUICK, ids=str)
def test_returns_points_of_the_box_and_leaves_the_input_alone(case):
    victim, x, y = linear(10, edge=True)
    before = x.clone()

    z, _ = run(case, victim, x, Goal("untargeted", y), skip=y == 3)

    assert z.shape == x.shape
    assert z.dtype == x.dtype
    assert z.min() >= 0
    assert z.max() <= 1
    assert torch.equal(x, before)


@pytest.mark.parametrize("weight", [0.0, 1e-3], ids=["no gradient", "too small a gradient"])
@pytest.mark.parametrize("case", QUICK, ids=str)
def test_a_sample_that_nothing_can_fool_comes_back_as_it_was(case, weight):
    x = pixels(4, *SHAPE)
    victim = Linear(weight * numbers(3, x[0].numel()), torch.tensor([100.0, 0.0, 0.0]))

    goal = Goal("untargeted", torch.zeros(4, dtype=torch.long))
    if case.access == "decision":  # who never saw a success can't say that there is none
        with pytest.raises(NoStartError, match="none of 100 random points") as caught:
            run(case, victim, x, goal)
        assert caught.value.positions == [0, 1, 2, 3]
        return

    z, oracle = run(case, victim, x, goal)

    assert torch.equal(z, x)
    assert not oracle.broken.any()


@pytest.mark.parametrize("case", QUICK, ids=str)
@pytest.mark.parametrize("classes", [2, 10])
def test_costs_what_it_says_and_nothing_for_samples_that_it_skips(case, classes):
    victim, x, y = linear(classes, edge=False)
    skip = torch.arange(SAMPLES) % 3 == 0

    z, oracle = run(case, victim, x, Goal("untargeted", y), skip=skip)

    most = case.forwards(min(9, classes - 1)), case.backwards(min(9, classes - 1))
    for spent, limit in zip((oracle.forwards[~skip], oracle.backwards[~skip]), most, strict=True):
        if case.early and limit:
            least = (
                0.8 * limit if case.access == "decision" else 1
            )  # who asks for decisions alone leaves little of its queries
            assert least <= spent.min() <= spent.max() <= limit
        else:
            assert set(spent) == {limit}
    assert not oracle.forwards[skip].any()
    assert torch.equal(z[skip], x[skip])
    assert oracle.broken.tolist() == (~skip).tolist()


@pytest.mark.parametrize("case", TWO_LEGS, ids=str)
def test_a_second_leg_never_costs_strength_and_none_is_taken_where_it_is_not_wanted(case):
    victim, x, y = linear(10, edge=True)
    plain = replace(case, params=case.params | {"rivals": 0})

    z, two_legs = run(case, victim, x, Goal("untargeted", y))
    z_plain, one_leg = run(plain, victim, x, Goal("untargeted", y))
    _, targeted = run(case, victim, x, Goal("targeted", y, (y + 1) % 10))

    assert (distance(case, z, x) <= (1 + 1e-6) * distance(case, z_plain, x)).all()
    assert one_leg.forwards.max() < 0.8 * two_legs.forwards.max()
    assert (targeted.forwards == one_leg.forwards).all()


def test_the_paper_s_form_may_end_at_the_likeliest_class_and_not_the_nearest():
    """What the second leg is for."""
    victim, x, y = linear(10, edge=True)
    least = boundaries(victim, x, y, "linf")
    likeliest = victim(x).scatter(1, y[:, None], -math.inf).argmax(1, keepdim=True)
    case = replace(CASES[1], params=FMN | {"rivals": 0})

    found = distance(case, run(case, victim, x, Goal("untargeted", y))[0], x)

    assert (found / least.gather(1, likeliest).squeeze(1)).max() <= 1.05
    assert (found / least.amin(1)).max() >= 1.1


@pytest.mark.parametrize("given", [{}, {"steps": 2}, {"rivals": 0}, {"rivals": 2}, {"steps": 7, "rivals": 1}], ids=str)
@pytest.mark.parametrize("name", ["ddn", "fmn", "carlini-wagner", "sigma-zero", "fab", "deepfool"])
def test_the_catalog_says_what_it_costs_at_most(name, given):
    component = find("attack", name)
    few = {"steps": 5} | given | ({"binary_steps": 3, "abort_early": False} if name == "carlini-wagner" else {})
    params = parse(component, {key: value for key, value in few.items() if key in component.params.model_fields})
    victim, x, y = linear(10, edge=True)
    case = Case(resolve(component.build), component.norms[0], dict(params), lambda t: 0, lambda t: 0)

    _, oracle = run(case, victim, x, Goal("untargeted", y))

    forwards, backwards = params.passes()
    searches = name in {"ddn", "carlini-wagner", "deepfool"}  # at the end, and only what was found
    most = np.where(oracle.broken, forwards, forwards - 5 * searches)
    if name == "deepfool":  # it stops where it arrives
        assert (oracle.forwards <= most).all()
        assert oracle.backwards.max() <= backwards
    else:
        assert (oracle.forwards == most).all()
        assert set(oracle.backwards) == {backwards}


@pytest.mark.parametrize("case", QUICK, ids=str)
@pytest.mark.parametrize("budget", [Budget(0, 0), Budget(5, None), Budget(None, 3), Budget(20, 12)], ids=str)
def test_spends_no_more_than_its_budget(case, budget):
    victim, x, y = linear(10, edge=False)

    if case.access == "decision" and budget.queries == 0:
        with pytest.raises(NoStartError, match="none of 0 random points"):
            run(case, victim, x, Goal("untargeted", y), budget=budget)
        return

    z, oracle = run(case, victim, x, Goal("untargeted", y), budget=budget)

    assert budget.queries is None or oracle.forwards.max() <= budget.queries
    assert budget.gradients is None or oracle.backwards.max() <= budget.gradients
    assert torch.equal(victim(z).argmax(1) != y, torch.from_numpy(oracle.broken))


@pytest.mark.parametrize("case", QUICK, ids=str)
def test_finds_the_same_distances_for_any_batch_size_and_order(case):
    if case.attack is fab:
        case = replace(case, params=case.params | {"restarts": 2})  # random starts
    victim, x, y = linear(10, edge=True)
    together = distance(case, run(case, victim, x, Goal("untargeted", y))[0], x)

    for part in torch.arange(SAMPLES).flip(0).split(7):
        ids = [str(i) for i in part.tolist()]
        z, _ = run(case, victim, x[part], Goal("untargeted", y[part]), ids)
        assert torch.allclose(distance(case, z, x[part]), together[part], rtol=1e-3)


def test_every_attack_and_norm_of_the_catalog_has_its_line():
    wanted = {
        (resolve(component.build), norm)
        for component in of_kind("attack")
        if component.minimal_norm
        for norm in component.norms
    }
    assert wanted <= {(case.attack, case.norm) for case in CASES}


@pytest.mark.parametrize("case", [case for case in QUICK if case.access == "decision"], ids=str)
def test_a_decision_attack_asks_for_no_more_than_decisions(case):
    victim, x, y = linear(10, edge=False)
    (component,) = {c.name: c for c in of_kind("attack") if resolve(c.build) is case.attack}.values()
    assert component.access == "decision"
    assert component.params(queries=150).passes() == (150, 0)
    with pytest.raises(AccessDeniedError, match="asked for decision access"):
        run(case, victim, x, Goal("untargeted", y), access="none")


@pytest.mark.parametrize("case", [case for case in QUICK if case.access == "decision"], ids=str)
@pytest.mark.parametrize("micro_batch", [None, 7])
def test_a_decision_attack_counts_the_passes_that_the_victim_saw(case, micro_batch):
    victim, x, y = linear(10, edge=False)
    victim = Counting(victim)

    _, oracle = run(case, victim, x, Goal("untargeted", y), micro_batch=micro_batch)

    assert oracle.forwards.sum() == victim.forwards


# One attack's own


def test_hop_skip_jump_draws_its_directions_block_by_block_without_another_result(monkeypatch):
    """Blocks are of one size whatever the batch, so that photos fit; where all fit one block, others draw other numbers."""
    victim, x, y = linear(2, edge=False)
    case = by_decision(hop_skip_jump, "l2", QUERIES | {"directions": 100})
    monkeypatch.setattr("raygrid.attacks.decision.BLOCK", 30 * math.prod(SHAPE))

    z, oracle = run(case, victim, x, Goal("untargeted", y))

    assert oracle.forwards.max() <= 2000
    assert (distance(case, z, x) / boundaries(victim, x, y, "l2").amin(1)).max() <= 1.15


def test_carlini_wagner_does_not_leap_over_boundaries_that_are_near():
    """Those of 200 classes are: steps of one length end at up to 1.6 times the optimum here."""
    x = pixels(12, 3, 12, 20)
    victim = Linear(numbers(200, 720) / 720**0.5, 0.05 * numbers(200))
    y = victim(x).argmax(1)
    case = Case(carlini_wagner, "l2", dict(parse(find("attack", "carlini-wagner"), {})), lambda t: 0, lambda t: 0)

    z, _ = run(case, victim, x, Goal("untargeted", y))

    assert (distance(case, z, x) / boundaries(victim, x, y, "l2").amin(1)).max() <= 1.05


def test_carlini_wagner_gives_the_confidence_it_was_asked_for():
    victim, x, y = linear(10, edge=False)
    case = Case(carlini_wagner, "l2", CW | {"kappa": 2.0}, lambda t: 1606 + t, lambda t: 1600 + t)
    goal = Goal("untargeted", y)

    z, _ = run(case, victim, x, goal)

    assert (goal.margin(victim(z)) <= -2).all()


def test_early_abort_saves_passes_and_hardly_costs_strength():
    victim, x, y = linear(10, edge=False)
    goal = Goal("untargeted", y)
    patient, hasty = (
        Case(carlini_wagner, "l2", CW | {"abort_early": abort}, lambda t: 1606 + t, lambda t: 1600 + t)
        for abort in (False, True)
    )

    z, all_passes = run(patient, victim, x, goal)
    z_hasty, fewer_passes = run(hasty, victim, x, goal)

    assert fewer_passes.forwards.sum() < 0.9 * all_passes.forwards.sum()
    assert (distance(hasty, z_hasty, x) <= 1.02 * distance(patient, z, x)).all()


@pytest.mark.parametrize("share", [0.0, 1e-4, 0.3, 0.999])
def test_the_water_level_holds_the_amount(share):
    weight, room = pixels(5, 2000, seed=1).double(), pixels(5, 2000, seed=2).double() ** 4
    amount = share * (weight * room).sum(1, keepdim=True)

    t = level(weight, room, amount)

    assert torch.allclose((weight * room.minimum(t)).sum(1, keepdim=True), amount, rtol=2e-6)


def test_the_water_level_is_above_every_vessel_when_they_hold_too_little():
    weight, room = pixels(5, 20, seed=1), pixels(5, 20, seed=2)

    assert (level(weight, room, torch.full((5, 1), 1e3)) >= room).all()


@pytest.mark.parametrize("share", [0.01, 0.1, 0.3, 0.9, 2.0])
def test_in_l0_so_many_values_reach_a_margin_whether_few_or_most(share):
    g, room = torch.rand(5, 40, generator=torch.Generator().manual_seed(1)), torch.full((5, 40), 0.5)
    margin = share * (g * room).sum(1, keepdim=True)
    counts = SPHERES["l0"].reach(margin, g, room)
    for i in range(5):
        largest = (g[i] * room[i]).double().sort(descending=True).values.cumsum(0)
        assert counts[i].item() == 1 + int((largest < margin[i].double() - 1e-6).sum())
