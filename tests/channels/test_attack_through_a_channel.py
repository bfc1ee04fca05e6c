"""Attacks and verdicts through a channel: who sees what, from the kernel to the host and the notebook."""

from dataclasses import replace

import pytest
import torch
from models import Tiny, digits, pixels, victim

import raygrid
from raygrid.batch import Batch, channel_of
from raygrid.channels import view as view_module
from raygrid.channels.catalog import VIEW, View
from raygrid.errors import UsageError
from raygrid.kernel import craft, score
from raygrid.outputs import run_model
from raygrid.registry import find, parse
from raygrid.spec import AttackSpec, ChannelSpec

TINY = pixels(6, 1, 6, 6, seed=5)
FEW = {"steps": 5}


def attack(awareness="channel", views=None, eps=0.1, name="pgd", **fields):
    component = find("attack", name)
    channel = ChannelSpec(VIEW, views or View())
    fields = {"channel": channel, "awareness": awareness, **fields}
    return AttackSpec(component, parse(component, FEW), "linf", eps, **fields)


def batch(x=TINY, classes=3, model=None):
    return Batch([f"sample-{i}" for i in range(len(x))], x, (model or Tiny())(x).argmax(1), classes)


@pytest.fixture
def looks(monkeypatch):
    """Every (purpose, sample position) at which the view was asked for."""
    asked = []
    draw = view_module.draw_looks

    def noted(params, randomness, purpose, index, like):
        asked.extend((purpose, randomness.sample_ids[int(i)]) for i in index)
        return draw(params, randomness, purpose, index, like)

    monkeypatch.setattr(view_module, "draw_looks", noted)
    return asked


def judged(model, samples, spec, draws=4, micro_batch=None, seed=0):
    made = craft(model, samples, spec.as_crafted, seed, access="gradient", micro_batch=micro_batch)
    clean = run_model(model, samples.x, samples.classes, micro_batch, draws, channel_of(spec, samples, seed))
    return made, score(model, samples, spec, seed, made.x_adv, made.failures, clean, micro_batch)


def test_views_for_crafting_and_for_judging_never_coincide(looks):
    samples = batch()
    made, verdicts = judged(Tiny(), samples, attack(eot=2))
    crafted = [purpose for purpose, _ in looks if purpose.startswith("craft/")]
    assert len(crafted) == len(set(looks)) - 4 * 6 == 6 * 6 * 2 == sum(made.forwards)
    assert {purpose for purpose, _ in looks if not purpose.startswith("craft/")} == {
        f"judge/{draw}/look" for draw in range(4)
    }
    assert {v.draws for v in verdicts} == {4}


def test_who_does_not_know_the_channel_crafts_as_if_there_were_none(looks):
    made, _ = judged(Tiny(), batch(), attack("none"))
    assert {purpose.split("/")[0] for purpose, _ in looks} == {"judge"}
    to_the_end = attack(access="transfer", channel=None, awareness="none")
    plain = craft(Tiny(), batch(), to_the_end, 0, access="gradient")
    assert torch.equal(made.x_adv, plain.x_adv)
    assert made.forwards == [FEW["steps"] + 1] * 6, "no look without the channel says that an example is done"


def test_views_are_the_samples_own_whatever_the_victim_the_attack_and_the_batch():
    samples = batch()
    everyone = torch.arange(6)
    seen = channel_of(attack(), samples, 0)(samples.x, everyone, "judge/0")
    other = channel_of(attack(name="apgd-ce", awareness="none"), samples, 0)(samples.x, everyone, "judge/0")
    assert torch.equal(seen, other)
    alone = channel_of(attack(), samples.take([4]), 0)(samples.x[[4]], everyone[:1], "judge/0")
    assert torch.equal(alone, seen[[4]])
    assert not torch.equal(channel_of(attack(), samples, 1)(samples.x, everyone, "judge/0"), seen)


@pytest.mark.parametrize("name", ["pgd", "apgd-ce"])
def test_examples_and_verdicts_do_not_depend_on_batch_and_order(name):
    samples, spec = batch(), attack(name=name, eot=2)
    made, verdicts = judged(Tiny(), samples, spec)
    order = [3, 0, 5, 1, 4, 2]
    for micro_batch in (1, 4):
        shuffled, seen = judged(Tiny(), samples.take(order), spec, micro_batch=micro_batch)
        assert torch.allclose(shuffled.x_adv, made.x_adv[order], atol=1e-5)
        assert [v.draws_fooled for v in seen] == [verdicts[i].draws_fooled for i in order]
    alone, _ = judged(Tiny(), samples.take([2]), spec)
    assert torch.allclose(alone.x_adv, made.x_adv[[2]], atol=1e-5)


def test_clean_inputs_are_judged_by_the_same_views():
    """Bright views make digits unreadable: that is the channel's doing, and no attack's."""
    x, y = digits(20)
    samples = Batch([f"digit-{i}" for i in range(20)], x, y, 10)
    blinding = View(rotation=180, tilt=60, scale=1)
    spec = attack("none", views=blinding, eps=0.0)
    _, verdicts = judged(victim("mnist-cnn"), samples, spec, draws=9)
    assert 3 < sum(v.status == "clean_wrong" for v in verdicts) < 20
    for v in verdicts:
        assert v.draws_fooled is not None
        assert (v.status == "clean_wrong") is (v.draws_fooled >= 5) is (not v.clean_correct)


def test_knowing_the_channel_pays():
    x, y = digits(40)
    samples = Batch([f"digit-{i}" for i in range(40)], x, y, 10)
    views = View(scale=0.3, rotation=25, tilt=35, shift=0.1)
    fooled = {}
    for awareness in ("none", "channel"):
        spec = replace(attack(awareness, views, eps=0.15, eot=4), params=parse(find("attack", "pgd"), {"steps": 20}))
        _, verdicts = judged(victim("mnist-cnn"), samples, spec, draws=10)
        fooled[awareness] = sum(v.draws_fooled or 0 for v in verdicts) / 400
    assert fooled["channel"] > fooled["none"] + 0.05


# The notebook


def test_the_notebook_looks_through_a_channel():
    x, y = digits(10)
    attacked = raygrid.attack("mnist-cnn", x, y, "pgd", eps=0.1, steps=3, channel="view")
    assert {v.draws for v in attacked.verdicts} == {20}
    assert attacked.forwards.tolist() == [4] * 10
    few = raygrid.attack(
        "mnist-cnn", x, y, "pgd", eps=0.1, steps=3, eot=2, channel=("view", {"tilt": 0, "noise": 0.1}), draws=3
    )
    assert {v.draws for v in few.verdicts} == {3}
    assert few.forwards.tolist() == [8] * 10
    assert not torch.equal(few.x_adv, attacked.x_adv)
    unaware = raygrid.attack("mnist-cnn", x, y, "fmn", eps=0.1, steps=3, channel="view", awareness="none")
    assert {v.draws for v in unaware.verdicts} == {20}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"channel": "veiw"}, 'unknown channel "veiw"; did you mean "view"?'),
        ({"channel": ("view", {"titl": 3})}, 'unknown parameter "titl" of channel "view"; did you mean "tilt"?'),
        ({"awareness": "channel"}, 'awareness "channel" needs "channel"'),
        ({"channel": "view", "draws": 0}, "draws must be at least 1, not 0"),
        ({"channel": "view", "name": "fmn"}, "through a channel no two looks agree"),
        ({"channel": "view", "name": "autoattack"}, "is a suite"),
    ],
)
def test_the_notebook_tells_what_can_not_be(words, message):
    name = words.pop("name", "pgd")
    with pytest.raises(UsageError) as caught:
        raygrid.attack(Tiny(), TINY, Tiny()(TINY).argmax(1), name, eps=0.1, **words)
    assert message in str(caught.value)
