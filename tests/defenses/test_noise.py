"""Noise at the input and in layers: what is drawn, where, and what it costs."""

import math
from dataclasses import replace

import pytest
import torch
from models import Linear, digits, victim

from raygrid.component import resolve
from raygrid.defenses import noise
from raygrid.defenses.noise import NOISES, Noisy, measure
from raygrid.errors import UsageError
from raygrid.goals import Goal
from raygrid.oracle import Oracle
from raygrid.outputs import run_model
from raygrid.randomness import Randomness
from raygrid.registry import find, parse
from raygrid.victims.info import VictimInfo
from raygrid.victims.victim import Victim

SITES = ["input", "relu1", "hidden", "convolutions", "all"]


def noisy(model=None, **params):
    component = find("defense", "noise")
    return resolve(component.build)(parse(component, params), model or victim("mnist-cnn"))


def numbers_of(n, seed=0):
    return Randomness(seed, "defense", [f"digit-{i}" for i in range(n)])


def look(model, x, numbers=None, index=None, purpose="judge/0"):
    index = torch.arange(len(x)) if index is None else index
    return model(x, (numbers or numbers_of(len(x))).draws(index, [purpose] * len(x)))


@pytest.mark.parametrize("site", SITES)
@pytest.mark.parametrize("votes", [1, 7])
def test_sigma_0_changes_nothing_bit_for_bit(site, votes):
    x, _ = digits(5)
    model = noisy(site=site, sigma=0.0, votes=votes)
    assert not model.random
    assert torch.equal(model(x), victim("mnist-cnn")(x)) and torch.equal(model.soft(x), victim("mnist-cnn")(x))


@pytest.mark.parametrize("kind", NOISES)
@pytest.mark.parametrize("site", SITES)
def test_an_answer_hangs_on_the_sample_and_its_look_alone(site, kind):
    x, _ = digits(6)
    model = noisy(site=site, kind=kind, sigma=0.3, votes=5, vote="mean")
    whole = look(model, x)
    order = torch.tensor([4, 1, 5])
    assert torch.allclose(look(model, x[order], numbers_of(6), order), whole[order], atol=1e-4)
    assert not torch.allclose(look(model, x, purpose="judge/1"), whole, atol=1e-4)
    assert not torch.allclose(look(model, x, numbers_of(6, seed=1)), whole, atol=1e-4)
    assert torch.equal(look(model, x), whole)


@pytest.mark.parametrize("site", SITES)
def test_votes_sum_to_the_draws(site):
    x, _ = digits(4)
    votes = 20
    shares = (
        look(noisy(site=site, sigma=0.8, votes=votes), x).exp() * (votes + 1) - 0.1
    )  # one vote more for all ten classes
    assert torch.allclose(shares, shares.round(), atol=1e-3) and (shares.sum(1) - votes).abs().max() < 1e-2


def test_the_majority_of_votes_decides_and_the_mean_is_of_probabilities():
    x, _ = digits(3)
    majority, mean = (noisy(site="relu2", sigma=1.0, votes=9, vote=vote) for vote in ("majority", "mean"))
    draws = numbers_of(3).draws(torch.arange(3), ["judge/0"] * 3)
    copies = majority._copies(x, draws, 9, lambda model, z, d: model(z))
    counted = torch.nn.functional.one_hot(copies.argmax(2), 10).sum(1)
    assert torch.equal(majority(x, draws).argmax(1), counted.argmax(1))
    assert torch.allclose(mean(x, draws).exp(), copies.softmax(2).mean(1), atol=1e-5)
    assert torch.allclose(mean(x, draws).exp().sum(1), torch.ones(3), atol=1e-5)


DEVIATION = {"gaussian": 1.0, "uniform": 1.0, "laplace": 1.0, "poisson-like": math.sqrt(2), "multiplicative": 2.0}


@pytest.mark.parametrize("kind", NOISES)
def test_noise_has_the_mean_and_the_deviation_that_it_says(kind):
    h, sigma = torch.full((2, 20_000, 3), 2.0), 0.25
    draws = numbers_of(2).draws(torch.arange(2), ["judge/0"] * 2)
    out = NOISES[kind](h, sigma, draws, "0")
    deviation = sigma * DEVIATION.get(kind, 0) or 2 * math.sqrt(sigma / (1 - sigma))  # of dropout
    assert abs(float(out.mean()) - 2) < 0.02
    assert abs(float(out.std()) / deviation - 1) < 0.02
    if kind == "dropout":
        assert abs(float((out == 0).float().mean()) - sigma) < 0.01


def test_values_behind_a_rectifier_stay_above_0_and_others_do_not():
    x, _ = digits(2)
    seen = {}
    model = victim("mnist-cnn")
    for layer, least in (("relu1", 0.0), ("conv2", -math.inf)):
        stages, place = model.layers.stages, model.layers.place(layer)
        after = stages[place]
        keep = type(after)(
            after.name, lambda h, layer=layer, run=after.run: seen.setdefault(layer, h) is h and run(h), False
        )
        stages[place] = keep
        try:
            look(noisy(site=layer, sigma=5.0), x)
        finally:
            stages[place] = after
        low = float(seen[layer].min())
        assert low == 0.0 if least == 0 else low < -1


def test_noise_at_the_input_may_leave_the_range_of_pixels():
    info = VictimInfo("flat", "flat.test", 2, (1, 2, 2), (0.0,), (1.0,), "0")
    seen = []

    class Keeps(torch.nn.Module):
        def forward(self, x):
            seen.append(x)
            return x.flatten(1)[:, :2]

    look(noisy(Victim(Keeps(), info), sigma=1.0), torch.zeros(4, 1, 2, 2))
    assert float(seen[-1].min()) < 0


@pytest.mark.parametrize(("site", "before", "after"), [("relu2", 1, 6), ("relu1", 1, 6), ("input", 6, 6)])
def test_votes_cost_one_pass_of_the_layers_before_and_one_each_of_those_after(site, before, after):
    x, _ = digits(3)
    model = victim("mnist-cnn")
    rows = {"conv1": 0, "logits": 0}

    def count(name):
        return lambda module, inputs, output: rows.__setitem__(name, rows[name] + len(output))

    hooks = [getattr(model.model, name).register_forward_hook(count(name)) for name in rows]
    try:
        look(noisy(site=site, sigma=0.5, votes=6), x)
    finally:
        for hook in hooks:
            hook.remove()
    assert rows == {"conv1": 3 * before, "logits": 3 * after}


@pytest.mark.parametrize("site", SITES)
def test_a_batch_passed_on_in_parts_gets_the_same_answers_from_no_more_values_at_once(site, monkeypatch):
    x, _ = digits(7)
    model, most = noisy(site=site, sigma=0.3, votes=90, vote="mean"), []
    hook = victim("mnist-cnn").model.logits.register_forward_hook(
        lambda module, inputs, output: most.append(len(output))
    )
    answers = {}
    try:
        for values in (1, 1 << 18, 1 << 40):
            monkeypatch.setattr(noise, "PASS_VALUES", values)
            most.clear()
            answers[values] = look(model, x)
            assert sum(most) == 90 * len(x)
    finally:
        hook.remove()
    assert torch.allclose(answers[1], answers[1 << 18], atol=1e-4)
    assert torch.allclose(answers[1 << 40], answers[1 << 18], atol=1e-4)


def test_a_pass_on_a_cpu_stays_small_whatever_the_batch(monkeypatch):
    monkeypatch.setattr(noise, "AT_ONCE", 10 * 784)
    monkeypatch.setattr(noise, "PASS_VALUES", 30 * 784)
    seen = []
    hook = victim("mnist-cnn").register_forward_pre_hook(lambda module, inputs: seen.append(len(inputs[0])))
    try:
        look(noisy(sigma=0.3, votes=25), digits(8)[0])
        look(noisy(sigma=0.3, votes=10), digits(64)[0])
    finally:
        hook.remove()
    assert seen == [30, 30, 20, 30, 30, 20, 30, 10, *[60] * 10, 40]


def test_a_pass_stays_small_of_pictures_that_the_victim_enlarges(monkeypatch):
    monkeypatch.setattr(noise, "AT_ONCE", 10 * 784)
    monkeypatch.setattr(noise, "PASS_VALUES", 120 * 784)
    seen, small = [], victim("mnist-cnn")
    enlarging = Victim(small.model, replace(small.info, native=56))
    enlarging.register_forward_pre_hook(lambda module, inputs: seen.append(len(inputs[0])))
    look(noisy(enlarging, sigma=0.3, votes=10), digits(8)[0])
    assert seen == [30, 30, 20]


@pytest.mark.parametrize("unit", ["mean", "std"])
def test_sigma_may_be_measured_in_the_layers_own_scale(unit):
    x, _ = digits(16)
    model, component = victim("mnist-cnn"), find("defense", "noise")
    relative = parse(component, {"site": "relu2", "sigma": 0.5, "unit": unit})
    fitted = measure(relative, model, x, 5)
    h = model.features(x, "relu2").double()
    assert float(fitted["relu2"]) == pytest.approx(float(h.abs().mean() if unit == "mean" else h.std()), rel=1e-6)
    same = noisy(site="relu2", sigma=0.5 * float(fitted["relu2"]))
    assert torch.allclose(look(Noisy(relative, model, fitted), x), look(same, x), atol=1e-4)
    everywhere = measure(parse(component, {"site": "all", "sigma": 1, "unit": unit}), model, x, None)
    assert list(everywhere) == model.layers.names
    at_input = measure(parse(component, {"sigma": 1, "unit": unit}), model, x, None)
    assert float(at_input["input"]) == pytest.approx(float(x.double().mean() if unit == "mean" else x.double().std()))


def test_a_relative_sigma_without_a_measurement_is_no_absolute_one():
    with pytest.raises(ValueError, match="relative to the std of layers that nobody has measured"):
        noisy(site="relu2", sigma=0.5, unit="std")


def test_the_judge_shows_each_draw_its_own_numbers_and_the_same_to_clean_and_adversarial():
    x, _ = digits(5)
    model = noisy(site="relu1", sigma=0.7)
    whole = run_model(model, x, 10, None, 6, None, numbers_of(5))
    parts = run_model(model, x, 10, 2, 6, None, numbers_of(5))
    assert whole.draws == 6 and torch.allclose(whole.each, parts.each, atol=1e-4)
    assert not torch.allclose(whole.each[0], whole.each[1], atol=1e-3)
    assert torch.equal(run_model(model, x, 10, None, 6, None, numbers_of(5)).each, whole.each)


def test_the_oracle_averages_over_draws_and_repeats_none():
    x, y = digits(4)
    model = noisy(site="relu1", sigma=0.7, votes=3)
    oracle = Oracle(model, 4, eot=8, numbers=numbers_of(4))
    goal, everyone = Goal("untargeted", y), torch.arange(4)
    first = oracle.gradient(goal, x, everyone)
    second = oracle.gradient(goal, x, everyone)
    again = Oracle(model, 4, eot=8, numbers=numbers_of(4)).gradient(goal, x, everyone)
    assert torch.equal(first.gradient, again.gradient) and not torch.allclose(first.gradient, second.gradient)
    assert oracle.forwards.tolist() == [16] * 4 and oracle.backwards.tolist() == [16] * 4
    single = Oracle(model, 4, eot=8, numbers=numbers_of(4)).gradient(goal, x[2:3], torch.tensor([2]))
    assert torch.allclose(single.gradient[0], first.gradient[2], atol=1e-4)


@pytest.mark.parametrize("site", SITES)
def test_its_soft_form_has_a_gradient_and_the_votes_do_not_cost_it_more(site):
    x, y = digits(3)
    model = noisy(site=site, sigma=0.1, votes=50)
    found = Oracle(model, 3, numbers=numbers_of(3)).gradient(Goal("untargeted", y), x, torch.arange(3))
    assert bool(torch.isfinite(found.gradient).all()) and bool((found.gradient.flatten(1).abs().sum(1) > 0).all())


def test_without_numbers_no_two_looks_agree():
    x, _ = digits(2)
    model = noisy(site="relu1", sigma=0.5)
    assert not torch.allclose(model(x), model(x))


@pytest.mark.parametrize(
    ("params", "wrong"),
    [
        ({"sigma": -1}, "sigma: input should be greater than or equal to 0"),
        ({}, 'needs the parameter "sigma"'),
        ({"sigma": 1, "votes": 0}, "votes: input should be greater than or equal to 1"),
        ({"sigma": 1, "kind": "dropout"}, "leaves nothing; sigma must be less than 1"),
        ({"sigma": 0.5, "kind": "dropout", "unit": "std"}, "it has no other unit than absolute"),
        ({"sigma": 1, "site": "relu9"}, 'has no layer "relu9"; did you mean "relu'),
    ],
)
def test_bad_parameters_get_one_clear_message(params, wrong):
    with pytest.raises(UsageError) as told:
        noisy(**params)
    (message,) = told.value.messages
    assert wrong in message


def test_a_linear_victim_with_noise_at_the_input_is_on_average_the_linear_victim():
    info = VictimInfo("linear", "linear.test", 2, (1, 2, 2), (0.0,), (1.0,), "0")
    flat = Linear(torch.tensor([[1.0, -2.0, 0.5, 0.0], [0.0, 1.0, -1.0, 0.3]]), torch.zeros(2))
    model, x = Victim(flat, info), torch.rand(3, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    defended = noisy(model, sigma=0.5)
    outputs = run_model(defended, x, 2, None, 2000, None, numbers_of(3))
    assert torch.allclose(outputs.logits, model(x), atol=0.1)
