import math

import numpy as np
import pytest
import torch
from models import Linear, Tiny, digits, pixels, victim
from torch import nn

import raygrid
from raygrid.errors import UsageError
from raygrid.judge import Verdict
from raygrid.metrics.distances import measure
from raygrid.notebook import Attacked
from raygrid.spec import Budget

X = pixels(8, 1, 6, 6, seed=5)
Y = Tiny()(X).argmax(1)


def test_attacks_a_module_in_one_line():
    attacked = raygrid.attack(Tiny(), X, Y, "pgd", eps=0.06)
    assert attacked.x_adv.shape == X.shape
    assert attacked.statuses["broken"] >= 2
    assert attacked.robust_accuracy == attacked.statuses["robust"] / 8
    low, high = attacked.interval
    assert low < attacked.robust_accuracy < high
    assert "robust accuracy" in repr(attacked) and "'broken'" in repr(attacked)
    assert attacked.forwards.max() <= 41 and attacked.backwards.max() <= 40


def test_attacks_a_victim_by_its_name():
    x, y = digits(10)
    by_name = raygrid.attack("mnist-cnn", x, y, "fgsm", eps=0.1, norm="l2")
    assert torch.equal(by_name.x_adv, raygrid.attack(victim("mnist-cnn"), x, y, "fgsm", eps=0.1, norm="l2").x_adv)


def test_a_corruption_takes_no_eps_and_looks_at_nothing():
    x, y = digits(20)
    attacked = raygrid.attack("mnist-cnn", x, y, "corruption", kind="contrast", severity=5)
    assert attacked.statuses["broken"] >= 1
    assert not attacked.forwards.any() and not attacked.backwards.any()
    assert attacked.robust_accuracy < 1
    for words in ({"eps": 0.1}, {"norm": "linf"}):
        with pytest.raises(UsageError, match="takes neither eps nor norm"):
            raygrid.attack("mnist-cnn", x, y, "corruption", kind="contrast", severity=5, **words)


def test_a_module_of_ones_own_is_looked_into_and_stays_as_it_is():
    model = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(48, 3)).train()
    x, y = X.clone(), model(X).argmax(1)
    attacked = raygrid.attack(model, x, y, "feature-space", target_layer="1", steps=3)
    assert "error" not in attacked.statuses and attacked.backwards.tolist() == [36] * 8
    assert model[1].inplace and model.training and all(p.requires_grad for p in model.parameters())
    by_name = raygrid.attack("mnist-cnn", *digits(4), "feature-space", target_layer="relu3", steps=2)
    assert by_name.forwards.tolist() == [25] * 4
    with pytest.raises(UsageError, match='no layer "4"; it has: 0, 1, 2'):
        raygrid.attack(model, x, y, "feature-space", target_layer="4")


def test_an_attack_in_a_ball_needs_eps():
    with pytest.raises(UsageError, match='attack "pgd" needs eps'):
        raygrid.attack(Tiny(), X, Y, "pgd")


def test_a_seed_gives_the_same_examples_again():
    once, again, other = (raygrid.attack(Tiny(), X, Y, "pgd", eps=0.05, seed=seed).x_adv for seed in (3, 3, 4))
    assert torch.equal(once, again)
    assert not torch.equal(once, other)


@pytest.mark.parametrize("name", ["pgd", "uniform-noise"])
def test_a_budget_holds(name):
    attacked = raygrid.attack(Tiny(), X, Y, name, eps=0.01, budget=Budget(3))
    assert attacked.forwards.max() <= 3


class Mixed(nn.Module):
    """Part in train mode, part frozen, some statistics that a careless forward would move."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.drop, self.model = nn.BatchNorm2d(1), nn.Dropout(0.5), Tiny()
        self.train()
        self.norm.eval()
        self.model.conv.eval()
        self.model.head.bias.requires_grad_(False)

    def forward(self, x):
        return self.model(self.drop(self.norm(x)))


def state(model):
    return (
        [module.training for module in model.modules()],
        [parameter.requires_grad for parameter in model.parameters()],
        [parameter.grad for parameter in model.parameters()],
        {name: value.clone() for name, value in model.state_dict().items()},
    )


@pytest.mark.parametrize("name", ["pgd", "no such attack"])
def test_a_module_is_given_back_as_it_was(name):
    model = Mixed()
    *before, weights = state(model)
    if name == "pgd":
        raygrid.attack(model, X, Y, name, eps=0.1)
    with pytest.raises(UsageError):
        raygrid.attack(model, X, Y + 7, "pgd", eps=0.1)
    *after, weights_after = state(model)
    assert after == before
    assert all(torch.equal(weights[key], weights_after[key]) for key in weights)
    assert {True, False} == set(after[0]) == set(after[1])


def test_the_callers_tensors_are_left_alone():
    x, y = X.clone().requires_grad_(), Y.clone()
    attacked = raygrid.attack(Tiny(), x, y, "pgd", eps=0.3)
    assert torch.equal(x, X) and torch.equal(y, Y)
    assert not attacked.x_adv.requires_grad


def test_dropout_is_off():
    attacked = raygrid.attack(Mixed(), X, Y, "pgd", eps=0.0)
    assert [v.prediction for v in attacked.verdicts] == Mixed().eval()(X).argmax(1).tolist()


def pairs(x):
    return x, x


def itself(x):
    return x


def fails(x):
    raise KeyError("lost")


class Calls(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def detached(x):
    return Tiny()(x).detach()


MISTAKES = {
    "an unknown attack": ({"name": "pdg"}, 'unknown attack "pdg"; did you mean "pgd"?'),
    "an unknown victim": ({"victim": "mnist-cn"}, 'unknown victim "mnist-cn"; did you mean "mnist-cnn"?'),
    "an unknown parameter": ({"step": 3}, 'unknown parameter "step" of attack "pgd"; did you mean "steps"?'),
    "a parameter out of range": ({"steps": 0}, "steps: input should be greater than or equal to 1, not 0"),
    "an unknown norm": ({"norm": "linff"}, 'attack "pgd" has no norm "linff"; did you mean "linf"?'),
    "a norm that the attack lacks": ({"name": "fgsm", "norm": "l1"}, 'attack "fgsm" has no norm "l1"'),
    "an unknown goal": ({"goal": "untarget"}, 'has no goal "untarget"; did you mean'),
    "targeted without a target": ({"goal": "targeted"}, "goal targeted needs a target"),
    "a target without targeted": ({"target": 1}, "no other goal takes one"),
    "a target that is no class": ({"goal": "targeted", "target": 3}, "target must lie in 0..2"),
    "a negative eps": ({"eps": -0.1}, "eps must be a radius of at least 0, not -0.1"),
    "an eps that is no number": ({"eps": math.nan}, "eps must be a radius of at least 0, not nan"),
    "an eps beyond the range": ({"eps": 8}, "larger than the whole input range"),
    "an eps beyond any example": ({"eps": 9, "norm": "l2"}, "larger than the whole input range"),
    "a part of a value": ({"name": "salt-and-pepper", "eps": 2.5}, "eps 2.5 of norm l0 is no whole number"),
    "more values than there are": (
        {"name": "salt-and-pepper", "eps": 37},
        "any 1x6x6 input lies within l0 distance 36",
    ),
    "pixels of 0..255": ({"x": 255 * X}, "x must lie in [0, 1], not in ["),
    "normalized pixels": ({"x": X - 0.5}, "victims normalize inside"),
    "pixels of bytes": ({"x": (255 * X).byte()}, "divide by 255"),
    "NaN pixels": ({"x": X * math.nan}, "x holds NaN or infinity, first in sample 0, in 8 of 8"),
    "an infinite pixel": (
        {"x": X.index_fill(0, torch.tensor([3]), math.inf)},
        "x holds NaN or infinity, first in sample 3, in 1 of 8",
    ),
    "pixels in NumPy": ({"x": X.numpy()}, "x must be a torch tensor, not ndarray: torch.as_tensor(x) makes one"),
    "labels in a list": ({"y": Y.tolist()}, "y must be a torch tensor, not list"),
    "eps as text": ({"eps": "8/255"}, "eps must be one number, such as 8 / 255, not '8/255'"),
    "several eps": ({"eps": [0.1, 0.2]}, "eps must be one number"),
    "a function for a victim": ({"victim": Tiny().forward}, "the victim must be a torch.nn.Module or the name"),
    "a victim without gradients": ({"victim": Calls(detached)}, "no gradient reaches the input of the victim"),
    "a budget of nothing": ({"budget": Budget(queries=0)}, "budget: queries must be at least 1, not 0"),
    "a budget of less": ({"budget": Budget(gradients=-1)}, "budget: gradients must be at least 1, not -1"),
    "a budget that buys nothing": (
        {"name": "ddn", "norm": "l2", "budget": Budget(queries=1)},
        "takes 2 queries until it has an example, and its budget is 1",
    ),
    "more rivals than there are": ({"name": "apgd-t", "targets": 3}, "besides the true class there are 2"),
    "a budget for a suite": (
        {"name": "audit", "budget": Budget(queries=9)},
        "a budget would end its stages one by one",
    ),
    "one sample without its batch": ({"x": X[0]}, "x must be [B, C, H, W]"),
    "labels of another length": ({"y": Y[:3]}, "with the same B >= 1, not [8, 1, 6, 6] and [3]"),
    "no samples": ({"x": X[:0], "y": Y[:0]}, "the same B >= 1"),
    "one-hot labels": ({"y": nn.functional.one_hot(Y, 3)}, "y [B]"),
    "labels as floats": ({"y": Y.float()}, "as integers, not torch.float32"),
    "a label that is no class": ({"y": Y + 3}, "y must lie in 0..2, the victim's classes, not in"),
    "a negative label": ({"y": Y - 3}, "y must lie in 0..2"),
    "an empty micro-batch": ({"micro_batch": 0}, "micro_batch must be at least 1, not 0"),
    "a victim of tuples": ({"victim": Calls(pairs)}, "not tuple"),
    "a victim of images": (
        {"victim": Calls(itself)},
        "returns logits [B, classes], here [1, classes], not [1, 1, 6, 6]",
    ),
    "a victim that always raises": ({"victim": Calls(fails)}, "fails on every sample; on the first: KeyError: 'lost'"),
    "a victim of one class": (
        {"victim": Linear(torch.ones(1, 36), torch.zeros(1)), "y": 0 * Y},
        "the victim has one class",
    ),
}


@pytest.mark.parametrize(("changes", "words"), MISTAKES.values(), ids=MISTAKES.keys())
def test_a_mistake_gets_one_clear_message(changes, words):
    arguments = {"victim": Tiny(), "x": X, "y": Y, "name": "pgd", "eps": 0.1, **changes}
    victim_, x, y, name = (arguments.pop(key) for key in ("victim", "x", "y", "name"))
    with pytest.raises(UsageError) as caught:
        raygrid.attack(victim_, x, y, name, **arguments)
    assert len(caught.value.messages) == 1
    assert words in str(caught.value)


def test_several_wrong_parameters_are_told_at_once():
    with pytest.raises(UsageError) as caught:
        raygrid.attack(Tiny(), X, Y, "pgd", eps=0.1, steps=0, restart=2)
    assert len(caught.value.messages) == 2


class FailsOnOne(Tiny):
    def forward(self, x):
        if (x == X[3]).flatten(1).all(1).any():
            raise KeyError("lost")
        return super().forward(x)


def test_a_sample_without_a_verdict_leaves_the_accuracy_unknown():
    attacked = raygrid.attack(FailsOnOne(), X, Y, "pgd", eps=0.05)
    assert attacked.statuses["error"] == 1
    low, high = attacked.robust_accuracy_bounds
    assert high - low == pytest.approx(1 / 8)
    with pytest.raises(ValueError, match=r"between .* and .*; see verdicts\[i\].error"):
        _ = attacked.robust_accuracy
    assert "between" in repr(attacked)
    assert "KeyError" in attacked.verdicts[3].error


def test_a_failure_on_the_first_sample_is_a_failure_of_that_sample():
    order = [3, 0, 1, 2]
    attacked = raygrid.attack(FailsOnOne(), X[order], Y[order], "fgsm", eps=0.05)
    assert [v.status == "error" for v in attacked.verdicts] == [True, False, False, False]


@pytest.mark.parametrize(
    "goal", [{"goal": "targeted", "target": 1}, {"goal": "random-target"}], ids=lambda g: g["goal"]
)
def test_a_target_has_a_success_rate_and_no_robust_accuracy(goal):
    attacked = raygrid.attack(Tiny(), X, Y, "pgd", eps=1.0, **goal)
    judged = [v.success for v in attacked.verdicts if v.status != "skipped"]
    assert attacked.success_rate == pytest.approx(np.mean(judged))
    assert attacked.success_rate > 0
    with pytest.raises(ValueError, match="see success_rate"):
        _ = attacked.robust_accuracy
    assert "success rate" in repr(attacked)


def verdict(status):
    fooled = status in {"broken", "clean_wrong"}
    judged = {"clean_prediction": 0, "clean_correct": True, "prediction": 0, "confidence": 1.0, "margin": 1.0}
    (distances,) = measure(X[:1], X[:1])
    return Verdict(
        **vars(distances),
        status=status,
        success=fooled,
        draws=1,
        draws_fooled=int(fooled),
        success_stored=False,
        stored=distances,
        error=None,
        **judged,
    )


BOUNDS = [
    (["robust", "broken", "clean_wrong", "robust"], (0.5, 0.5)),
    (["robust", "error"], (0.5, 1.0)),
    (["robust", "invalid", "broken", "error"], (0.25, 0.75)),
    (["robust", "skipped"], (1.0, 1.0)),
    (["skipped"], (0.0, 1.0)),
    (["error"], (0.0, 1.0)),
]


@pytest.mark.parametrize(("found", "bounds"), BOUNDS, ids=lambda v: "-".join(map(str, v)))
def test_bounds_count_what_has_no_verdict_both_ways(found, bounds):
    attacked = Attacked(X, [verdict(status) for status in found], torch.zeros(1), torch.zeros(1))
    assert attacked.robust_accuracy_bounds == bounds


def test_embedders_and_recognizers_are_not_taken_for_classifiers():
    with pytest.raises(UsageError, match='"hama" does transcription: run it by a job'):
        raygrid.attack("hama", torch.zeros(1, 1, 4, 4), torch.zeros(1).long(), "pgd", eps=0.1)
    with pytest.raises(UsageError, match='"yamnet" hears: run it by a job'):
        raygrid.attack("yamnet", torch.zeros(1, 1, 4, 4), torch.zeros(1).long(), "pgd", eps=0.1)


class Answers(nn.Module):
    """A model whose logits are of another type than float32."""

    def __init__(self, dtype):
        super().__init__()
        self.tiny, self.dtype = Tiny(), dtype

    def forward(self, x):
        return self.tiny(x).to(self.dtype)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize(
    "name", ["fgsm", "pgd", "apgd-ce", "apgd-t", "mi-fgsm", "square", "ddn", "fmn", "fab", "deepfool", "hop-skip-jump"]
)
def test_logits_of_any_precision_are_read_in_float32(name, dtype):
    sizes = {"queries": 100} if name in {"square", "hop-skip-jump"} else {} if name == "fgsm" else {"steps": 10}
    y = Answers(dtype)(X).argmax(1)
    attacked = raygrid.attack(Answers(dtype), X, y, name, eps=0.1, **sizes)
    assert "error" not in attacked.statuses and attacked.x_adv.dtype == torch.float32
    exact = raygrid.attack(Tiny(), X, Y, name, eps=0.1, **sizes)
    assert abs(attacked.statuses["broken"] - exact.statuses["broken"]) <= 1


def test_what_is_shown_of_samples_that_failed_says_why():
    attacked = raygrid.attack(FailsOnOne(), X, Y, "pgd", eps=0.1)
    assert attacked.statuses["error"]
    assert "; the first error: " in repr(attacked)
    assert "first error" not in repr(raygrid.attack(Tiny(), X, Y, "pgd", eps=0.1))
