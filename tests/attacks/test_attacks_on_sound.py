"""The attacks of pictures that make sense of sound, on waveforms [B, T] in [-1, 1]: inside their constraint, and no worse than a
linear victim allows."""

import math

import pytest
import torch
from cases import ATTACKS, Case, batch_of, run, statuses
from models import Linear, numbers

from raygrid import kernel
from raygrid.component import resolve
from raygrid.constraints import Constraint
from raygrid.goals import Goal
from raygrid.randomness import Randomness
from raygrid.registry import find
from raygrid.spec import AttackSpec
from raygrid.units import Dataset

T = 300
MINIMAL = [
    Case(name, norm, few)
    for name, norm, few in (
        ("ddn", "l2", {"steps": 20}),
        ("fmn", "linf", {"steps": 20}),
        ("fmn", "l2", {"steps": 20}),
        ("deepfool", "l2", {}),
        ("fab", "linf", {"steps": 10}),
        ("carlini-wagner", "l2", {"steps": 30}),
        ("hop-skip-jump", "l2", {"queries": 300}),
        ("hop-skip-jump", "linf", {"queries": 300}),
    )
]
HEARING = [
    case
    for case in ATTACKS
    if not (params := find("attack", case.name).params.model_validate(case.few)).for_pictures()
    and params.hears(case.norm)
    and case.name != "feature-space"  # looks into layers, which a linear victim has none of
]
EPS = {"linf": 0.05, "l2": 0.5, "l1": 4.0, "l0": 8.0}


def waveforms(n=12):
    x = (0.4 * numbers(n, T, seed=5)).clamp(-1, 1)  # some values at either end
    victim = Linear(numbers(3, T, seed=1) / 10, numbers(3, seed=2) / 10)
    return victim, batch_of(x, victim(x).argmax(1), 3)


def test_most_attacks_hear():
    assert {"pgd", "fgsm", "mi-fgsm", "apgd", "square", "nes", "uniform-noise", "salt-and-pepper"} <= {
        case.name for case in HEARING
    }


@pytest.mark.parametrize("goal", ["untargeted", "random-target"])
@pytest.mark.parametrize("case", HEARING, ids=str)
def test_an_attack_on_sound_stays_inside_its_ball_and_the_range_of_sound(case, goal):
    victim, batch = waveforms()
    calls = []
    victim.register_forward_hook(lambda *_: calls.append(1))
    made, verdicts = run(victim, batch, case.spec(EPS[case.norm], goal=goal, **case.few))
    assert not made.failures
    # A batch that fails is tried clip by clip, and that would hide shapes that only fit one.
    assert len(calls) <= max(made.forwards) + 6
    assert made.x_adv.shape == batch.x.shape
    assert Constraint(case.norm, EPS[case.norm], -1.0, 1.0).allows(made.x_adv, batch.x).all()
    assert "invalid" not in statuses(verdicts)


@pytest.mark.parametrize("case", [case for case in HEARING if case.norm == "linf"], ids=str)
def test_values_below_zero_are_as_free_to_move_as_those_above(case):
    if case.name in {"uniform-noise", "gaussian-noise"}:
        pytest.skip("noise breaks what it breaks")
    victim, batch = waveforms()
    made, verdicts = run(
        victim, batch, case.spec(0.9, **{**case.few, **({"queries": 400} if "queries" in case.few else {})})
    )
    assert statuses(verdicts).count("broken") >= 0.7 * len(verdicts)  # some have six steps only
    below = (made.x_adv - batch.x)[batch.x < 0]
    assert float(below.amax()) > 0.1
    assert float(below.amin()) < -0.1


@pytest.mark.parametrize("case", MINIMAL, ids=str)
def test_closest_examples_of_sound_break_it(case):
    victim, batch = waveforms()
    calls = []
    victim.register_forward_hook(lambda *_: calls.append(1))
    made, verdicts = run(victim, batch, case.spec(float("inf"), **case.few))
    assert not made.failures
    assert len(calls) < sum(made.forwards) / 3
    assert statuses(verdicts).count("broken") == len(verdicts)
    assert float(made.x_adv.abs().max()) <= 1


def test_squares_of_sound_are_stretches_of_time():
    victim, batch = waveforms()
    made, _ = run(victim, batch, find_square().spec(1e-3, queries=40, p_init=0.1))
    delta = (made.x_adv - batch.x) / 1e-3
    inside = (batch.x.abs() < 0.99).all(0)
    assert torch.allclose(delta[:, inside].abs(), torch.ones(()), atol=1e-3)  # corners of the ball
    assert ((delta[:, 1:] > 0) != (delta[:, :-1] > 0)).float().mean() < 0.55


def find_square():
    return next(case for case in ATTACKS if case.name == "square" and case.norm == "linf")


def test_data_with_a_rate_is_sound_whatever_victims_do_with_it():
    shared = {"name": "d", "label": "d", "classes": 2, "classes_stated": True, "shape": (1, 1, 5), "shards": ()}
    assert Dataset(**shared, sample_rate=16_000).sound
    assert Dataset(**shared, sample_rate=16_000, task="verification").sound
    assert not Dataset(**shared, task="verification").sound


def test_a_recognizer_judges_itself_and_the_photos_of_a_face_stand_in_for_others():
    """Where something stood in for it, the closest example of all would be as far away as the start."""
    victim, batch = waveforms(4)
    attack = find("attack", "hop-skip-jump")
    params = attack.params.model_validate({"queries": 200})

    def oracle(goal, readout):
        spec = AttackSpec(attack, params, "linf", math.inf, goal)
        return kernel._oracle(victim, batch, spec, 0, "decision", None, readout=readout)

    def found(some):
        goal, randomness = Goal("untargeted", batch.labels), Randomness(0, attack.name, batch.ids)
        return resolve(attack.build)(
            some, goal, batch.x, Constraint("linf", math.inf, -1, 1), randomness, **dict(params)
        )

    assert oracle("impersonate", None).stands_in
    heard = oracle("garble", lambda outputs, index: outputs)
    assert not heard.stands_in
    assert torch.equal(found(heard), found(oracle("untargeted", None)))
