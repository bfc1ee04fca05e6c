"""Victims cut into stages: what goes on after a layer follows from the layer alone, to the bit."""

import pytest
import torch
import torchvision
from models import pixels, victim
from torch import nn

from raygrid.errors import UsageError
from raygrid.victims.layers import Layers, shapes
from raygrid.victims.resized import resized

BUILT_IN = ["mnist-cnn", "mnist-cnn-adv", "cifar10-cnn", "sign-cnn", "efficientnet-lite0"]


def some(model, batch=2):
    return pixels(batch, *[side or 224 for side in model.info.input_shape])


@pytest.mark.parametrize("name", BUILT_IN)
def test_what_follows_from_every_layer_is_what_the_victim_says(name):
    model = victim(name)
    x = some(model)
    with torch.no_grad():
        whole = model(x)
        for layer in model.layers.names:
            assert torch.equal(model.resume(model.features(x, layer), layer), whole), layer
    assert len(model.layers.names) >= 9 and len(set(model.layers.names)) == len(model.layers.names)


@pytest.mark.parametrize("name", BUILT_IN[:-1])
def test_layers_that_are_said_to_be_rectified_have_no_negative_values(name):
    model = victim(name)
    x = some(model, 8)
    rectified = [layer for layer in model.layers.names if model.layers.rectified(layer)]
    assert rectified and all(bool((model.features(x, layer) >= 0).all()) for layer in rectified)
    assert any(bool((model.features(x, layer) < 0).any()) for layer in set(model.layers.names) - set(rectified))


def test_shapes_are_those_of_one_sample():
    model = victim("mnist-cnn")
    found = dict(shapes(model.layers, model.inside(some(model))))
    assert found["conv1"] == (16, 28, 28) and found["hidden"] == (64,)


TRACED = {
    "resnet18": torchvision.models.resnet18,
    "vgg11_bn": torchvision.models.vgg11_bn,
    "densenet121": torchvision.models.densenet121,
    "vit_b_16": torchvision.models.vit_b_16,
}


@pytest.mark.parametrize("name", TRACED)
def test_any_network_that_torch_fx_can_trace_is_cut_where_one_tensor_carries_all(name):
    net = TRACED[name](num_classes=3).eval()
    layers, x = Layers(net, name), pixels(1, 3, 224, 224)
    with torch.no_grad():
        whole = net(x)
        for layer in layers.names[:: max(1, len(layers.names) // 6)]:
            assert torch.equal(layers.resume(layers.features(x, layer), layer), whole), layer
    assert len(layers.names) > 15


def test_a_residual_block_is_not_cut_inside_but_behind_it():
    layers = Layers(torchvision.models.resnet18(num_classes=3).eval(), "resnet18")
    assert "layer1.1.relu" in layers.names and "layer1.0.conv1" not in layers.names
    assert layers.rectified("relu") and layers.rectified("maxpool") and not layers.rectified("bn1")


def test_layers_are_cut_through_a_wrapper_that_resizes():
    layers = Layers(resized(torchvision.models.resnet18(num_classes=3), (3, 64, 64)).eval(), "resnet18")
    assert layers.names[:3] == ["resize", "net.conv1", "net.bn1"]


class Functional(nn.Module):
    """Convolves by a function, and halves."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3, 3, 3, 3))

    def forward(self, x):
        return nn.functional.max_pool2d(nn.functional.conv2d(x, self.weight), 2).flatten(1)


def test_convolutions_are_found_by_themselves_in_blocks_and_as_functions():
    assert victim("mnist-cnn").layers.convolutions() == ["conv1", "conv2"]
    blocks = Layers(torchvision.models.resnet18(num_classes=3).eval(), "resnet18").convolutions()
    assert blocks == ["conv1", "add", *(f"add_{i}" for i in range(1, 8))]
    assert Layers(Functional().eval(), "functional").convolutions() == ["conv2d"]
    dense = Layers(nn.Sequential(nn.Flatten(), nn.Linear(4, 4), nn.Linear(4, 2)), "dense")
    with pytest.raises(UsageError, match='"dense" has no convolution before its last layer'):
        dense.convolutions()


def test_values_of_a_layer_can_be_used_twice_though_the_network_works_in_place():
    net = nn.Sequential(nn.Linear(4, 4), nn.ReLU(inplace=True), nn.Linear(4, 2)).eval()
    layers = Layers(net, "net")
    h = layers.features(pixels(3, 4) - 0.5, "0")
    before = h.clone()
    layers.resume(h, "0")
    assert torch.equal(h, before)


def test_an_unknown_layer_is_told_with_the_nearest():
    with pytest.raises(UsageError, match='has no layer "relu5"; did you mean "relu'):
        victim("mnist-cnn").features(pixels(1, 1, 28, 28), "relu5")
    with pytest.raises(UsageError, match="it has: conv1, pool1"):
        victim("mnist-cnn").layers.place("nowhere at all")


class Crooked(nn.Module):
    def __init__(self):
        super().__init__()
        self.part = nn.Linear(4, 2)

    def forward(self, x):
        return self.part(x) if float(x.sum()) > 0 else -self.part(x)


def test_a_network_that_cannot_be_traced_says_so_when_a_layer_is_asked_for():
    layers = Layers(Crooked(), "crooked")
    assert layers.names == []
    with pytest.raises(UsageError, match=r"victim \"crooked\" can't be cut into layers, since torch.fx can't trace it"):
        layers.place("part")


def test_a_network_without_hidden_layers_says_so_when_all_are_asked_for():
    assert Layers(victim("mnist-cnn").model, "mnist-cnn").all() == victim("mnist-cnn").layers.names
    for single, why in ((nn.Linear(4, 2), "it is a single step"), (Crooked(), "torch.fx can't trace it")):
        with pytest.raises(UsageError, match=f'victim "mine" can\'t be cut into layers, since {why}'):
            Layers(single, "mine").all()
