"""AutoAttack beside its authors' code, and audit beside AutoAttack: on victims sound and masked."""

from itertools import pairwise

import pytest
import torch
from masked import Compressed, Quantized, Rippled, Saturated, Shifting
from models import Tiny, digits, pixels, victim

import raygrid
from raygrid.bench_alike import start_alike
from raygrid.notebook import Attacked

SAMPLES = 64
EPS = 0.34
"""Leaves about a sixth of the digits standing on the adversarially trained network."""


def standing(found: Attacked) -> torch.Tensor:
    assert found.statuses["error"] == found.statuses["invalid"] == 0
    return torch.tensor([verdict.status == "robust" for verdict in found.verdicts])


@pytest.fixture(scope="module")
def ours() -> Attacked:
    return raygrid.attack(victim("mnist-cnn-adv"), *digits(SAMPLES), "autoattack", norm="linf", eps=EPS)


def test_every_stage_counts_what_the_former_broke(ours):
    assert [stage.name for stage in ours.stages] == ["apgd-ce", "apgd-t", "fab", "square"]
    left = [standing(stage) for stage in ours.stages]
    for before, after in pairwise(left):
        assert not (after & ~before).any()
    assert torch.equal(standing(ours), left[-1])
    assert 0.05 * SAMPLES <= left[-1].sum() < left[0].sum()
    spent = torch.stack([stage.forwards for stage in ours.stages])
    assert torch.equal(ours.forwards, spent.sum(0))
    for stage, before in zip(ours.stages[1:], left, strict=False):
        assert not stage.forwards[~before].any()
    assert set(spent[-1][left[-1]].tolist()) == {5000}


def test_audit_is_hardly_more_optimistic_than_autoattack_and_spends_a_fraction(ours):
    audit = raygrid.attack(victim("mnist-cnn-adv"), *digits(SAMPLES), "audit", norm="linf", eps=EPS)
    assert standing(audit).sum() <= standing(ours).sum() + 1
    spent, theirs = (int((found.forwards + 2 * found.backwards).sum()) for found in (audit, ours))
    assert spent <= 0.3 * theirs  # a backward pass costs about two forward ones


@pytest.mark.timeout(600)
def test_autoattack_leaves_standing_what_its_authors_code_leaves_from_the_same_starts(ours):
    package = pytest.importorskip("pyautoattack", reason="pyautoattack is the authors' code, .ci/run installs it")
    model, (x, y) = victim("mnist-cnn-adv"), digits(SAMPLES)
    suite = package.AutoAttack(model, norm="Linf", eps=EPS, version="standard", seed=0)
    start_alike(suite.apgd, "apgd-ce", "start/{}", x, 0)
    start_alike(suite.apgd_targeted, "apgd-t", "start/0/{}", x, 0)
    with torch.random.fork_rng():  # it seeds the global generator
        examples, *_ = suite.run_standard_evaluation(x, y, batch_size=SAMPLES)
    theirs = model(examples).argmax(1) == y
    assert abs(int(standing(ours).sum()) - int(theirs.sum())) <= 1
    assert (standing(ours) != theirs).sum() <= 2


@pytest.fixture(scope="module")
def sound() -> Attacked:
    return on_tiny()


def on_tiny() -> Attacked:
    x = pixels(6, 1, 6, 6)
    return raygrid.attack(Tiny(), x, Tiny()(x).argmax(1), "autoattack", eps=0.05)


@pytest.mark.parametrize("stage", ["autopgd:apgd", "autopgd:apgd_t", "fab:fab"])
def test_a_sample_on_which_a_stage_crashed_is_never_robust(stage, sound, monkeypatch):
    """Whatever later stages find: broken is broken, and what only they leave standing is unknown."""

    def crash(*args, **params):
        raise ArithmeticError("this attack does not work")

    monkeypatch.setattr(f"raygrid.attacks.{stage.replace(':', '.')}", crash)
    found = on_tiny()
    assert sound.statuses["robust"] and sound.statuses["broken"]
    assert found.statuses["robust"] == 0 and found.statuses["error"]
    assert found.robust_accuracy_bounds[0] == 0
    assert {v.error for v in found.verdicts if v.status == "error"} == {
        "an earlier attack of the suite failed on the sample"
    }


MASKED = {"quantized": (Quantized, 0.15, 4), "saturated": (Saturated, 0.1, 1), "rippled": (Rippled, 0.12, 4)}


@pytest.mark.parametrize("name", MASKED)
def test_audit_sees_through_a_masked_victim_as_far_as_autoattack(name):
    wrap, eps, samples = MASKED[name]
    model, (x, y) = wrap(victim("mnist-cnn")), digits(samples)
    audit, suite = (raygrid.attack(model, x, y, suite, norm="linf", eps=eps) for suite in ("audit", "autoattack"))
    assert standing(audit).sum() <= standing(suite).sum()
    assert sum(stage.forwards.sum() > 0 for stage in audit.stages) >= 6  # it escalated
    if name == "quantized":  # the gradient is zero everywhere, and most fall to scores alone
        assert standing(audit.stages[1]).sum() - standing(audit).sum() >= 0.05 * len(x)


def test_a_victim_that_answers_at_random_is_judged_by_twenty_draws_and_attacked_through_as_many():
    model, (x, y) = Shifting(victim("mnist-cnn")), digits(6)
    single = raygrid.attack(model, x, y, "pgd", eps=0.15, steps=10, eot=1)
    averaged = raygrid.attack(model, x, y, "pgd", eps=0.15, steps=10)
    assert {verdict.draws for verdict in averaged.verdicts} == {20}
    assert all(0 <= verdict.draws_fooled <= 20 for verdict in averaged.verdicts if verdict.draws_fooled is not None)
    assert {v.status == "broken" for v in averaged.verdicts if (v.draws_fooled or 0) > 10} <= {True}
    assert averaged.forwards.max() == 20 * single.forwards.max() == 20 * 11
    again = raygrid.attack(model, x, y, "pgd", eps=0.15, steps=10)
    assert torch.equal(again.x_adv, averaged.x_adv) and again.verdicts == averaged.verdicts


@pytest.mark.parametrize("wrap", [Rippled, Compressed])
def test_audit_escalates_where_gradients_mislead_and_not_on_the_bare_net(wrap):
    bare, (x, y) = victim("mnist-cnn"), digits(2)
    called = [
        sum(stage.forwards.sum() > 0 for stage in raygrid.attack(model, x, y, "audit", norm="linf", eps=0.08).stages)
        for model in (bare, wrap(bare))
    ]
    assert called[0] <= 5 < called[1]
