"""Attacks that look for the nearest example, on digits: beside foolbox and the reference of FAB, and beside noise."""

import math
from dataclasses import replace

import models
import pytest
import torch
from minimal_norm_cases import CASES, FAB, Case, by_decision, distance, run
from models import Counting
from torch import Tensor

from raygrid.attacks.decision import hop_skip_jump
from raygrid.attacks.deepfool import deepfool
from raygrid.attacks.fab import fab
from raygrid.attacks.noise import salt_and_pepper
from raygrid.component import resolve
from raygrid.constraints import Constraint
from raygrid.data.dataset import pixels as images
from raygrid.goals import Goal
from raygrid.oracle import Oracle
from raygrid.randomness import Randomness
from raygrid.registry import find, parse
from raygrid.victims.victim import Victim


@pytest.fixture(scope="module")
def digits() -> tuple[Victim, Tensor, Tensor]:
    """The plain MNIST CNN and digits that it gets right."""
    component, data = find("victim", "mnist-cnn"), find("data", "mnist-5k")
    params = parse(component, {})
    victim = resolve(component.build)(params, resolve(component.identify)(params, "mnist-cnn"))
    table = resolve(data.build)(parse(data, {}), 24).table
    x, y = torch.tensor(images(table)), torch.tensor(table.column("label").to_numpy())
    right = victim(x).argmax(1) == y
    return victim, x[right], y[right]


@pytest.mark.parametrize(
    ("case", "peer"), [(CASES[0], "DDNAttack"), (CASES[1], "LInfFMNAttack"), (CASES[2], "L2FMNAttack")], ids=str
)
def test_finds_digits_as_near_as_foolbox(case, peer, digits):
    foolbox = pytest.importorskip("foolbox", reason="foolbox is the reference of this test")
    victim, x, y = digits
    model = foolbox.PyTorchModel(victim, bounds=(0, 1), device="cpu")

    theirs, _, found = getattr(foolbox.attacks, peer)(steps=100)(model, x, y, epsilons=None)
    ours, _ = run(case, victim, x, Goal("untargeted", y))

    assert (victim(ours).argmax(1) != y).all()
    least = torch.where(found, distance(case, theirs, x), math.inf)
    assert distance(case, ours, x).median() <= 1.02 * least.median()


PEERS = {"linf": "LinfDeepFoolAttack", "l2": "L2DeepFoolAttack"}


@pytest.mark.parametrize(
    ("case", "peer"),
    [(case, PEERS[case.norm]) for case in CASES if case.attack is deepfool],
    ids=str,
)
def test_deepfool_comes_as_near_as_foolbox_s(case, peer, digits):
    foolbox = pytest.importorskip("foolbox", reason="foolbox is the reference of this test")
    victim, x, y = digits
    case = replace(case, params=case.params | {"steps": 50})
    model = foolbox.PyTorchModel(victim, bounds=(0, 1), device="cpu")

    theirs, _, found = getattr(foolbox.attacks, peer)(steps=50, candidates=10, loss="logits")(
        model, x, y, epsilons=None
    )
    ours, _ = run(case, victim, x, Goal("untargeted", y))

    assert (victim(ours).argmax(1) != y).all()
    assert distance(case, ours, x).median() <= 1.02 * distance(case, theirs, x)[found].median()


@pytest.mark.parametrize("case", [case for case in CASES if case.norm == "l0"], ids=str)
def test_l0_attacks_beat_salt_and_pepper_by_far(case, digits):
    victim, x, y = digits
    eps, draws = 12.0, 50
    oracle = Oracle(victim, len(x), access="decision")
    salted = salt_and_pepper(
        oracle, Goal("untargeted", y), x, Constraint("l0", eps), Randomness(0, "n", list(map(str, y))), draws=draws
    )
    baseline = int((victim(salted).argmax(1) != y).sum())

    z, _ = run(case, victim, x, Goal("untargeted", y))

    broken = (distance(case, z, x) <= eps) & (victim(z).argmax(1) != y)
    assert int(broken.sum()) >= baseline + len(x) // 2


@pytest.mark.parametrize(("norm", "name", "eps"), [("linf", "Linf", 0.08), ("l2", "L2", 1.1)])
def test_fab_leaves_as_many_digits_standing_as_the_reference(norm, name, eps, digits):
    torchattacks = pytest.importorskip("torchattacks", reason="torchattacks has the reference implementation of FAB")
    victim, x, y = digits
    case = Case(fab, norm, FAB, lambda t: 6 + 20 * t, lambda t: 10 * t)

    with torch.random.fork_rng():  # the reference seeds the global generator
        theirs = torchattacks.FAB(victim, norm=name, eps=eps, steps=10, multi_targeted=True, n_classes=10)(x, y)
    ours, _ = run(case, victim, x, Goal("untargeted", y))

    standing = [int(((distance(case, z, x) > eps) | (victim(z).argmax(1) == y)).sum()) for z in (ours, theirs)]
    assert 0.2 * len(x) <= standing[1] <= 0.8 * len(x)
    assert abs(standing[0] - standing[1]) <= 1


@pytest.mark.parametrize(("leaps", "fewest", "most"), [(False, -1, 1), (True, -6, -1)])
def test_where_runs_get_stuck_fab_leaves_as_many_as_the_reference_and_fewer_with_leaps(leaps, fewest, most):
    """In L2 on the adversarial network: 10 of 31 stand, and 13 for the reference."""
    torchattacks = pytest.importorskip("torchattacks", reason="torchattacks has the reference implementation of FAB")
    victim, (x, y) = models.victim("mnist-cnn-adv"), models.digits(32)
    right = victim(x).argmax(1) == y
    x, y, eps = x[right], y[right], 2.0
    case = Case(fab, "l2", FAB | {"targets": 3, "steps": 40, "leaps": leaps}, lambda t: 6 + 80 * t, lambda t: 40 * t)

    with torch.random.fork_rng():
        theirs = torchattacks.FAB(victim, norm="L2", eps=eps, steps=40, multi_targeted=True, n_classes=4)(x, y)
    ours, _ = run(case, victim, x, Goal("untargeted", y))

    standing = [int(((distance(case, z, x) > eps) | (victim(z).argmax(1) == y)).sum()) for z in (ours, theirs)]
    assert 0.2 * len(x) <= standing[1] <= 0.8 * len(x)
    assert fewest <= standing[0] - standing[1] <= most


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_hop_skip_jump_comes_as_near_to_digits_as_foolbox_with_as_many_queries(norm, digits):
    foolbox = pytest.importorskip("foolbox", reason="foolbox is the reference of this test")
    victim, x, y = digits
    x, y = x[y != 8], y[y != 8]  # foolbox starts from pixel noise, which is an 8
    counting = Counting(victim).eval()
    model = foolbox.PyTorchModel(counting, bounds=(0, 1), device="cpu")

    with torch.random.fork_rng():  # foolbox draws from the global generator
        torch.manual_seed(0)
        theirs, _, found = foolbox.attacks.HopSkipJumpAttack(steps=3, constraint=norm)(model, x, y, epsilons=None)
    params = {"queries": counting.forwards // len(x), "start_tries": 100, "directions": 100}
    case = by_decision(hop_skip_jump, norm, params)
    ours, _ = run(case, victim, x, Goal("untargeted", y))

    assert found.all()
    assert (victim(ours).argmax(1) != y).all()
    assert distance(case, ours, x).median() <= distance(case, theirs, x).median()
