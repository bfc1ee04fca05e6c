"""One perturbation or patch for all: what is learned on some samples and laid over others."""

import pytest
import torch
from models import Linear, digits, numbers, pixels, victim

import raygrid
from raygrid.batch import Batch
from raygrid.constraints import Constraint
from raygrid.errors import UsageError
from raygrid.goals import Goal
from raygrid.kernel import craft, fit
from raygrid.oracle import Oracle
from raygrid.registry import find, parse
from raygrid.spec import AttackSpec, Budget


def spec(name="universal", norm="linf", eps=0.1, goal="untargeted", target=None, budget=None, **params):
    component = find("attack", name)
    return AttackSpec(
        component,
        parse(component, params),
        norm if component.norms else "",
        eps if component.norms else float("inf"),
        goal,
        target,
        budget=budget or Budget(),
    )


def batch(x, y, classes=10, name="sample"):
    return Batch([f"{name}-{i}" for i in range(len(x))], x, y, classes)


def learned(model, samples, attack, seed=0, micro_batch=None):
    return fit(model, samples, attack, seed, access="gradient", micro_batch=micro_batch)


def laid(model, samples, attack, tensors):
    return craft(model, samples, attack, 0, access="gradient", fitted=tensors)


@pytest.fixture(scope="module")
def apart():
    x, y = digits(160)
    return batch(x[64:], y[64:], name="apart"), batch(x[:64], y[:64])


TWO = Linear(torch.stack([numbers(36), -numbers(36)]), torch.zeros(2))


@pytest.mark.parametrize(("norm", "eps"), [("linf", 0.05), ("l2", 0.3)])
def test_of_a_linear_victim_and_one_target_the_optimum_is_found(norm, eps):
    x = 0.45 + 0.1 * pixels(24, 1, 6, 6)  # so that the box stops nothing
    samples = batch(x, torch.zeros(24, dtype=torch.long), 2)
    # The bias keeps every sample standing, so that all pull to the end.
    model = Linear(TWO.weight.detach(), torch.tensor([50.0, 0.0]))
    delta = learned(model, samples, spec(norm=norm, eps=eps, goal="targeted", target=1)).tensors["delta"]
    direction = (model.weight[1] - model.weight[0]).detach().view(1, 1, 6, 6)
    best = eps * (direction.sign() if norm == "linf" else direction / direction.norm())
    assert torch.allclose(delta, best, atol=1e-3 * eps)


@pytest.mark.parametrize(("norm", "eps"), [("linf", 0.05), ("l2", 0.3)])
def test_of_sound_around_zero_it_is_found_as_well(norm, eps):
    samples = batch(0.1 * numbers(24, 36), torch.zeros(24, dtype=torch.long), 2)
    model = Linear(TWO.weight.detach(), torch.tensor([50.0, 0.0]))
    attack = spec(norm=norm, eps=eps, goal="targeted", target=1)
    delta = learned(model, samples, attack).tensors["delta"]
    direction = (model.weight[1] - model.weight[0]).detach()[None]
    best = eps * (direction.sign() if norm == "linf" else direction / direction.norm())
    assert torch.allclose(delta, best, atol=1e-3 * eps)
    made = laid(model, samples, attack, {"delta": delta})
    assert torch.allclose(made.x_adv, samples.x + delta, atol=1e-6)  # no edge at 0


@pytest.mark.parametrize(("norm", "eps"), [("linf", 0.2), ("l2", 4.0)])
def test_unseen_samples_are_fooled_more_often_than_by_noise_and_within_the_ball(apart, norm, eps):
    fitted_on, others = apart
    model, attack = victim("mnist-cnn"), spec(norm=norm, eps=eps, epochs=8)
    made = laid(model, others, attack, learned(model, fitted_on, attack).tensors)
    assert bool(Constraint(norm, eps).allows(made.x_adv, others.x).all())
    noise = craft(model, others, spec("uniform-noise", norm, eps), 0, access="decision")

    def fooled(x):
        return int((model(x).argmax(1) != others.labels).sum())

    assert fooled(made.x_adv) >= fooled(noise.x_adv) + 5


def test_laying_it_over_a_sample_asks_the_victim_nothing_and_hangs_on_no_other_sample(apart):
    fitted_on, others = apart
    model, attack = victim("mnist-cnn"), spec(eps=0.2, epochs=1)
    tensors = learned(model, fitted_on, attack).tensors
    whole = laid(model, others, attack, tensors)
    alone = laid(model, others.take([5]), attack, tensors)
    assert whole.forwards == [0] * 64 and whole.backwards == [0] * 64
    assert torch.equal(alone.x_adv[0], whole.x_adv[5])


@pytest.mark.parametrize("name", ["universal", "universal-patch"])
def test_what_is_learned_is_determined_by_the_seed_and_costs_what_it_says(apart, name):
    samples = apart[0].take(range(40))
    model, attack = victim("mnist-cnn"), spec(name, epochs=2, batch=16)
    first, again, other = (learned(model, samples, attack, seed) for seed in (0, 0, 1))
    (found,), (same,), (different,) = (fitted.tensors.values() for fitted in (first, again, other))
    assert torch.equal(found, same) and not torch.equal(found, different)
    assert (first.forwards, first.backwards) == attack.params.fit_passes()


def test_a_spent_budget_ends_the_learning_and_is_never_exceeded():
    x, y = digits(12)
    goal, oracle = Goal("untargeted", y), Oracle(victim("mnist-cnn"), 12, budget=Budget(queries=5, gradients=3))
    from raygrid.attacks.universal import fit_universal
    from raygrid.randomness import Randomness

    fit_universal(
        oracle,
        goal,
        x,
        Constraint("linf", 0.1),
        Randomness(0, "universal", [str(i) for i in range(12)]),
        epochs=9,
        batch=5,
        loss="ce",
        step_size=None,
    )
    assert oracle.forwards.max() == 5 and oracle.backwards.max() == 3


def test_samples_on_which_the_victim_fails_are_left_out():
    x, y = digits(8)
    x = x.clone()
    x[3, 0, 0, 0] = 0.123  # the mark

    def model(z):
        return torch.where((z[:, 0, 0, 0] > 0.05)[:, None], torch.nan, victim("mnist-cnn")(z))

    fitted = learned(model, batch(x, y), spec(eps=0.04, epochs=1))
    assert fitted.samples == 7 and bool(torch.isfinite(fitted.tensors["delta"]).all())


# Patches


@pytest.mark.parametrize("place", ["random", (0.5, 0.5), (0.2, 0.8)])
def test_a_patch_is_the_same_everywhere_and_changes_nothing_around_it(apart, place):
    fitted_on, others = apart
    model, attack = victim("mnist-cnn"), spec("universal-patch", epochs=1, area=0.04, place=place)
    patch = learned(model, fitted_on.take(range(32)), attack).tensors["patch"]
    made = laid(model, others, attack, {"patch": patch})
    from raygrid.masks import universal_patch_mask

    mask = universal_patch_mask(attack.params, others.ids, (1, 28, 28))
    assert patch.shape == (1, 6, 6) and bool((mask.flatten(1).sum(1) == 36).all())
    assert torch.equal(made.x_adv * ~mask, others.x * ~mask)
    assert torch.equal(made.x_adv[mask].view(-1, 1, 6, 6), patch.expand(64, 1, 6, 6))
    assert len({tuple(row.nonzero()[0].tolist()) for row in mask[:, 0]}) == (1 if place != "random" else 64) or (
        place == "random" and len({tuple(row.nonzero()[0].tolist()) for row in mask[:, 0]}) > 30
    )


def test_a_patch_learned_fools_more_unseen_samples_than_a_random_one(apart):
    fitted_on, others = apart
    model, attack = victim("mnist-cnn"), spec("universal-patch", area=0.1, epochs=25)
    patch = learned(model, fitted_on, attack).tensors["patch"]

    def fooled(tensor):
        made = laid(model, others, attack, {"patch": tensor})
        return int((model(made.x_adv).argmax(1) != others.labels).sum())

    assert fooled(patch) >= fooled(pixels(*patch.shape)) + 10


@pytest.mark.parametrize(
    ("params", "wrong"),
    [
        ({"area": 1.0}, None),
        ({"area": 0.2, "place": (0.05, 0.5)}, "does not lie on 28x28 pixels"),
    ],
)
def test_a_patch_that_does_not_fit_the_picture_is_refused(params, wrong):
    said = parse(find("attack", "universal-patch"), params).misfit((1, 28, 28))
    assert said is None if wrong is None else wrong in said


# In a notebook


def test_a_notebook_gives_the_other_samples(apart):
    fitted_on, others = apart
    done = raygrid.attack(
        victim("mnist-cnn"),
        others.x,
        others.labels,
        "universal",
        eps=0.3,
        fit=(fitted_on.x, fitted_on.labels),
        epochs=4,
    )
    assert done.robust_accuracy < 0.9 and int(done.forwards.sum()) == 0


def test_a_notebook_without_them_or_with_too_many_is_told():
    x, y = digits(2)
    with pytest.raises(UsageError, match=r"give them as fit=\(x, y\)"):
        raygrid.attack(victim("mnist-cnn"), x, y, "universal", eps=0.1)
    with pytest.raises(UsageError, match="takes no fit"):
        raygrid.attack(victim("mnist-cnn"), x, y, "pgd", eps=0.1, fit=(x, y))
