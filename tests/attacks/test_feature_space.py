"""The attack in feature space: its loss, its passes, its independence of batches, and what it knows of noise."""

import inspect
import math
from functools import cache

import pytest
import torch
from cases import batch_of, run, statuses
from layered import Probe, layered, perceptron, small, small_batch, small_digits, small_victim
from models import Tiny, digits, pixels, victim
from torch import nn

from raygrid import registry
from raygrid.batch import numbers_of
from raygrid.component import ACCESS_ORDER, resolve
from raygrid.constraints import Constraint
from raygrid.defenses.catalog_noise import Noise
from raygrid.defenses.noise import Noisy
from raygrid.goals import Goal, make_goal
from raygrid.kernel import craft
from raygrid.oracle import AccessDeniedError, Oracle
from raygrid.outputs import run_model
from raygrid.randomness import Randomness
from raygrid.spec import AttackSpec, Budget

COMPONENT = registry.find("attack", "feature-space")
AWARE = ("none", "input", "hidden", "both")
FEW = {"target_layer": "1", "steps": 4, "draws": 3}


def spec(goal="untargeted", target=None, budget=None, access="gradient", **params) -> AttackSpec:
    return AttackSpec(
        COMPONENT, registry.parse(COMPONENT, params), "", math.inf, goal, target, access, budget=budget or Budget()
    )


def attack(oracle, goal, batch, **params):
    values = dict(registry.parse(COMPONENT, {**FEW, **params}))
    randomness = Randomness(0, "feature-space", batch.ids)
    return resolve(COMPONENT.build)(oracle, goal, batch.x, Constraint("linf", math.inf), randomness, **values)


# The loss


class Kept(Oracle):
    """An oracle that keeps where it was asked for a gradient, and what it said."""

    def __init__(self, *arguments, **more):
        super().__init__(*arguments, **more)
        self.kept = []

    def differentiate(self, loss, x, index, passes):
        query = super().differentiate(loss, x, index, passes)
        self.kept.append((x.clone(), query))
        return query


def gap(scores, y):
    """The true class's score less the best other one, sample by sample."""
    return torch.stack([row[c] - torch.cat([row[:c], row[c + 1 :]]).max() for row, c in zip(scores, y, strict=True)])


@pytest.mark.parametrize("unit", ["mean", "absolute"])
@pytest.mark.parametrize("aware", AWARE)
def test_the_loss_and_its_gradient_are_those_of_the_source(aware, unit):
    batch, model = small_batch(), small()
    oracle = Kept(small_victim(), len(batch.ids))
    weights = {"lc": 0.7, "ls": 1.3, "lh": 2.1, "s": 0.2, "hidden_sigma": 0.5, "hidden_unit": unit}
    attack(oracle, Goal("untargeted", batch.labels), batch, aware=aware, **weights)
    numbers = Randomness(0, "feature-space", batch.ids)
    everyone = torch.arange(len(batch.ids))
    front, rest = model[:2], model[2:]
    for k, (z, query) in enumerate(oracle.kept):
        z = z.requires_grad_()
        h, original = front(z), front(batch.x)
        loss = ((h - original) ** 2).mean((1, 2, 3)) + 0.7 * gap(model(z), batch.labels).relu()
        if aware in ("input", "both"):
            e = numbers.normal(f"input/{k}", everyone, torch.empty(1, 3, 1, 6, 6))
            mean = torch.stack([model(z + 0.2 * e[:, i]).softmax(1) for i in range(3)]).mean(0)
            loss = loss + 1.3 * gap(mean, batch.labels).relu()
        if aware in ("hidden", "both"):
            e = numbers.normal(f"hidden/{k}", everyone, torch.empty(1, 3, *h.shape[1:]))
            size = original.abs().mean((1, 2, 3), keepdim=True) if unit == "mean" else 1
            mean = torch.stack([rest((h + 0.5 * size * e[:, i]).relu()).softmax(1) for i in range(3)]).mean(0)
            loss = loss + 2.1 * gap(mean, batch.labels).relu()
        assert torch.allclose(query.loss, loss.detach(), atol=1e-5)
        assert torch.allclose(query.gradient, torch.autograd.grad(loss.sum(), z)[0], atol=1e-5)
        assert torch.equal(query.success, model(z).argmax(1) != batch.labels)


def test_pixels_move_by_adam_inside_the_box():
    batch = small_batch()
    oracle = Kept(small_victim(), len(batch.ids))
    attack(oracle, Goal("untargeted", batch.labels), batch, init="noise", aware="none", steps=6, lr=0.3)
    z = oracle.kept[0][0].clone().requires_grad_()
    adam = torch.optim.Adam([z], 0.3)
    for seen, query in oracle.kept:
        assert torch.allclose(seen, z, atol=1e-5)
        z.grad = query.gradient
        adam.step()
        z.data.clamp_(0, 1)
    assert (seen == 0).any() and (seen == 1).any()


def test_a_targeted_goal_is_reached_in_the_class_it_names():
    x, y = small_digits()
    batch = batch_of(x[:16], y[:16], 10)
    params = {"target_layer": "4", "aware": "none", "steps": 100, "lr": 0.03, "lc": 3}
    made, verdicts = run(perceptron(0), batch, spec("targeted", 3, **params))
    met = [v.prediction == 3 for v, label in zip(verdicts, batch.labels.tolist(), strict=True) if label != 3]
    assert sum(met) >= 0.7 * len(met)
    assert not made.failures


# What it returns


def test_examples_are_far_at_the_input_near_in_the_layer_and_wrong():
    x, y = small_digits()
    model, batch = perceptron(0), batch_of(x[:40], y[:40], 10)
    made, verdicts = run(model, batch, spec(target_layer="4", aware="none", steps=100, lr=0.03))
    broken = torch.tensor([v.status == "broken" for v in verdicts])
    right = torch.tensor([v.status != "clean_wrong" for v in verdicts])
    assert broken.sum() >= 0.9 * right.sum()

    def relative(a, b):
        return ((a - b).flatten(1).norm(dim=1) / b.flatten(1).norm(dim=1))[broken].mean()

    other = batch.x.roll(1, 0)
    assert relative(made.x_adv, batch.x) > 0.9 * relative(other, batch.x)
    hidden = [model.features(images, "4") for images in (made.x_adv, batch.x, other)]
    assert relative(hidden[0], hidden[1]) < 0.4 * relative(hidden[2], hidden[1])


@pytest.mark.parametrize("init", ["turned", "noise", "x1"])
def test_a_start_is_inside_the_box_and_far_away_unless_it_is_the_image(init):
    x, y = digits(60)
    oracle = Kept(victim("mnist-cnn"), 60)
    attack(oracle, Goal("untargeted", y), batch_of(x, y, 10), target_layer="relu3", init=init, steps=1, aware="none")
    (start, _), *_ = oracle.kept
    assert start.min() >= 0 and start.max() <= 1
    distance, pair = (start - x).flatten(1).norm(dim=1), (x.roll(1, 0) - x).flatten(1).norm(dim=1)
    assert torch.equal(start, x) if init == "x1" else (distance > 0.5 * pair.mean()).all()
    if init == "turned":  # the same pixels at other places
        assert torch.equal(start.flatten(1).sort(1).values, x.flatten(1).sort(1).values)


def test_pictures_that_are_not_square_are_mirrored_only():
    x = pixels(12, 1, 6, 8)
    model = layered(nn.Sequential(nn.Flatten(), nn.Linear(48, 8), nn.ReLU(), nn.Linear(8, 3)), (1, 6, 8), 3)
    batch = batch_of(x, model(x).argmax(1), 3)
    z = attack(Oracle(model, 12), Goal("untargeted", batch.labels), batch, target_layer="2")
    assert z.shape == x.shape


# Batches, order, costs


@pytest.mark.parametrize("aware", AWARE)
def test_an_example_is_the_same_whatever_its_batch_and_order(aware):
    batch, given = small_batch(), spec(aware=aware, **FEW)
    whole = craft(small_victim(), batch, given, 0, access="gradient").x_adv
    for order, micro_batch in ((range(9), 1), ([7, 2, 0, 4, 1, 8, 3, 6, 5], 5), ([4], None)):
        made = craft(small_victim(), batch.take(list(order)), given, 0, access="gradient", micro_batch=micro_batch)
        assert torch.allclose(made.x_adv, whole[list(order)], atol=1e-4)
    again = craft(small_victim(), batch, given, 0, access="gradient").x_adv
    other = craft(small_victim(), batch, given, 1, access="gradient").x_adv
    assert torch.equal(whole, again) and not torch.equal(whole, other)


@pytest.mark.parametrize("micro_batch", [None, 4])
@pytest.mark.parametrize("aware", AWARE)
def test_spends_what_it_says_and_what_the_victim_saw(aware, micro_batch):
    batch, probe = small_batch(), Probe(small_victim())
    oracle = Oracle(probe, 9, micro_batch=micro_batch)
    attack(oracle, Goal("untargeted", batch.labels), batch, aware=aware)
    forwards, backwards = registry.parse(COMPONENT, {**FEW, "aware": aware}).passes()
    assert oracle.forwards.tolist() == [forwards] * 9
    assert oracle.backwards.tolist() == [backwards] * 9
    assert (oracle.forwards.sum(), oracle.backwards.sum()) == (probe.forwards, probe.backwards)


@pytest.mark.parametrize(
    ("budget", "steps"),
    [(Budget(0), 0), (Budget(5), 0), (Budget(6), 1), (Budget(12), 2), (Budget(None, 9), 1), (Budget(None, 4), 0)],
    ids=str,
)
def test_spends_no_more_than_its_budget(budget, steps):
    batch = small_batch()
    made, verdicts = run(small_victim(), batch, spec(aware="input", budget=budget, **FEW))
    assert not made.failures
    assert made.backwards == [5 * steps] * 9
    assert made.forwards == [5 * steps + (steps > 0)] * 9
    if not steps:  # what the victim never saw is no example
        assert torch.equal(made.x_adv, batch.x) and set(statuses(verdicts)) == {"robust"}


def test_leaves_alone_what_is_wrong_already():
    batch = small_batch()
    labels = batch.labels.clone()
    labels[::3] = (labels[::3] + 1) % 3
    made, verdicts = run(small_victim(), batch_of(batch.x, labels, 3), spec(**FEW))
    for i in range(9):
        assert (verdicts[i].status == "clean_wrong") is (i % 3 == 0) is (made.forwards[i] == 0)
    assert torch.equal(made.x_adv[::3], batch.x[::3])


def test_needs_gradient_access():
    batch = small_batch()
    for access in ACCESS_ORDER[:-1]:
        with pytest.raises(AccessDeniedError, match="asked for gradient access"):
            attack(Oracle(small_victim(), 9, access=access), Goal("untargeted", batch.labels), batch)


def test_a_victim_without_layers_is_an_error_and_never_robust():
    _, verdicts = run(Tiny(), small_batch(), spec(**FEW))
    assert {(v.status, "can't be looked into" in v.error) for v in verdicts} == {("error", True)}


def test_only_the_samples_on_which_the_victim_is_not_finite_fail():
    class Faulty(nn.Module):
        def forward(self, x):
            return torch.where((x[:, :, :1, :1] == 1).any(1, keepdim=True), float("nan"), x)

    batch = small_batch()
    batch.x[[2, 5], 0, 0, 0] = 1.0
    model = layered(nn.Sequential(Faulty(), *small()), (1, 6, 6), 3)
    made = craft(model, batch, spec(**{**FEW, "target_layer": "2"}), 0, access="gradient")
    assert set(made.failures) == {2, 5}


# What the attacker knows of


SEEDS = range(3)


@cache
def examples(aware, seed, n=50):
    """The digits that are broken [B, 1, 14, 14], their examples and their labels."""
    x, y = small_digits()
    batch = batch_of(x[900 : 900 + n], y[900 : 900 + n], 10)
    params = {"target_layer": "4", "steps": 100, "lr": 0.03, "lc": 1, "ls": 30, "lh": 30}
    made, verdicts = run(perceptron(seed), batch, spec(aware=aware, **params), seed=seed)
    broken = torch.tensor([v.status == "broken" for v in verdicts])
    assert broken.sum() > 0.8 * n
    return made.x_adv[broken], batch.labels[broken]


def recovered(aware, site, sigma, seed):
    """The share of the examples that are right again under noise, by the vote of 50 draws."""
    x, y = examples(aware, seed)
    noisy = Noisy(Noise(site=site, sigma=sigma, votes=50), perceptron(seed))
    numbers = numbers_of(batch_of(x, y, 10), seed)
    return (run_model(noisy, x, 10, numbers=numbers).logits.argmax(1) == y).float().mean()


def hidden_sigma(seed):
    """The mean activation of the layer."""
    return float(perceptron(seed).features(small_digits()[0][900:], "4").mean())


@pytest.mark.parametrize("seed", SEEDS)
def test_without_the_smoothing_term_noise_at_the_input_recovers_more(seed):
    assert recovered("none", "input", 0.1, seed) > recovered("input", "input", 0.1, seed) + 0.1


@pytest.mark.parametrize("seed", SEEDS)
def test_averaging_over_hidden_noise_lowers_what_hidden_noise_recovers(seed):
    sigma = hidden_sigma(seed)
    assert recovered("input", "4", sigma, seed) > recovered("hidden", "4", sigma, seed) + 0.1


def test_without_noise_nothing_is_recovered():
    assert recovered("input", "4", 0.0, 0) == recovered("input", "input", 0.0, 0) == 0


# The catalog


def test_the_function_takes_what_the_catalog_declares_and_explains():
    signature = inspect.signature(resolve(COMPONENT.build)).parameters.values()
    assert {p.name for p in signature if p.kind is p.KEYWORD_ONLY} == set(COMPONENT.params.model_fields)
    assert all(field.description for field in COMPONENT.params.model_fields.values())
    assert COMPONENT.norms == () and "2023" in COMPONENT.source


def test_it_says_what_it_averages_over_and_where_it_looks():
    said = [registry.parse(COMPONENT, {**FEW, "aware": aware}) for aware in AWARE]
    assert [params.averages_over() for params in said] == ["", "input", "hidden", "input+hidden"]
    assert {params.looks_into() for params in said} == {"1"}


def test_a_random_target_is_never_the_true_class():
    batch = small_batch()
    goal = make_goal("random-target", batch.labels, 3, randomness=Randomness(0, "feature-space", batch.ids))
    oracle = Oracle(small_victim(), 9)
    z = attack(oracle, goal, batch, steps=40, lr=0.1, lc=5, aware="none")
    assert torch.equal(small_victim()(z).argmax(1) == goal.targets, torch.from_numpy(oracle.broken))
    assert oracle.broken.any()
