"""What the generator of feature-space examples says of itself: presets, parameters, what it needs."""

import math

import pytest
import torch
from cases import batch_of
from generator_cases import AWARE, COMPONENT, FEW
from layered import layered, small_batch, small_victim
from models import pixels
from torchvision.models import get_model

import raygrid
from raygrid import registry
from raygrid.attacks.catalog_feature_space import FeatureGenerator
from raygrid.errors import UsageError
from raygrid.kernel import craft
from raygrid.spec import AttackSpec
from raygrid.victims.layers import Layers, shapes
from raygrid.victims.resized import resized


def test_a_preset_says_what_the_source_used_and_what_is_said_counts_more():
    vgg, resnet = (registry.parse(COMPONENT, {"preset": preset}) for preset in ("vgg16", "resnet50"))
    assert (vgg.target_layer, vgg.lc, vgg.ladv, vgg.ls) == ("net.features.20", 0.25, 0.25, 0.5)
    assert (resnet.target_layer, resnet.lc, resnet.ladv, resnet.ls) == ("net.layer3.5.relu", 0.00025, 0.00025, 0.01)
    for params in (vgg, resnet):
        assert (params.s, params.draws, params.batch, params.width) == (0.15 / 2, 10, 32, 64)
        assert (params.lr, params.lr_d, params.aware, params.learns_from) == (1e-4, 4e-4, "input", "fit")
    other = registry.parse(COMPONENT, {"preset": "vgg16", "target_layer": "features.27", "ls": 2.5})
    assert (other.target_layer, other.lc, other.ls) == ("features.27", 0.25, 2.5)
    assert FeatureGenerator.model_validate(other.model_dump()) == other


@pytest.mark.parametrize(("name", "values"), [("vgg16", (512, 12, 12)), ("resnet50", (1024, 6, 6))])
def test_a_preset_names_a_layer_of_torchvisions_network(name, values):
    with torch.device("meta"):
        layers = Layers(resized(get_model(name, weights=None, num_classes=10).eval(), (3, 96, 96)), name)
    layer = registry.parse(COMPONENT, {"preset": name}).target_layer
    assert dict(shapes(layers, torch.zeros(1, 3, 96, 96, device="meta")))[layer] == values
    assert layers.rectified(layer)


def test_a_preset_runs_on_the_network_that_it_is_for():
    model = layered(resized(get_model("resnet50", weights=None, num_classes=10), (3, 32, 32)), (3, 32, 32), 10)
    x = pixels(4, 3, 32, 32)
    batch = batch_of(x, model(x).argmax(1), 10)
    there = {"preset": "resnet50", "epochs": 1, "draws": 1, "width": 2, "batch": 2, "learns_from": "attacked"}
    attack = AttackSpec(COMPONENT, registry.parse(COMPONENT, there), "", math.inf)
    made = craft(model, batch, attack, 0, access="gradient")
    assert made.forwards == [5] * 4 and not made.failures
    assert not torch.allclose(made.x_adv, x, atol=0.1)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({}, "target_layer: say which, or take it from a preset: vgg16, resnet50"),
        ({"preset": "vgg19"}, "preset: .*'vgg16' or 'resnet50'"),
        ({"preset": "vgg16", "epochs": 0}, "epochs"),
        ({"preset": "vgg16", "steps": 3}, 'unknown parameter "steps"'),
    ],
)
def test_parameters_that_make_no_sense_are_refused(said, why):
    with pytest.raises(UsageError, match=why):
        registry.parse(COMPONENT, said)


@pytest.mark.parametrize(
    ("layer", "why"),
    [({"target_layer": "7"}, 'no layer "7"'), ({"preset": "vgg16"}, 'no layer "net.features.20"; it has: 0, 1, 2')],
)
def test_a_layer_that_the_victim_lacks_is_told(layer, why):
    x, y = pixels(4, 1, 6, 6), torch.zeros(4, dtype=torch.long)
    with pytest.raises(UsageError, match=why):
        raygrid.attack(small_victim(), x, y, "feature-space-generator", fit=(x, y), epochs=1, **layer)


def test_a_notebook_gives_the_other_samples_or_is_told_that_none_are_taken():
    batch = small_batch()
    x, y = batch.x, batch.labels
    done = raygrid.attack(small_victim(), x, y, "feature-space-generator", fit=(x[:4], y[:4]), **FEW)
    assert done.x_adv.shape == x.shape and int(done.forwards.sum()) == 0
    with pytest.raises(UsageError, match=r"give them as fit=\(x, y\)"):
        raygrid.attack(small_victim(), x, y, "feature-space-generator", **FEW)
    there = {**FEW, "learns_from": "attacked", "aware": "none"}
    with pytest.raises(UsageError, match="takes no fit"):
        raygrid.attack(small_victim(), x, y, "feature-space-generator", fit=(x[:4], y[:4]), **there)
    done = raygrid.attack(small_victim(), x, y, "feature-space-generator", **there)
    assert set(done.forwards.tolist()) == {FeatureGenerator(**there).passes()[0]}


def test_it_says_what_it_averages_over_where_it_looks_and_what_it_needs():
    said = [registry.parse(COMPONENT, {**FEW, "aware": aware}) for aware in AWARE]
    assert [params.averages_over() for params in said] == ["", "input", "hidden", "input+hidden"]
    assert {params.looks_into() for params in said} == {"1"}
    assert {params.needs_fit() for params in said} == {True}
    assert not registry.parse(COMPONENT, {**FEW, "learns_from": "attacked"}).needs_fit()
    assert "halved" in said[0].misfit((1, 1, 9)) and said[0].misfit((1, 2, 9)) is None
    assert all(field.description for field in COMPONENT.params.model_fields.values())
