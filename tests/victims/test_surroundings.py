"""What a victim answers around a point: against closed forms, and the same directions whatever else is asked."""

import pytest
import torch
from scipy.stats import beta
from torch import nn

from raygrid.component import resolve
from raygrid.errors import UsageError
from raygrid.metrics.statistics import wilson
from raygrid.randomness import Randomness
from raygrid.registry import find
from raygrid.victims import surroundings
from raygrid.victims.info import VictimInfo
from raygrid.victims.surroundings import class_counts, place_of, sites, unit_directions, values_at
from raygrid.victims.victim import Victim

SHAPE = (1, 3, 4)
VALUES = 12
RANDOMNESS = Randomness(0, "geometry", ["a sample"])


def victim(*modules):
    info = VictimInfo("small", "small", 2, SHAPE, (0.0,), (1.0,), "", license="", source="")
    return Victim(nn.Sequential(*modules), info)


def linear(distance):
    """Two classes on both sides of a plane; the middle of the box lies on the side of class 0, so far from it."""
    model = nn.Linear(VALUES, 2)
    normal = nn.functional.normalize(torch.arange(1.0, VALUES + 1), dim=0)
    with torch.no_grad():
        model.weight.copy_(torch.stack([torch.zeros(VALUES), normal]))
        model.bias.copy_(torch.tensor([0.0, -distance - 0.5 * normal.sum()]))
    return model


class AnyNegative(nn.Module):
    """Class 1 where any value is negative, else 0."""

    def forward(self, h):
        return torch.stack([torch.zeros(len(h)), -h.amin(1)], 1)


class Divided(nn.Module):
    """Finite outputs at values above 0 only."""

    def forward(self, h):
        return torch.stack([h.amin(1).log(), torch.zeros(len(h))], 1)


def middle():
    return torch.full((1, *SHAPE), 0.5)


def cap(distance, radius, dimension):
    """The share of a sphere that lies beyond a plane (S. Li 2011, Asian J. Math. Stat. 4, 66-70)."""
    t = distance / radius
    return 0.0 if t >= 1 else beta.sf(t * t, 0.5, (dimension - 1) / 2) / 2


@pytest.mark.parametrize("site", ["input", "0"])
def test_the_share_behind_a_plane_is_that_of_the_cap(site):
    distance, radii, draws = 0.4, [0.2, 0.5, 1.0, 2.0, 8.0], 4000
    model = victim(nn.Flatten(), linear(distance))
    (found,) = class_counts(model, site, values_at(model, site, middle()), radii, draws, RANDOMNESS)
    for radius, counts in zip(radii, found.tolist(), strict=True):
        low, high = wilson(counts[1], draws, 0.9999)
        assert low <= cap(distance, radius, VALUES) <= high
    assert 0 < found[2, 1] < found[3, 1] < found[4, 1] < draws / 2


def test_at_radius_0_the_class_is_that_of_the_center():
    model = victim(nn.Flatten(), linear(0.4))
    centers = torch.cat([middle(), torch.ones(1, *SHAPE)])
    classes = model(centers).argmax(1).tolist()
    counts = class_counts(model, "input", centers, [0.0], 30, RANDOMNESS)
    assert classes == [0, 1]
    assert counts[:, 0].tolist() == [[30, 0, 0], [0, 30, 0]]


def test_counts_sum_to_the_directions():
    model = victim(nn.Flatten(), linear(0.1))
    counts = class_counts(model, "input", torch.rand(2, *SHAPE), [0.0, 0.3, 3.0], 37, RANDOMNESS)
    assert counts.sum(2).tolist() == [[37] * 3] * 2


@pytest.mark.parametrize(("modules", "negative"), [((nn.Flatten(), nn.ReLU()), False), ((nn.Flatten(),), True)])
def test_values_behind_a_rectified_layer_are_never_negative(modules, negative):
    model = victim(*modules, AnyNegative())
    layer = model.layers.names[-1]
    (counts,) = class_counts(model, layer, values_at(model, layer, middle()), [9.0], 50, RANDOMNESS)
    assert (counts[0, 1].item() == 50) == negative
    assert (counts[0, 0].item() == 50) != negative


def test_outputs_that_are_not_finite_are_counted_apart():
    model = victim(nn.Flatten(), Divided())
    (counts,) = class_counts(model, "input", middle(), [0.0, 9.0], 20, RANDOMNESS)
    assert counts.tolist() == [[0, 20, 0], [0, 0, 20]]


@pytest.mark.parametrize("at_once", [None, 1, 7])
@pytest.mark.parametrize("held", [1, 300, 1 << 24])
def test_directions_are_the_same_in_any_number_of_passes(monkeypatch, at_once, held):
    model = victim(nn.Flatten(), linear(0.2))
    whole = class_counts(model, "input", middle(), [0.5, 1.0], 40, RANDOMNESS)
    monkeypatch.setattr(surroundings, "VALUES_AT_ONCE", held)
    assert torch.equal(class_counts(model, "input", middle(), [0.5, 1.0], 40, RANDOMNESS, at_once=at_once), whole)


def test_directions_are_the_same_for_every_center_and_radius_and_whatever_else_is_asked():
    model = victim(nn.Flatten(), linear(0.2))
    other = torch.rand(1, *SHAPE)
    one = class_counts(model, "input", middle(), [1.0], 40, RANDOMNESS)
    both = class_counts(model, "input", torch.cat([other, middle(), middle()]), [0.5, 1.0], 40, RANDOMNESS)
    assert torch.equal(both[1], both[2])
    assert torch.equal(both[1, 1], one[0, 0])
    among_others = Randomness(0, "geometry", ["another", "a sample"])
    u = unit_directions("input", [0, 1, 2], other, RANDOMNESS)
    assert torch.equal(unit_directions("input", [2], other, RANDOMNESS), u[2:])
    assert not torch.equal(unit_directions("input", [2], other, among_others), u[2:])
    assert not torch.equal(unit_directions("0", [2], other, RANDOMNESS), u[2:])
    assert torch.allclose(u.flatten(1).norm(dim=1), torch.ones(3))


def test_where_nobody_says_the_input_and_rectified_layers_are_looked_at_but_no_layer_twice():
    component = find("victim", "mnist-cnn")
    model = resolve(component.build)(component.params(), resolve(component.identify)(None, "mnist-cnn"))
    x = torch.rand(2, 1, 28, 28)
    assert model.layers.rectified("flatten")  # which only gives the values of relu2 another shape
    assert sites(model, x) == ["input", "relu1", "relu2", "relu3"]
    assert sites(model, x, "relu3") == ["input", "relu3"]
    assert sites(model, x, "another victim's") == sites(model, x)
    assert [place_of(model, site) for site in ("input", "relu3")] == [0, 1 + model.layers.names.index("relu3")]


def test_a_layer_that_is_not_there_and_no_directions_are_refused():
    model = victim(nn.Flatten(), nn.ReLU(), linear(0.2))
    with pytest.raises(UsageError, match='"small" has no layer "relu"'):
        class_counts(model, "relu", middle(), [1.0], 5, RANDOMNESS)
    with pytest.raises(ValueError, match="draws: 1 or more, not 0"):
        class_counts(model, "input", middle(), [1.0], 0, RANDOMNESS)
