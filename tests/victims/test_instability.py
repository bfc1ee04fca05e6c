import pytest
import torch
from models import digits, victim

from raygrid.defenses.catalog_noise import Noise
from raygrid.defenses.noise import Noisy
from raygrid.victims.instability import layer_distances

X, _ = digits(6)
Z = (X + 0.1 * torch.rand(X.shape, generator=torch.Generator().manual_seed(0))).clamp(0, 1)


def relative(a, b):
    return ((a - b).flatten(1).norm(dim=1) / b.flatten(1).norm(dim=1)).tolist()


@pytest.mark.parametrize("micro_batch", [None, 1, 4])
def test_distances_are_those_of_the_values_at_every_place(micro_batch):
    model = victim("mnist-cnn")
    found = layer_distances(model, Z, X, micro_batch)
    assert list(found[0]) == ["input", *model.layers.names, "output"]
    for layer in model.layers.names:
        assert [row[layer] for row in found] == pytest.approx(
            relative(model.features(Z, layer), model.features(X, layer)), rel=1e-4
        )
    assert [row["input"] for row in found] == pytest.approx(relative(Z, X), rel=1e-5)
    assert [row["output"] for row in found] == pytest.approx(relative(model(Z), model(X)), rel=1e-4)


def test_what_did_not_change_has_no_distance_and_a_black_original_none_at_all():
    assert set(layer_distances(victim("mnist-cnn"), X[:1], X[:1])[0].values()) == {0.0}
    black = layer_distances(victim("mnist-cnn"), X[:1], 0 * X[:1])[0]
    assert black["input"] is None and black["output"] > 0
    assert layer_distances(victim("mnist-cnn"), X[:0], X[:0]) == []


def test_a_defense_adds_nothing_of_its_own():
    noisy = Noisy(Noise(site="relu2", sigma=1.0), Noisy(Noise(sigma=0.5), victim("mnist-cnn")))
    assert layer_distances(noisy, Z, X) == layer_distances(victim("mnist-cnn"), Z, X)


def test_a_victim_that_cannot_be_cut_has_an_input_and_an_output():
    class Branching(torch.nn.Module):
        def forward(self, x):
            return x.flatten(1)[:, :10] if x.sum() > 0 else x.flatten(1)[:, 10:20]

    model = type(victim("mnist-cnn"))(Branching(), victim("mnist-cnn").info)
    (row,) = layer_distances(model, Z[:1, :, 10:18], X[:1, :, 10:18])
    assert list(row) == ["input", "output"]
