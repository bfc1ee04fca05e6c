"""The sign victim: its shipped weights, its figures through views, and the script that trained it."""

import pytest
import torch
from models import victim

from raygrid.channels.catalog import View
from raygrid.registry import find
from raygrid.victims.check import check_victim
from raygrid.victims.loading import weights_file
from raygrid.victims.sign_cnn import sign_cnn
from raygrid.victims.train_signs import ARCH, WIDE, Recipe, Signs, accuracy, signs, train


@pytest.fixture(scope="module")
def held() -> Signs:
    return signs("held-out")


def test_it_reads_the_held_out_signs(held):
    assert torch.bincount(held.y).tolist() == [100] * 12
    assert accuracy(victim("sign-cnn"), held) >= 0.99


@pytest.mark.parametrize(("views", "least"), [(View(), 0.99), (WIDE, 0.98), (View(tilt=45), 0.97)])
def test_it_reads_them_through_views(views, least, held):
    assert accuracy(victim("sign-cnn"), held, views) >= least


def test_views_that_hide_the_sign_are_not_read(held):
    assert accuracy(victim("sign-cnn"), held, View(blur=20)) <= 0.7
    assert accuracy(victim("sign-cnn"), held, View(noise=1)) <= 0.5


def test_no_class_is_read_much_worse_than_the_others(held):
    with torch.no_grad():
        right = victim("sign-cnn")(held.x).argmax(1) == held.y
    assert torch.bincount(held.y[right], minlength=12).min() >= 97


def test_it_keeps_the_contract_of_a_victim(held):
    assert check_victim(victim("sign-cnn"), held.x[:24], held.y[:24], 12) == []


def test_its_weights_are_small_its_own_and_said_to_come_from_synthetic_signs():
    assert weights_file(ARCH).stat().st_size < 400_000
    info, component = victim("sign-cnn").info, find("victim", "sign-cnn")
    assert info.arch == ARCH
    assert info.license == component.license == "Apache-2.0"
    assert "synthetic" in info.source
    assert "synthetic" in component.summary


def test_the_net_has_the_parameters_its_docstring_says():
    assert f"{sum(p.numel() for p in sign_cnn().parameters()):,}" in sign_cnn.__doc__


# Training


def halves(count: int) -> Signs:
    """Two classes that a net learns in a moment, through any view: the upper or the lower half is lit."""
    y = torch.arange(count) % 2
    x = torch.full((count, 3, 32, 32), 0.1)
    x[y == 0, :, :16] = 0.9
    x[y == 1, :, 16:] = 0.9
    return Signs(x, y, [f"half-{k}" for k in range(count)])


def test_training_learns_and_depends_on_no_seed_but_its_own():
    models = []
    for foreign_seed in (1, 2):
        torch.manual_seed(foreign_seed)
        models.append(train(Recipe(epochs=2, batch=10), halves(100)))
    assert accuracy(models[0], halves(100), View()) == 1.0
    assert torch.equal(*(torch.nn.utils.parameters_to_vector(model.parameters()) for model in models))
