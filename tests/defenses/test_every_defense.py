"""What every defense of the table keeps to."""

import pytest
import torch
from defense_cases import CHANGE_PICTURES, DEFENSES, ask, defended, draws, in_color
from models import digits, victim

from raygrid import registry
from raygrid.defenses.defended import Defended
from raygrid.errors import UsageError
from raygrid.registry import find, parse

EVERY = pytest.mark.parametrize("case", DEFENSES, ids=str)
N = 10
IDS = [f"digit-{i}" for i in range(N)]
ROUNDING = 1e-4
"""Of logits up to some 20: other batch sizes choose other kernels."""


def test_every_defense_of_the_catalog_has_its_line():
    known = registry.of_kind("defense")  # those of sound are in test_sound_defenses.py
    wanted = {component.name for component in known if component.task == "classification"} - {"none"}
    assert {case.name for case in DEFENSES} == wanted


@pytest.mark.parametrize("case", [case for case in DEFENSES if case.off is not None], ids=str)
def test_strength_zero_changes_nothing_bit_for_bit(case):
    x, _ = digits(N)
    bare, model = victim("mnist-cnn"), defended(case.name, **case.off)
    assert not model.random and not model.detects
    assert torch.equal(model(x), bare(x))
    assert torch.equal(model.soft(x), bare(x))
    assert torch.equal(model.inside(x), bare.inside(x))


@EVERY
def test_it_does_something(case):
    x, _ = digits(N)
    model = defended(case.name, **case.params)
    answers = ask(model, x, draws(IDS))
    assert answers.shape == (N, 10 + model.abstains) and torch.isfinite(answers).all()
    assert model.detects or not torch.equal(answers, victim("mnist-cnn")(x))
    assert model.random is case.random
    assert find("defense", case.name).params(**case.params).draws_at_random() is case.random


@pytest.mark.parametrize("case", CHANGE_PICTURES, ids=str)
@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_keep_their_shape_and_range(case, channels):
    """Also of noise, of sides that are odd and unequal, and of values outside the box, as noise before it leaves them."""
    bare, smooth = in_color(17, channels)
    model = defended(case.name, bare, **case.params)
    rough = torch.rand(6, channels, 13, 18, generator=torch.Generator().manual_seed(0))
    for x in (smooth, rough, rough.round()):
        for seen in (model.before(x, draws(IDS[:6])), model.softly_before(x, draws(IDS[:6]))):
            assert seen.shape == x.shape and seen.dtype == x.dtype
            assert seen.min() >= 0 and seen.max() <= 1
    if case.name in ("jpeg", "bit-depth"):
        assert model.before(3 * rough - 1, draws(IDS[:6])).aminmax() == (0, 1)


@EVERY
def test_a_sample_is_answered_alike_whatever_its_batch_and_order(case):
    x, _ = digits(N)
    model = defended(case.name, **case.params)
    whole, soft = ask(model, x, draws(IDS)), model.soft(x, draws(IDS))
    for order in ([7, 2, 9, 0, 4, 1, 8, 3, 6, 5], [4], [9, 4]):
        at = draws([IDS[i] for i in order])
        assert (ask(model, x[order], at) - whole[order]).abs().max() < ROUNDING
        assert (model.soft(x[order], at) - soft[order]).abs().max() < ROUNDING


@pytest.mark.parametrize("case", CHANGE_PICTURES, ids=str)
def test_a_picture_becomes_the_same_bit_for_bit_whatever_its_batch_and_order(case):
    x, _ = digits(N)
    model = defended(case.name, **case.params)
    whole = model.before(x, draws(IDS))
    for order in ([7, 2, 9, 0, 4, 1, 8, 3, 6, 5], [4], [9, 4]):
        assert torch.equal(model.before(x[order], draws([IDS[i] for i in order])), whole[order])


@EVERY
def test_only_random_ones_answer_otherwise_at_another_look(case):
    x, _ = digits(N)
    model = defended(case.name, **case.params)
    first, again, other = (ask(model, x, draws(IDS, purpose=look)) for look in ("judge/0", "judge/0", "judge/1"))
    assert torch.equal(first, again)
    assert torch.equal(first, other) is not case.random


@EVERY
def test_an_attacker_gets_gradients_of_what_is_answered(case):
    x, _ = digits(N)
    model = defended(case.name, **case.params)
    seen = x.clone().requires_grad_()
    logits = model.soft(seen, draws(IDS))
    (logits.gather(1, logits.argmax(1, keepdim=True)) - logits.mean(1, keepdim=True)).sum().backward()
    assert torch.isfinite(seen.grad).all()
    assert seen.grad.flatten(1).abs().sum(1).min() > 0
    same = torch.equal(logits.detach(), ask(model, x, draws(IDS)))
    assert same is not bool(case.soft_differs)


@EVERY
def test_it_may_stand_behind_another(case):
    """Whatever becomes of the picture before, and whatever of the answer after."""
    x, _ = digits(N)
    inner = defended(case.name, **case.params)
    for outer in (defended("bit-depth", inner, bits=3), defended("output-policy", inner, temperature=2.0)):
        assert isinstance(outer, Defended) and outer.random is case.random
        assert torch.isfinite(ask(outer, x, draws(IDS))).all()
        assert torch.isfinite(outer.soft(x, draws(IDS))).all()


BAD = [
    ("jpeg", {"quality": 0}, "quality: input should be greater than or equal to 1, not 0"),
    ("jpeg", {"quality": 101}, "quality: input should be less than or equal to 100, not 101"),
    ("jpeg", {"chroma": "4:1:1"}, "chroma: input should be '4:2:0', '4:2:2' or '4:4:4', not '4:1:1'"),
    ("jpeg", {"qualty": 5}, 'unknown parameter "qualty" of defense "jpeg"; did you mean "quality"?'),
    ("bit-depth", {"bits": 9}, "bits: input should be less than or equal to 8, not 9"),
    ("bit-depth", {"bits": 0}, "bits: input should be greater than or equal to 1, not 0"),
    ("median", {"size": 0}, "size: input should be greater than or equal to 1, not 0"),
    ("total-variation", {"weight": -1}, "weight: input should be greater than or equal to 0, not -1"),
    ("total-variation", {"drop": 1.0}, "drop: input should be less than 1, not 1.0"),
    ("total-variation", {"weight": 0.0}, "weight 0 would not fill in what is dropped; give a weight, or drop: 0"),
    ("resize-pad", {"least": 0.0}, "least: input should be greater than 0, not 0.0"),
    ("resize-pad", {"least": 1.5}, "least: input should be less than or equal to 1, not 1.5"),
    ("multi-scale", {"scales": []}, "scales: tuple should have at least 1 item"),
    ("multi-scale", {"scales": [1.0, -2.0]}, "scales are factors above 0 and at most 10, not -2"),
    ("multi-scale", {"alarm_above": 1.0}, "alarm_above: input should be less than 1, not 1.0"),
    ("feature-squeezing", {}, 'defense "feature-squeezing" needs the parameter "threshold"'),
    ("feature-squeezing", {"threshold": 3}, "threshold: input should be less than or equal to 2, not 3"),
    ("feature-squeezing", {"threshold": 1, "bits": None, "median": None}, "nothing to squeeze by: give bits, median or both"),
    ("output-policy", {"temperature": 0}, "temperature: input should be greater than 0, not 0"),
    ("output-policy", {"top": 0}, "top: input should be greater than or equal to 1, not 0"),
    ("output-policy", {"step": 0.6}, "step: input should be less than or equal to 0.5, not 0.6"),
    ("output-policy", {"label_only": True, "top": 3}, "label_only tells no scores that temperature, top or step could change"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "params", "message"), BAD)
def test_bad_parameters_get_one_message(name, params, message):
    with pytest.raises(UsageError) as error:
        parse(find("defense", name), params)
    (said,) = error.value.messages
    assert message in said


def test_jpeg_says_that_a_file_holds_one_or_three_channels():
    bare, _ = in_color(channels=2)
    with pytest.raises(
        UsageError, match=r'^defense "jpeg": victim "colors" takes 2 channels; a JPEG file holds 1 or 3$'
    ):
        defended("jpeg", bare)
