"""LPIPS against its textbook form over torchvision's AlexNet, against torchmetrics, and as a distance should behave."""

import pickle

import pytest
import torch
import torchvision
from models import pixels
from torch import nn

from raygrid.metrics.distances import measure
from raygrid.metrics.lpips import LEAST, Lpips, load, read

torch.set_num_threads(1)

SHAPES = [(64, 64), (65, 100), (224, 192)]
SCALES = [0.01, 0.1, 1.0]
FIRST_ROW = [1.1864e-01, 9.4069e-02, 9.5435e-02], [5.5822e-02, 2.1575e-02, 4.9963e-02]
"""Ends of the first row of `torchvision.models.alexnet(pretrained=True).features[0].weight`, as people have printed it."""
FIFTH_CONVOLUTION = [[0.0045, -0.0077, -0.0150], [-0.0303, -0.0441, -0.0176], [-0.0143, -0.0367, -0.0520]]
"""The first filter of its fifth convolution over the first channel, as the tests of the package dnnbrain have it."""


@pytest.fixture(scope="module")
def lpips() -> Lpips:
    return load()


@pytest.fixture(scope="module")
def features(lpips) -> nn.Sequential:
    """torchvision's own AlexNet, with the weights that we read."""
    found = torchvision.models.alexnet(weights=None).features.eval()
    convolutions = [layer for layer in found if isinstance(layer, nn.Conv2d)]
    for convolution, layer in zip(convolutions, lpips.layers, strict=True):
        convolution.load_state_dict({"weight": layer.kernel, "bias": layer.bias})
    return found.requires_grad_(False)


def noisy(x, scale):
    return (x + scale * (pixels(*x.shape, seed=1) - 0.5)).clamp(0, 1)


def textbook(features, heads, z, x):
    """Zhang et al. 2018, equation 1, in float64 and one picture at a time."""
    mean, std = (torch.tensor(v).double().view(1, 3, 1, 1) for v in ([-0.030, -0.088, -0.188], [0.458, 0.448, 0.450]))
    found = []
    for pair in zip(z.split(1), x.split(1), strict=True):
        maps = []
        for y in pair:
            y, seen = (2 * y.double() - 1 - mean) / std, []
            for layer in features.double():
                y = layer(y)
                if isinstance(layer, nn.ReLU):
                    seen.append(y.clone())
            maps.append([y / y.norm(dim=1, keepdim=True).clamp_min(1e-10) for y in seen])
        terms = [
            ((a - b) ** 2 * w.double().view(1, -1, 1, 1)).sum(1).mean() for a, b, w in zip(*maps, heads, strict=True)
        ]
        found.append(sum(terms).item())
    features.float()
    return found


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_lpips_is_its_textbook_form_over_torchvisions_alexnet(lpips, features, shape, scale):
    x = pixels(2, 3, *shape)
    z = noisy(x, scale)
    wanted = textbook(features, [layer.w for layer in lpips.layers], z, x)
    assert lpips(z, x).tolist() == pytest.approx(wanted, rel=2e-4)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_lpips_is_torchmetrics_with_the_heads_that_it_ships(lpips, features, shape, scale, monkeypatch):
    theirs = pytest.importorskip("torchmetrics.functional.image.lpips")
    monkeypatch.setattr(theirs, "_get_tv_model_features", lambda net, pretrained: features)
    model = theirs._LPIPS(net="alex", pnet_rand=True)
    x = pixels(2, 3, *shape)
    z = noisy(x, scale)
    with torch.no_grad():
        assert lpips(z, x).tolist() == pytest.approx(model(z, x, normalize=True).flatten().tolist(), rel=1e-5)


def test_the_features_are_those_that_torchvision_trained(lpips):
    row = lpips.layers[0].kernel[0, 0, 0].tolist()
    assert row[:3] == pytest.approx(FIRST_ROW[0], rel=1e-4)
    assert row[-3:] == pytest.approx(FIRST_ROW[1], rel=1e-4)
    assert (lpips.layers[4].kernel[0, 0] - torch.tensor(FIFTH_CONVOLUTION)).abs().amax() <= 5.1e-5
    assert sum(layer.kernel.numel() + layer.bias.numel() for layer in lpips.layers) == 2_469_696
    assert all(bool((layer.w >= 0).all()) for layer in lpips.layers)


def test_lpips_is_zero_where_nothing_differs_symmetric_and_grows_with_noise(lpips):
    x = pixels(3, 3, 64, 80)
    far = [noisy(x, scale) for scale in SCALES]
    distances = torch.stack([lpips(x, x), *(lpips(z, x) for z in far)])
    assert distances[0].tolist() == [0.0] * 3
    assert bool((distances.diff(dim=0) > 0).all())
    for z, d in zip(far, distances[1:], strict=True):
        assert lpips(x, z).tolist() == d.tolist()


def test_lpips_of_a_picture_does_not_depend_on_what_stands_beside_it(lpips):
    x = pixels(4, 3, 64, 64)
    z = noisy(x, 0.1)
    alone = [lpips(z[i : i + 1], x[i : i + 1]).item() for i in range(4)]
    assert lpips(z, x).tolist() == pytest.approx(alone, rel=1e-4)


@pytest.mark.parametrize(
    ("shape", "defined"),
    [((3, LEAST, LEAST), True), ((3, LEAST, LEAST - 1), False), ((1, 100, 100), False)],
    ids=["just large enough", "too small", "gray"],
)
def test_lpips_is_measured_where_asked_for_and_defined(lpips, shape, defined):
    x = pixels(3, *shape)
    z = noisy(x, 0.1)
    z[1] = float("nan")
    assert {d.lpips for d in measure(z, x)} == {None}
    found = [d.lpips for d in measure(z, x, lpips)]
    assert found[1] is None
    assert (found[0] is not None, found[2] is not None) == (defined, defined)
    if defined:
        assert [found[0], found[2]] == pytest.approx(lpips(z, x)[[0, 2]].tolist(), rel=1e-4)


def test_a_file_that_names_anything_but_arrays_is_refused_and_nothing_in_it_is_run(tmp_path):
    class Trap:
        def __reduce__(self):
            return (tmp_path.joinpath("sprung").touch, ())

    file = tmp_path / "weights.ckpt"
    file.write_bytes(pickle.dumps({"AlexNet_0": Trap()}))
    with pytest.raises(pickle.UnpicklingError, match="a file of weights names"):
        read(file)
    assert not (tmp_path / "sprung").exists()
