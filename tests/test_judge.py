import math

import numpy as np
import pytest
import torch
from models import Tiny, pixels

from raygrid.constraints import Constraint
from raygrid.goals import Goal
from raygrid.judge import _status, judge
from raygrid.medium import PICTURE
from raygrid.metrics.distances import measure
from raygrid.outputs import run_model

X = pixels(6, 1, 6, 6, seed=3)
LEVELS = PICTURE.levels
X = (X * LEVELS).round() / LEVELS
LABELS = Tiny()(X).argmax(1)
WIDE = Constraint("linf", 1.0)


def verdicts(x_adv, *, model=None, goal=None, constraint=WIDE, failures=(), clean_model=None, x=X, micro_batch=None):
    model = model or Tiny()
    clean = run_model(clean_model or model, x, 3)
    goal = goal or Goal("untargeted", LABELS)
    return judge(model, goal, x, x_adv, constraint, clean, dict(failures), micro_batch)


SOUND = {
    "clean_error": None,
    "pointless": False,
    "clean_met": False,
    "failure": None,
    "within": True,
    "error": None,
    "met": False,
}
PRECEDENCE = [
    ({}, "robust"),
    ({"met": True}, "broken"),
    ({"error": "NaN"}, "error"),
    ({"within": False}, "invalid"),
    ({"failure": "it raised"}, "error"),
    ({"clean_met": True}, "clean_wrong"),
    ({"pointless": True}, "skipped"),
    ({"clean_error": "it raised"}, "error"),
]
"""Each goes before all above it."""


@pytest.mark.parametrize(("stronger", "weaker"), [(s, w) for s in range(len(PRECEDENCE)) for w in range(s + 1)])
def test_the_first_rule_that_applies_decides(stronger, weaker):
    facts, wanted = PRECEDENCE[stronger]
    status, error = _status(**{**SOUND, **PRECEDENCE[weaker][0], **facts})
    assert status == wanted
    assert (error is not None) is (wanted in {"error", "invalid"})


def test_an_error_says_where_it_happened():
    said = [_status(**{**SOUND, key: "boom"})[1] for key in ("clean_error", "failure", "error")]
    assert said == ["on the clean input: boom", "while crafting: boom", "on the example: boom"]


def test_the_victim_is_asked_afresh():
    other = torch.tensor([i for i in range(6) if LABELS[i] != LABELS[0]][:1])
    x_adv = X.clone()
    x_adv[0] = X[other[0]]
    found = verdicts(x_adv)
    assert [v.status for v in found] == ["broken"] + ["robust"] * 5
    assert found[0].prediction == int(LABELS[other[0]]) != found[0].clean_prediction
    assert found[0].success and found[0].margin < 0
    assert found[0].confidence == pytest.approx(Tiny()(X[other])[0].softmax(0).max().item(), rel=1e-5)
    assert not found[1].success and found[1].margin > 0


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_an_example_beyond_its_constraint_is_invalid_even_where_it_fools(norm):
    x_adv = X.flip(0)
    found = verdicts(x_adv, constraint=Constraint(norm, 0.01))
    assert {v.status for v in found} == {"invalid"}
    assert all(v.success is None and v.prediction is None and v.success_stored is None for v in found)
    assert all("constraint" in v.error for v in found)
    assert all(v.clean_correct for v in found)


OUTSIDE = {"above the box": 1.5, "below the box": -0.5, "nan": math.nan, "infinite": math.inf}


@pytest.mark.parametrize("value", OUTSIDE.values(), ids=OUTSIDE.keys())
def test_what_is_no_input_is_invalid_and_never_shown_to_the_victim(value):
    class Strict(Tiny):
        def forward(self, x):
            assert ((x >= 0) & (x <= 1)).all()
            return super().forward(x)

    x_adv = X.clone()
    x_adv[2, 0, 1, 1] = value
    assert [v.status for v in verdicts(x_adv, model=Strict())] == ["robust"] * 2 + ["invalid"] + ["robust"] * 3


@pytest.mark.parametrize("micro_batch", [None, 1, 4])
def test_a_victim_that_fails_on_one_sample_is_an_error_of_that_sample(micro_batch):
    class Faulty(Tiny):
        def forward(self, x):
            if (x[:, 0, 0, 0] == 0.25).any():
                raise KeyError("lost")
            return torch.where((x[:, 0, 0, 0] == 0.75)[:, None], math.nan, super().forward(x))

    x_adv = X.clone()
    x_adv[1, 0, 0, 0], x_adv[4, 0, 0, 0] = 0.25, 0.75
    found = verdicts(x_adv, model=Faulty(), micro_batch=micro_batch)
    sound = verdicts(x_adv, model=Tiny())
    assert [found[i].status for i in (1, 4)] == ["error"] * 2
    assert "on the example" in found[1].error and "KeyError: 'lost'" in found[1].error
    assert "not finite" in found[4].error
    assert all(found[i].status == sound[i].status for i in (0, 2, 3, 5))
    assert all(found[i].clean_correct for i in range(6))
    on_clean = verdicts(X, model=Faulty(), x=x_adv, micro_batch=micro_batch)
    assert [on_clean[i].status for i in (1, 4)] == ["error"] * 2
    assert "on the clean input" in on_clean[1].error
    assert on_clean[1].clean_prediction is None and on_clean[1].clean_correct is None


def test_distances_are_numpys():
    x_adv = (X + 0.3 * (pixels(6, 1, 6, 6, seed=8) - 0.5)).clamp(0, 1)
    x_adv[5] = X[5]
    x_adv[4] = X[4]
    x_adv[4, 0, 3, 3] = 1 - X[4, 0, 3, 3]
    delta = (x_adv.double() - X.double()).flatten(1).numpy()
    clean = X.double().flatten(1).numpy()
    for i, v in enumerate(verdicts(x_adv)):
        assert v.linf == pytest.approx(np.abs(delta[i]).max())
        assert v.l2 == pytest.approx(np.linalg.norm(delta[i]))
        assert v.l1 == pytest.approx(np.abs(delta[i]).sum())
        assert v.l0 == np.count_nonzero(delta[i])
        if i < 5:
            assert v.snr_db == pytest.approx(10 * np.log10(np.sum(clean[i] ** 2) / np.sum(delta[i] ** 2)))
    assert (v.linf, v.l2, v.l1, v.l0, v.snr_db) == (0, 0, 0, 0, None)


def test_a_black_input_has_no_signal_to_noise_ratio():
    black = torch.zeros(1, 1, 6, 6)
    found = verdicts(black + 0.1, x=black, goal=Goal("untargeted", Tiny()(black).argmax(1)))
    assert found[0].snr_db is None


# Targets


def test_a_targeted_goal_is_met_by_its_target_only():
    targets = (LABELS + 1) % 3
    goal = Goal("targeted", LABELS, targets)
    donors = [next((j for j in range(6) if LABELS[j] == t), None) for t in targets.tolist()]
    x_adv = torch.stack([X[i] if j is None else X[j] for i, j in enumerate(donors)])
    found = verdicts(x_adv, goal=goal)
    assert [v.status for v in found] == ["robust" if j is None else "broken" for j in donors]
    assert any(j is not None for j in donors)
    away = Goal("targeted", LABELS, (LABELS + 2) % 3)
    assert {v.status for v in verdicts(x_adv, goal=away) if v.prediction is not None} <= {"robust", "broken"}
    assert not any(v.success for v, j in zip(verdicts(x_adv, goal=away), donors, strict=True) if j is not None)


def test_a_target_that_is_the_label_is_skipped():
    goal = Goal("targeted", LABELS, LABELS.clone())
    found = verdicts(X.flip(0), goal=goal)
    assert {v.status for v in found} == {"skipped"}
    assert all(v.success is None and v.clean_correct for v in found)


def test_what_is_wrong_on_the_clean_input_is_clean_wrong_whatever_the_example():
    goal = Goal("untargeted", (LABELS + 1) % 3)
    found = verdicts(X, goal=goal, failures={0: "it raised"})
    assert {v.status for v in found} == {"clean_wrong"}
    assert all(v.success and not v.clean_correct for v in found)


# Stored copies

LEVEL = 1 / LEVELS


def test_success_on_file_is_told_apart():
    """An example that lives on a fraction of a level fools the victim, and its copy on file does not."""

    class Fine(Tiny):
        def forward(self, x):
            value = x[:, 0, 0, 0]
            return torch.stack([0 * value, value - 0.001, 0 * value - 1], 1)

    x = torch.zeros(3, 1, 6, 6)
    x_adv = x.clone()
    x_adv[0, 0, 0, 0], x_adv[1, 0, 0, 0] = 0.5 * LEVEL, 2 * LEVEL
    found = verdicts(x_adv, model=Fine(), x=x, goal=Goal("untargeted", torch.zeros(3, dtype=torch.long)))
    assert [(v.status, v.success_stored) for v in found] == [("broken", False), ("broken", True), ("robust", False)]


def test_no_samples_have_no_verdicts():
    assert verdicts(X[:0], x=X[:0], goal=Goal("untargeted", LABELS[:0])) == []


def test_the_stored_copy_has_distances_of_its_own():
    x_adv = X.clone()
    x_adv[0, 0, 0, 0] += 0.5 * LEVEL  # rounds back
    x_adv[1] = (X[1] + 2.5 * LEVEL).clamp(0, 1)
    x_adv[2, 0, 0, 0] = math.nan
    found = verdicts(x_adv)
    assert (found[0].l0, found[0].stored.l0, found[0].stored.psnr_db) == (1, 0, None)
    assert found[1].linf == pytest.approx(2.5 * LEVEL, rel=1e-3)
    assert found[1].stored.linf == pytest.approx(2 * LEVEL, rel=1e-3)
    assert found[1].stored.psnr_db > found[1].psnr_db
    assert found[2].stored is None
    assert found[3].stored == measure(X[3:4], X[3:4])[0]


# Channels and draws


def dimming(x, index, purpose):
    """A channel whose draw d multiplies by 1 - d / 10, and by another factor for each sample."""
    kind, draw = purpose.split("/")
    assert kind == "judge"
    return x * (1 - int(draw) / 10) * (1 - index.view(-1, 1, 1, 1) / 20)


@pytest.mark.parametrize("micro_batch", [None, 1, 4])
def test_each_draw_shows_the_sample_through_the_channel_at_its_own_purpose(micro_batch):
    outputs = run_model(Tiny(), X, 3, micro_batch, 4, dimming)
    assert outputs.draws == 4
    for draw in range(4):
        assert torch.allclose(outputs.each[draw], Tiny()(dimming(X, torch.arange(6), f"judge/{draw}")), atol=1e-6)
    once = run_model(Tiny(), X, 3, micro_batch, 1, dimming)
    assert once.draws == 1 and torch.equal(once.logits, outputs.each[0])


@pytest.mark.parametrize("broken_at", [None, 1, 3, 5, 10])
def test_a_sample_is_broken_by_so_many_fooled_draws_and_clean_inputs_are_judged_alike(broken_at):
    at = 6 if broken_at is None else broken_at
    goal = Goal("targeted", LABELS, (LABELS + 1) % 3)
    x_adv = pixels(6, 1, 6, 6, seed=8)
    clean = run_model(Tiny(), X, 3, None, 10, dimming)
    found = judge(Tiny(), goal, X, x_adv, WIDE, clean, {}, broken_at=broken_at, channel=dimming)
    seen = torch.stack([Tiny()(dimming(x_adv, torch.arange(6), f"judge/{d}")).argmax(1) for d in range(10)])
    fooled = (seen == goal.targets).sum(0).tolist()
    wrong = (clean.each.argmax(2) != LABELS).sum(0).tolist()
    assert [v.draws_fooled for v in found] == fooled
    assert [v.success for v in found] == [count >= at for count in fooled]
    assert [v.clean_correct for v in found] == [count < at for count in wrong]
    assert {v.draws for v in found} == {10}
    for v in found:
        assert v.status in ("clean_wrong", "broken" if v.success else "robust")
