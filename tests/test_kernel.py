"""What goes wrong with a sample is that sample's error: the others are attacked and judged as if nothing had happened."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from models import Counting, Tiny, pixels

from raygrid.batch import Batch, goal_of
from raygrid.component import Component, Params
from raygrid.kernel import craft, score
from raygrid.outputs import run_model
from raygrid.registry import find, parse
from raygrid.spec import AttackSpec, Budget

N = 12
BAD = (2, 7)
X = 0.85 * pixels(N, 1, 6, 6, seed=5)
MARK = torch.tensor(0.97)
X[list(BAD), 0, 0, 0] = MARK  # what the faulty victims below know their samples by, attacked or not
Y = Tiny()(X).argmax(1)
BATCH = Batch([f"s{i}" for i in range(N)], X, Y, 3)
PGD = {"steps": 5}


def spec(name="pgd", norm="linf", eps=0.04, *, budget=None, params=PGD, **fields) -> AttackSpec:
    component = name if isinstance(name, Component) else find("attack", name)
    return AttackSpec(component, parse(component, params), norm, eps, budget=budget or Budget(), **fields)


def outcome(model, attack=None, *, micro_batch=None, batch=BATCH):
    attack = attack or spec()
    made = craft(model, batch, attack, 0, access="gradient", micro_batch=micro_batch)
    clean = run_model(model, batch.x, batch.classes, micro_batch)
    return made, score(model, batch, attack, 0, made.x_adv, made.failures, clean, micro_batch)


def statuses(verdicts):
    return [v.status for v in verdicts]


class Faulty(Tiny):
    """Tiny, with a fault in the samples of BAD, whose first pixel is MARK and moves by 0.04 at most once they are attacked."""

    def __init__(self, fault: str) -> None:
        super().__init__()
        self.fault = fault

    def forward(self, x):
        first, logits = x[:, 0, 0, 0], super().forward(x)
        clean, attacked = first == MARK, (first > 0.92) & (first != MARK)
        faults: dict[str, Any] = {
            "raises": clean | attacked,
            "raises on the example": attacked,
            "nan": clean | attacked,
            "nan on the example": attacked,
            "infinite on the example": attacked,
        }
        if self.fault == "nan gradient":
            zero = torch.where(clean | attacked, first - first.detach(), torch.ones(()))
            return logits + (zero.sqrt() - zero.detach().sqrt())[:, None]  # adds nothing, with an infinite slope at 0
        hit = faults[self.fault]
        if "raises" in self.fault:
            if hit.any():
                raise KeyError("lost")
            return logits
        return torch.where(hit[:, None], math.inf if "infinite" in self.fault else math.nan, logits)


FAULTS = {
    "raises": "on the clean input",
    "raises on the example": "while crafting",
    "nan": "on the clean input",
    "nan on the example": "while crafting",
    "infinite on the example": "while crafting",
    "nan gradient": "while crafting",
}


@pytest.mark.parametrize("micro_batch", [None, 1, 5])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_some_samples_is_their_error_and_nobody_elses(fault, micro_batch):
    sound_made, sound = outcome(Tiny(), micro_batch=micro_batch)
    assert {"robust", "broken"} <= set(statuses(sound))
    made, verdicts = outcome(Faulty(fault), micro_batch=micro_batch)
    assert set(made.failures) == set(BAD)
    for i, verdict in enumerate(verdicts):
        if i in BAD:
            assert verdict.status == "error"
            assert verdict.error.startswith(FAULTS[fault])
            assert ("KeyError: 'lost'" if "raises" in fault else "not finite") in verdict.error
            assert torch.equal(made.x_adv[i], X[i])
            assert not made.claimed[i]
            # What the victim's answer ended, it had asked for; a run that raised says nothing of who had asked for what.
            assert (made.forwards[i] > 0) is (FAULTS[fault] == "while crafting" and "raises" not in fault)
        else:
            assert (verdict.status, made.forwards[i]) == (sound[i].status, sound_made.forwards[i])
            assert torch.allclose(made.x_adv[i], sound_made.x_adv[i], atol=1e-5)


def test_a_victim_that_always_raises_is_an_error_for_all():
    def fail(x):
        raise RuntimeError("no weights")

    made, verdicts = outcome(fail)
    assert statuses(verdicts) == ["error"] * N
    assert all("RuntimeError: no weights" in v.error for v in verdicts)
    assert made.forwards == [0] * N


class Small(Tiny):
    """Has memory for `most` samples with gradients."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most = most
        self.sizes: list[int] = []

    def forward(self, x):
        if torch.is_grad_enabled():
            self.sizes.append(len(x))
            if len(x) > self.most:
                raise torch.OutOfMemoryError("CUDA out of memory")
        return super().forward(x)


@pytest.mark.parametrize(("most", "asked", "left"), [(6, None, 6), (5, None, 3), (1, None, 1), (3, 8, 2), (20, 8, 8)])
def test_short_memory_halves_the_micro_batch_until_it_fits(most, asked, left):
    _, sound = outcome(Tiny())
    made, verdicts = outcome(Small(most), micro_batch=asked)
    assert statuses(verdicts) == statuses(sound)
    assert not made.failures
    assert made.micro_batch == left


def test_no_memory_for_one_sample_is_an_error():
    _, verdicts = outcome(Small(0))
    assert statuses(verdicts) == ["error"] * N
    assert all("out of memory with one sample" in v.error for v in verdicts)


# Attacks that misbehave: build paths name functions of this module


def attack_that_raises(oracle, goal, x, constraint, randomness):
    raise ZeroDivisionError("in the attack")


def attack_that_raises_for_one(oracle, goal, x, constraint, randomness):
    if (x[:, 0, 0, 0] == MARK).any():
        raise ZeroDivisionError("in the attack")
    return x


def attack_that_jumps(oracle, goal, x, constraint, randomness):
    return 1 - x


def attack_that_leaves_the_box(oracle, goal, x, constraint, randomness):
    return x - constraint.eps - 1


def attack_that_returns_nan(oracle, goal, x, constraint, randomness):
    return x * math.nan


def attack_that_returns_too_few(oracle, goal, x, constraint, randomness):
    return x[:-1]


def attack_that_returns_another_shape(oracle, goal, x, constraint, randomness):
    return x.mean((1, 2, 3), keepdim=True)


def attack_that_returns_nothing(oracle, goal, x, constraint, randomness):
    return None


def attack_that_overspends(oracle, goal, x, constraint, randomness):
    index = torch.arange(len(x))
    for _ in range(5):
        oracle.look(goal, x, index)
    return x


def attack_that_boasts(oracle, goal, x, constraint, randomness):
    oracle.retire(torch.arange(len(x)), torch.ones(len(x), dtype=torch.bool))
    return x


def attack_that_keeps_its_graph(oracle, goal, x, constraint, randomness):
    return x.clone().requires_grad_() * 1


def component_of(function):
    name = function.__name__.replace("_", "-")
    return Component("attack", name, "One that misbehaves.", f"{__name__}:{function.__name__}", norms=("linf",))


MISBEHAVIOR = [
    (attack_that_raises, "error", "ZeroDivisionError: in the attack"),
    (attack_that_jumps, "invalid", "constraint"),
    (attack_that_leaves_the_box, "invalid", "constraint"),
    (attack_that_returns_nan, "invalid", "constraint"),
    (attack_that_returns_too_few, "error", "the attack returned"),
    (attack_that_returns_another_shape, "error", "the attack returned"),
    (attack_that_returns_nothing, "error", "NoneType"),
    (attack_that_overspends, "error", "budget is spent"),
]


@pytest.mark.parametrize(("function", "status", "words"), MISBEHAVIOR, ids=lambda v: getattr(v, "__name__", None))
def test_an_attack_that_misbehaves_is_neither_robust_nor_broken(function, status, words):
    attack = spec(component_of(function), params={}, budget=Budget(3))
    made, verdicts = outcome(Tiny(), attack)
    assert statuses(verdicts) == [status] * N
    assert all(words in v.error for v in verdicts)
    assert torch.isfinite(made.x_adv).all() or function is attack_that_returns_nan


@pytest.mark.parametrize(("function", "fine"), [(attack_that_jumps, True), (attack_that_leaves_the_box, False)])
def test_an_attack_without_a_ball_keeps_to_the_box_alone(function, fine):
    attack = spec(replace(component_of(function), norms=()), norm="", eps=math.inf, params={})
    assert (set(statuses(outcome(Tiny(), attack)[1])) <= {"robust", "broken"}) is fine


def test_an_attack_that_raises_for_some_samples_is_their_error():
    _, verdicts = outcome(Tiny(), spec(component_of(attack_that_raises_for_one), params={}))
    assert [i for i, v in enumerate(verdicts) if v.status == "error"] == list(BAD)
    assert statuses(verdicts).count("robust") == N - len(BAD)


class Keyhole(torch.nn.Module):
    """Class 1 where the first pixel is MARK, up to 0.001, which random points all but never are; class 0 everywhere else."""

    def forward(self, x):
        hit = ((x[:, 0, 0, 0] - MARK).abs() < 1e-3).float()
        return torch.stack([1 - hit, hit, -torch.ones_like(hit)], dim=1)


@pytest.mark.parametrize("name", ["hop-skip-jump", "surfree"])
def test_a_sample_without_a_start_is_an_error_and_the_others_are_as_if_alone(name):
    """No point that random search finds is wrong for class 0: that says nothing about how robust it is."""
    attack = spec(name, "l2", math.inf, params={"queries": 200, "start_tries": 40})
    model, lucky = Counting(Keyhole()), list(BAD)
    batch = Batch(BATCH.ids, X, Keyhole()(X).argmax(1), 3)

    made = craft(model, batch, attack, 0, access="decision")
    alone = craft(Keyhole(), batch.take(lucky), attack, 0, access="decision")

    others = [i for i in range(N) if i not in lucky]
    assert set(made.failures) == set(others)
    assert "no starting point: none of 40 random points" in made.failures[others[0]]
    assert [made.forwards[i] for i in others] == [40] * len(others)
    assert torch.equal(made.x_adv[lucky], alone.x_adv)
    assert [made.forwards[i] for i in lucky] == alone.forwards
    assert made.repeated == len(lucky)  # each found its start at the first try, twice
    assert sum(made.forwards) + made.repeated == model.forwards - N  # less the look at the clean inputs

    clean = run_model(model, X, 3)
    verdicts = score(model, batch, attack, 0, made.x_adv, made.failures, clean)
    assert {verdicts[i].status for i in others} == {"error"}
    assert {verdicts[i].status for i in lucky} == {"broken"}


def test_a_claim_is_no_verdict():
    made, verdicts = outcome(Tiny(), spec(component_of(attack_that_boasts), params={}))
    assert all(made.claimed)
    assert statuses(verdicts) == ["robust"] * N


def test_examples_carry_no_graph():
    made, _ = outcome(Tiny(), spec(component_of(attack_that_keeps_its_graph), params={}))
    assert not made.x_adv.requires_grad


# Goals


@pytest.mark.parametrize("goal", ["targeted", "random-target"])
def test_craft_and_score_pursue_the_same_targets(goal):
    attack = spec(eps=1.0, goal=goal, target=2 if goal == "targeted" else None, params={"steps": 30})
    made, verdicts = outcome(Tiny(), attack)
    targets = goal_of(attack, BATCH, 0).targets
    assert torch.equal(targets, goal_of(attack, BATCH, 0).targets)
    order = [5, 3, 8]
    assert torch.equal(goal_of(attack, BATCH.take(order), 0).targets, targets[order])
    for i, verdict in enumerate(verdicts):
        if targets[i] == Y[i]:
            assert (verdict.status, made.forwards[i]) == ("skipped", 0)
        else:
            assert (verdict.status == "broken") is made.claimed[i]
            assert (verdict.prediction == int(targets[i])) is (verdict.status == "broken")
    assert statuses(verdicts).count("broken") >= 4
    assert ("skipped" in statuses(verdicts)) is (goal == "targeted")


def test_random_targets_follow_the_seed():
    attack = spec(goal="random-target")
    assert not torch.equal(goal_of(attack, BATCH, 0).targets, goal_of(attack, BATCH, 1).targets)


def test_examples_that_are_to_transfer_are_crafted_for_every_sample_to_the_end():
    wrong = Batch(BATCH.ids, X, (Y + 1) % 3, 3)
    for batch in (BATCH, wrong):
        made, _ = outcome(Tiny(), spec(access="transfer"), batch=batch)
        assert made.forwards == [6] * N
        assert (made.x_adv != X).flatten(1).any(1).all()


def test_the_last_step_of_a_transfer_goes_further_than_the_first_success():
    """A first success lies on the surrogate's boundary; what transfers lies beyond it."""
    margins = {}
    for access in ("gradient", "transfer"):
        made, _ = outcome(Tiny(), spec(eps=0.15, access=access))
        margins[access] = goal_of(spec(), BATCH, 0).margin(Tiny()(made.x_adv))
    assert (margins["transfer"] <= margins["gradient"] + 1e-4).all()
    assert margins["transfer"].mean() < margins["gradient"].mean() - 0.1


def test_no_samples_are_no_work():
    made, verdicts = outcome(Tiny(), batch=BATCH.take([]))
    assert (len(made.x_adv), verdicts) == (0, [])


def test_parameters_reach_the_attack():
    made, _ = outcome(Tiny(), spec(eps=0.0, params={"steps": 9}))
    assert made.forwards == [10] * N


def test_components_without_parameters_have_none():
    assert dict(parse(component_of(attack_that_jumps), {})) == dict(Params())
