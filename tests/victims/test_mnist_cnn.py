"""The two MNIST victims: their shipped weights, their figures, and the script that trained them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Generator

import raygrid.victims
from raygrid.component import resolve
from raygrid.mnist_split import held_out
from raygrid.registry import find
from raygrid.victims.mnist_cnn import mnist_cnn
from raygrid.victims.train_mnist import RECIPES, Digits, Recipe, accuracy, digits, pgd_example, shifted, train
from raygrid.victims.victim import Victim

WEIGHTS = Path(raygrid.victims.__file__).parent / "weights"


@pytest.fixture(scope="module")
def victims() -> dict[str, Victim]:
    return {name: victim(name) for name in ("mnist-cnn", "mnist-cnn-adv")}


def victim(name: str) -> Victim:
    component = find("victim", name)
    info = resolve(component.identify)(component.params(), "mine")
    return resolve(component.build)(component.params(), info)


@pytest.fixture(scope="module")
def held() -> Digits:
    return digits()[1]


@pytest.mark.parametrize(
    ("name", "least"),
    [("mnist-cnn", 0.975), ("mnist-cnn-adv", 0.95)],
)
def test_the_clean_accuracy_on_held_out_digits(name, least, victims, held):
    assert len(held.y) == 1000
    assert accuracy(victims[name], held) >= least


def test_adversarial_training_bought_robustness(victims, held):
    few = Digits(held.x[::5], held.y[::5])
    assert accuracy(victims["mnist-cnn"], few, eps=0.2) <= 0.02
    assert accuracy(victims["mnist-cnn-adv"], few, eps=0.2) >= 0.85
    assert accuracy(victims["mnist-cnn-adv"], few, eps=0.3) >= 0.7


def test_the_robust_net_breaks_when_the_ball_is_large_enough(victims, held):
    """A net that seems robust at any radius masks its gradients."""
    few = Digits(held.x[::10], held.y[::10])
    assert accuracy(victims["mnist-cnn-adv"], few, eps=0.6) <= 0.05


def test_each_net_stays_under_half_a_megabyte():
    shipped = list(WEIGHTS.glob("mnist-cnn.*"))
    assert {path.stem for path in shipped} == {recipe.arch for recipe in RECIPES}
    assert all(path.stat().st_size < 500_000 for path in shipped)


def test_the_net_has_the_parameters_its_docstring_says():
    assert f"{sum(p.numel() for p in mnist_cnn().parameters()):,}" in mnist_cnn.__doc__


# The split


def test_the_last_hundred_of_each_class_are_held_out():
    labels = np.tile(np.arange(10), 500)
    mask = held_out(labels)
    assert mask.sum() == 1000
    assert mask[-1000:].all()


def test_the_split_of_the_digits_is_even_and_disjoint():
    training, held = digits()
    assert torch.bincount(training.y).tolist() == [400] * 10
    assert torch.bincount(held.y).tolist() == [100] * 10
    rows = {row.numpy().tobytes() for row in training.x}
    assert not any(row.numpy().tobytes() in rows for row in held.x)


# Training


def blobs(count: int) -> Digits:
    """Two classes that a net learns in a moment: the upper or the lower half is lit."""
    y = torch.arange(count) % 2
    x = torch.zeros(count, 1, 28, 28)
    x[y == 0, :, :14] = 1
    x[y == 1, :, 14:] = 1
    return Digits(x, y)


@pytest.mark.parametrize("eps", [0.0, 0.1])
def test_training_learns_and_depends_on_no_seed_but_its_own(eps):
    recipe = Recipe("tiny", epochs=2, eps=eps, attack_steps=1, batch=10)
    models = []
    for foreign_seed in (1, 2):
        torch.manual_seed(foreign_seed)
        models.append(train(recipe, blobs(100)))
    assert accuracy(models[0], blobs(100)) == 1.0
    weights = [torch.nn.utils.parameters_to_vector(model.parameters()) for model in models]
    assert torch.equal(*weights)


def test_the_radius_grows_to_its_full_size_and_stays():
    radii = [Recipe("any", epochs=4, eps=0.3).eps_at(epoch) for epoch in range(4)]
    assert radii == pytest.approx([0.15, 0.3, 0.3, 0.3])


def test_digits_are_shifted_by_at_most_the_given_pixels_and_in_every_direction():
    x = torch.zeros(300, 1, 28, 28)
    x[:, 0, 14, 14] = 1
    moved = shifted(x, 2, Generator().manual_seed(0)).nonzero()
    assert len(moved) == 300
    assert {(int(row) - 14, int(column) - 14) for _, _, row, column in moved} == {
        (row, column) for row in range(-2, 3) for column in range(-2, 3)
    }


def test_pgd_examples_stay_in_the_ball_and_the_box_and_raise_the_loss():
    data, model = blobs(20), mnist_cnn()
    x_adv = pgd_example(model, data.x, data.y, 0.2, 10, 0.05, Generator().manual_seed(0))
    loss = torch.nn.functional.cross_entropy
    assert (x_adv - data.x).abs().max() <= 0.2 + 1e-6
    assert torch.equal(x_adv, x_adv.clamp(0, 1))
    assert loss(model(x_adv), data.y) > loss(model(data.x), data.y)
