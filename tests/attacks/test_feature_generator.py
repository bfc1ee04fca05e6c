"""The generator of feature-space examples: its networks, its training, what it makes of images that it never saw."""

import math
from functools import cache

import pytest
import torch
from cases import batch_of, run, statuses
from generator_cases import AWARE, BOX, COMPONENT, FEW, examples, fitted, source, spec
from layered import Probe, layered, perceptron, small, small_batch, small_digits, small_victim
from models import pixels
from safetensors.torch import load, save
from torch import nn

from raygrid.attacks.catalog_feature_space import FeatureGenerator
from raygrid.attacks.feature_generator import LOG, fit_feature_generator, learn
from raygrid.attacks.generator_nets import Discriminator, Generator, drawn, halvings
from raygrid.goals import Goal
from raygrid.kernel import craft, fit, score
from raygrid.oracle import AccessDeniedError, Oracle
from raygrid.outputs import run_model
from raygrid.randomness import Randomness
from raygrid.sample_errors import SampleError
from raygrid.spec import Budget

# The networks


@pytest.mark.parametrize(
    ("shape", "deep"),
    [
        ((1, 28, 28), 3),
        ((3, 32, 32), 3),
        ((3, 96, 96), 5),
        ((3, 224, 224), 5),
        ((1, 7, 9), 1),
        ((3, 50, 133), 4),
        ((2, 2, 5), 1),
        ((1, 14, 14), 2),
    ],
    ids=str,
)
def test_pictures_of_any_size_come_back_at_their_size_and_inside_the_box(shape, deep):
    x = 2 * pixels(2, *shape) - 1
    made = drawn(Generator, shape, 2, source())(x)
    assert made.shape == x.shape and made.abs().max() <= 1
    assert drawn(Discriminator, shape, 2, source())(x).shape == (2,)
    assert (halvings(shape, 5), halvings(shape, 4)) == (deep, min(deep, 4))


def test_at_96_pixels_the_channels_are_those_of_the_source():
    def channels(net, kinds):
        return [
            m.weight.shape[1 if isinstance(m, nn.ConvTranspose2d) else 0] for m in net.modules() if isinstance(m, kinds)
        ]

    generator = drawn(Generator, (3, 96, 96), 64, source())
    assert channels(generator, nn.Conv2d) == [64, 128, 256, 512, 512, 512, 3]
    assert channels(generator, nn.ConvTranspose2d) == [512, 256, 128, 64, 64]
    assert [m.num_features for m in generator.down.modules() if isinstance(m, nn.BatchNorm2d)] == [128, 256, 512]
    assert [m.num_features for m in generator.norm] == [512, 256, 128, 64, 64]
    discriminator = drawn(Discriminator, (3, 96, 96), 64, source())
    assert channels(discriminator, nn.Conv2d) == [64, 128, 256, 512]
    assert discriminator.last.weight.shape == (1, 512 * 6 * 6)


@pytest.mark.parametrize("kind", [Generator, Discriminator])
def test_no_weight_stretches_anything(kind):
    net = drawn(kind, (3, 24, 24), 8, source())
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            weight = module.weight.transpose(0, 1) if isinstance(module, nn.ConvTranspose2d) else module.weight
            largest = torch.linalg.matrix_norm(weight.flatten(1), 2)
            assert 1 - 1e-4 <= largest < 1.06  # the iteration comes from below


def test_networks_are_drawn_from_their_source_alone():
    before = torch.get_rng_state()
    first, again, other = (drawn(Generator, (1, 12, 12), 4, source(seed)).state_dict() for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(
        first["middle.parametrizations.weight.original"], other["middle.parametrizations.weight.original"]
    )
    weights = drawn(Generator, (3, 96, 96), 32, source()).state_dict()
    drawn_weights = torch.cat([w.flatten() for name, w in weights.items() if name.endswith("original")])
    assert abs(float(drawn_weights.std()) - 0.02) < 1e-4 and abs(float(drawn_weights.mean())) < 1e-4
    assert all(not tensor.any() for name, tensor in weights.items() if name.endswith("bias"))


# The training, against the whole loss in one graph


def gap(scores, y):
    """The true class's score less the best other one, sample by sample."""
    return torch.stack([row[c] - torch.cat([row[:c], row[c + 1 :]]).max() for row, c in zip(scores, y, strict=True)])


def trained_plainly(batch, aware, p, epochs):
    """Train as the source does, without an oracle. Returns the generator, the last pictures and the log."""
    model, front, rest = small(), small()[:2], small()[2:]
    model.requires_grad_(False), front.requires_grad_(False), rest.requires_grad_(False)
    numbers = Randomness(0, COMPONENT.name, batch.ids)
    g, d = (
        drawn(net, (1, 6, 6), p.width, numbers.generator(f"weights/{net.__name__}", ""))
        for net in (Generator, Discriminator)
    )
    adam_g, adam_d = (
        torch.optim.Adam(g.parameters(), p.lr, (0.5, 0.999)),
        torch.optim.Adam(d.parameters(), p.lr_d, (0.0, 0.9)),
    )
    drawn_order = numbers.uniform("order/0", torch.arange(len(batch.ids)), torch.empty(len(batch.ids), 1)).flatten()
    made, log = torch.empty_like(batch.x), []
    for epoch in range(epochs):
        rows = []
        for on in drawn_order.argsort().tensor_split(math.ceil(len(batch.ids) / p.batch)):
            x1, y = 2 * batch.x[on] - 1, batch.labels[on]
            x2 = g(x1)
            z = (x2 + 1) / 2
            h, original = front(z), front(batch.x[on])
            terms = [((h - original) ** 2).mean(), gap(model(z), y).relu().mean(), torch.zeros(()), torch.zeros(())]
            if aware in ("input", "both"):
                e = numbers.normal(f"input/{epoch}", on, torch.empty(1, p.draws, 1, 6, 6))
                mean = torch.stack([model(z + p.s * e[:, i]).softmax(1) for i in range(p.draws)]).mean(0)
                terms[2] = gap(mean, y).relu().mean()
            if aware in ("hidden", "both"):
                e = numbers.normal(f"hidden/{epoch}", on, torch.empty(1, p.draws, *h.shape[1:]))
                size = original.abs().mean((1, 2, 3), keepdim=True)
                mean = torch.stack([rest((h + size * e[:, i]).relu()).softmax(1) for i in range(p.draws)]).mean(0)
                terms[3] = gap(mean, y).relu().mean()
            adversarial = -d(x2).mean()
            loss_g = terms[0] + p.lc * terms[1] + p.ls * terms[2] + p.lh * terms[3] + p.ladv * adversarial
            adam_g.zero_grad(), loss_g.backward(), adam_g.step()
            loss_d = (1 - d(x1)).relu().mean() + (1 + d(x2.detach())).relu().mean()
            adam_d.zero_grad(), loss_d.backward(), adam_d.step()
            made[on] = z.detach()
            success = (model(z).argmax(1) != y).float().mean()
            rows += [torch.stack([*terms, success, adversarial, loss_d]).detach()] * len(on)
        log.append(torch.stack(rows).mean(0))
    return g, made, torch.stack(log)


@pytest.mark.parametrize("aware", AWARE)
def test_the_training_is_that_of_the_source_in_one_graph(aware):
    batch = small_batch()
    p = FeatureGenerator(**FEW, aware=aware, lc=0.7, ls=1.3, lh=2.1, ladv=0.3, s=0.2)
    g, made, log = trained_plainly(batch, aware, p, 2)
    oracle = Oracle(small_victim(), 9)
    numbers = Randomness(0, COMPONENT.name, batch.ids)
    learned = learn(oracle, Goal("untargeted", batch.labels), batch.x, BOX, numbers, p, shuffle=False)
    assert torch.allclose(learned.made, made, atol=1e-5)
    assert torch.allclose(learned.losses, log, atol=1e-5) and log.shape == (2, len(LOG))
    wanted, found = g.state_dict(), learned.generator.state_dict()
    assert wanted.keys() == found.keys()
    assert all(torch.allclose(found[name], wanted[name], atol=1e-4) for name in wanted)
    assert torch.equal(learned.success, small_victim()(made).argmax(1) != batch.labels)


def test_the_log_tells_losses_that_were_worked_out_by_hand():
    """A victim whose layer "1" is twice the first two of four pixels, and whose logits are that."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2, bias=False), nn.Linear(2, 2, bias=False))
    model[1].weight.data, model[2].weight.data = 2 * torch.eye(2, 4), torch.eye(2)
    x = torch.tensor([[1.0, 0.25, 0, 0], [0.75, 0.25, 0, 0]]).view(2, 1, 2, 2)
    y = torch.zeros(2, dtype=torch.long)
    p = FeatureGenerator(target_layer="1", aware="none", epochs=1, width=2)
    oracle = Oracle(layered(model, (1, 2, 2), 2), 2)
    learned = learn(oracle, Goal("untargeted", y), x, BOX, Randomness(0, "hand", ["a", "b"]), p, shuffle=False)
    # What was made, z = (z0, z1, ...): logits 2 z0 and 2 z1, so that L_hidden = mean over both of (2 z - 2 x)².
    z = learned.made.flatten(1)
    hidden = [((2 * z[i, 0] - 2 * x.flatten(1)[i, 0]) ** 2 + (2 * z[i, 1] - 0.5) ** 2) / 2 for i in range(2)]
    wrong = [max(2 * float(z[i, 0] - z[i, 1]), 0) for i in range(2)]
    assert float(learned.losses[0, 0]) == pytest.approx(float(sum(hidden)) / 2, abs=1e-6)
    assert float(learned.losses[0, 1]) == pytest.approx(sum(wrong) / 2, abs=1e-6)
    assert float(learned.losses[0, 4]) == sum(float(z[i, 0]) < float(z[i, 1]) for i in range(2)) / 2


def test_a_training_that_diverges_is_an_error_of_every_sample_and_no_example(monkeypatch):
    monkeypatch.setattr(Generator, "forward", lambda self, x: x * self.last.bias * torch.nan)
    batch = small_batch()
    with pytest.raises(SampleError, match="diverged: choose a smaller lr"):
        fitted(batch)
    made = examples(batch, None, spec(learns_from="attacked"))
    assert made.failures == dict.fromkeys(range(9), "training the generator diverged: choose a smaller lr")


# What it hangs on


@pytest.mark.parametrize("aware", AWARE)
def test_what_is_learned_hangs_on_seed_and_samples_and_not_on_their_order_or_on_the_size_of_a_pass(aware):
    batch, attack = small_batch(), spec(aware=aware)
    first = fitted(batch, attack).tensors
    again, other = fitted(batch, attack).tensors, fitted(batch, attack, seed=1).tensors
    turned = fitted(batch.take([7, 2, 0, 4, 1, 8, 3, 6, 5]), attack).tensors
    split = fitted(batch, attack, micro_batch=1).tensors
    fewer = fitted(batch.take(range(8)), attack).tensors
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert all(torch.allclose(first[name], turned[name], atol=1e-6) for name in first)
    assert all(torch.allclose(first[name], split[name], atol=1e-4) for name in first)
    for different in (other, fewer):
        assert not torch.allclose(first["generator.last.bias"], different["generator.last.bias"], atol=1e-5)


def test_an_example_of_a_frozen_generator_is_the_same_whatever_stands_beside_it_and_costs_nothing():
    apart, batch = small_batch().take(range(4)), small_batch().take(range(4, 9))
    tensors = fitted(apart).tensors
    whole = examples(batch, tensors)
    assert whole.forwards == whole.backwards == [0] * 5 and not whole.failures
    for order in ([4, 2, 0, 3, 1], [3]):
        made = examples(batch.take(order), tensors, micro_batch=2)
        assert torch.allclose(made.x_adv, whole.x_adv[order], atol=1e-6)
    assert whole.x_adv.min() >= 0 and whole.x_adv.max() <= 1
    assert (whole.x_adv - batch.x).flatten(1).norm(dim=1).min() > 0.5


def test_a_generator_read_back_from_its_file_makes_the_same_examples():
    batch = small_batch()
    tensors = fitted(batch).tensors
    read = load(save({name: tensor.contiguous() for name, tensor in tensors.items()}))
    assert torch.equal(examples(batch, read).x_adv, examples(batch, tensors).x_adv)


def test_learning_on_what_is_attacked_gives_the_pictures_of_the_last_epoch():
    batch, attack = small_batch(), spec(learns_from="attacked", aware="input")
    made = craft(small_victim(), batch, attack, 0, access="gradient")
    _, wanted, _ = trained_plainly(batch, "input", attack.params, 2)
    assert torch.allclose(made.x_adv, wanted, atol=1e-5)
    assert made.claimed == (small_victim()(wanted).argmax(1) != batch.labels).tolist()
    # Unlike a frozen one's, they hang on what is attacked together.
    alone = craft(small_victim(), batch.take([3]), attack, 0, access="gradient")
    assert not torch.allclose(alone.x_adv[0], made.x_adv[3], atol=1e-3)


# Costs


@pytest.mark.parametrize("micro_batch", [None, 4])
@pytest.mark.parametrize("aware", AWARE)
def test_spends_what_it_says_and_what_the_victim_saw(aware, micro_batch):
    batch, probe, attack = small_batch(), Probe(small_victim()), spec(aware=aware)
    found = fit(probe, batch, attack, 0, access="gradient", micro_batch=micro_batch)
    assert (found.samples, found.forwards, found.backwards) == (9, *attack.params.fit_passes())
    assert (probe.forwards, probe.backwards) == (9 * found.forwards, 9 * found.backwards)
    assert attack.params.passes() == (0, 0)
    there = spec(aware=aware, learns_from="attacked")
    made = craft(small_victim(), batch, there, 0, access="gradient", micro_batch=micro_batch)
    assert (set(made.forwards), set(made.backwards)) == tuple({passes} for passes in there.params.passes())


@pytest.mark.parametrize(
    ("budget", "epochs"),
    [(Budget(0), 0), (Budget(5), 0), (Budget(6), 1), (Budget(9), 1), (Budget(10), 2), (Budget(None, 7), 1)],
    ids=str,
)
def test_spends_no_more_than_its_budget_and_without_one_leaves_images_as_they_are(budget, epochs):
    batch = small_batch()
    for attack in (spec(budget=budget), spec(budget=budget, learns_from="attacked")):
        tensors = fitted(batch, attack).tensors if attack.params.needs_fit() else None
        made = examples(batch, tensors, attack)
        if tensors is not None:
            assert tensors["losses"].shape == (epochs, len(LOG))
            found = fitted(batch, attack)
            assert (found.forwards, found.backwards) == (4 * epochs + 2 * (epochs > 0), 4 * epochs)
        else:
            assert made.forwards == [4 * epochs + 2 * (epochs > 0)] * 9 and made.backwards == [4 * epochs] * 9
        assert torch.equal(made.x_adv, batch.x) is (epochs == 0)


def test_does_not_learn_from_what_is_wrong_already_and_leaves_it_as_it_is():
    batch = small_batch()
    labels = batch.labels.clone()
    labels[::3] = (labels[::3] + 1) % 3
    mixed = batch_of(batch.x, labels, 3)
    made, verdicts = run(small_victim(), mixed, spec(learns_from="attacked"))
    for i, verdict in enumerate(verdicts):
        assert (verdict.status == "clean_wrong") is (i % 3 == 0) is (made.forwards[i] == 0)
    assert torch.equal(made.x_adv[::3], batch.x[::3])
    right = [i for i in range(9) if i % 3]
    wanted, found = fitted(batch.take(right)).tensors, fitted(mixed).tensors
    assert all(torch.allclose(wanted[name], found[name], atol=1e-6) for name in wanted)


def test_samples_set_apart_of_which_all_are_wrong_already_teach_nothing_and_are_refused():
    batch = small_batch()
    with pytest.raises(ValueError, match="all 9 samples set apart meet the goal already"):
        fitted(batch_of(batch.x, (batch.labels + 1) % 3, 3))


def test_only_the_samples_on_which_the_victim_is_not_finite_are_left_out():
    class Faulty(nn.Module):
        def forward(self, x):
            return torch.where((x[:, :, :1, :1] == 1).any(1, keepdim=True), float("nan"), x)

    batch = small_batch()
    wanted = fitted(batch.take([0, 1, 3, 4, 6, 7, 8]), spec(target_layer="2"))
    batch.x[[2, 5], 0, 0, 0] = 1.0
    model = layered(nn.Sequential(Faulty(), *small()), (1, 6, 6), 3)
    found = fitted(batch, spec(target_layer="3"), model=model)
    assert found.samples == 7
    assert all(torch.allclose(found.tensors[name], wanted.tensors[name], atol=1e-5) for name in wanted.tensors)


def test_needs_gradient_access():
    batch = small_batch()
    oracle = Oracle(small_victim(), 9, access="score")
    with pytest.raises(AccessDeniedError, match="asked for gradient access"):
        fit_feature_generator(
            oracle, Goal("untargeted", batch.labels), batch.x, BOX, Randomness(0, "a", batch.ids), **FEW
        )


# What it makes


@cache
def on_digits(aware="none", **more):
    """A generator learned on 300 small digits of a perceptron, and what it makes of 100 others, with the verdicts."""
    x, y = small_digits()
    apart = batch_of(x[:300], y[:300], 10, [f"apart-{i}" for i in range(300)])
    batch = batch_of(x[900:], y[900:], 10)
    attack = spec(target_layer="4", aware=aware, **{**ON_DIGITS, **more})
    tensors = fit(perceptron(0), apart, attack, 0, access="gradient").tensors
    made = craft(perceptron(0), batch, attack, 0, access="gradient", fitted=tensors)
    clean = run_model(perceptron(0), batch.x, 10)
    return batch, tensors, made, score(perceptron(0), batch, attack, 0, made.x_adv, made.failures, clean)


ON_DIGITS = {"epochs": 20, "width": 12, "batch": 32, "lr": 2e-3, "lr_d": 1e-3, "lc": 1.5, "ladv": 0.05}


def test_images_that_it_never_saw_come_out_wrong_far_at_the_input_and_near_in_the_layer():
    batch, tensors, made, verdicts = on_digits()
    assert set(statuses(verdicts)) <= {"broken", "robust", "clean_wrong"}
    broken = torch.tensor([v.status == "broken" for v in verdicts])
    right = torch.tensor([v.status != "clean_wrong" for v in verdicts])
    assert broken.sum() >= 0.5 * right.sum()

    def relative(a, b):
        return ((a - b).flatten(1).norm(dim=1) / b.flatten(1).norm(dim=1))[broken].mean()

    other = batch.x.roll(1, 0)
    assert relative(made.x_adv, batch.x) > 0.5 * relative(other, batch.x)
    hidden = [perceptron(0).features(images, "4") for images in (made.x_adv, batch.x, other)]
    assert relative(hidden[0], hidden[1]) < 0.6 * relative(hidden[2], hidden[1])
    losses = tensors["losses"]
    assert losses[-1, 0] < 0.5 * losses[0, 0]  # L_hidden has come down


def test_a_targeted_goal_is_learned():
    x, y = small_digits()
    apart, batch = batch_of(x[:300], y[:300], 10, [f"apart-{i}" for i in range(300)]), batch_of(x[900:], y[900:], 10)
    attack = spec("targeted", 3, target_layer="4", aware="none", **{**ON_DIGITS, "epochs": 12, "lc": 3})
    tensors = fit(perceptron(0), apart, attack, 0, access="gradient").tensors
    made = craft(perceptron(0), batch, attack, 0, access="gradient", fitted=tensors)
    met = (perceptron(0)(made.x_adv).argmax(1) == 3)[batch.labels != 3].float().mean()
    assert met > 0.5


# Golden outputs


def golden():
    """What both forms make of six inputs by a formula, in numbers that tell them apart."""
    x = (
        (0.5 + 0.6 * torch.sin(torch.arange(216, dtype=torch.float64).square() / 7))
        .clamp(0, 1)
        .float()
        .view(6, 1, 6, 6)
    )
    batch = batch_of(x, small_victim()(x).argmax(1), 3)
    waves = torch.cos(torch.arange(36.0))
    frozen = examples(batch, fitted(batch, spec(aware="both")).tensors)
    there = examples(batch, None, spec(aware="both", learns_from="attacked"))
    return [[round(v, 4) for v in (made.x_adv.flatten(1) @ waves).tolist()] for made in (frozen, there)]


GOLDEN = [
    [0.0761, -0.666, -0.0305, -0.0666, -0.0998, -0.4659],
    [0.4063, -2.2951, 1.1369, 0.5552, 0.8053, -1.3284],
]


def test_outputs_move_only_with_a_new_version():
    assert COMPONENT.version == 1, "write down what golden() gives now"
    for found, wanted in zip(golden(), GOLDEN, strict=True):
        assert found == pytest.approx(wanted, abs=1e-3)
