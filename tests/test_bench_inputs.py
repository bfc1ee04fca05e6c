import numpy as np
import pytest
import torch
from models import victim

from raygrid.bench_inputs import some_samples, some_victim, usable_device, usual_samples
from raygrid.errors import UsageError

MODULE = """
import torch


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear({values}, 4)

    def forward(self, x):
        return self.linear(x.flatten(1))


def net():
    torch.manual_seed(0)
    return Net()
"""


@pytest.fixture
def module(tmp_path):
    """A function that writes a module of a net for inputs of a shape, and returns how a job file names it."""

    def write(shape):
        file = tmp_path / "net.py"
        file.write_text(MODULE.format(values=int(np.prod(shape))))
        return f'{{use: module, target: "{file}:net", trust: true, input: {list(shape)}, classes: 4}}'

    return write


@pytest.mark.parametrize(("samples", "shape"), [(5, (5, 1, 28, 28)), (3, (3, 1, 28, 28))])
def test_a_victim_is_timed_on_data_of_its_shape(samples, shape):
    x, y = some_samples(victim("mnist-cnn"), samples)
    assert x.shape == shape and y.shape == (samples,)


def test_few_samples_are_repeated():
    x, y = some_samples(victim("cifar10-cnn"), 45)
    assert x.shape == (45, 3, 32, 32)
    assert torch.equal(x[:5], x[20:25]) and torch.equal(y[:5], y[40:45])
    x, _ = some_samples(victim("mnist-cnn"), 4, "{use: mnist-5k, limit: 2}")
    assert torch.equal(x[:2], x[2:]) and not torch.equal(x[0], x[1])


def test_a_victim_and_data_of_ones_own_are_named_as_in_a_job(module, tmp_path):
    model = some_victim(module((2, 6, 5)))
    x, y = np.random.default_rng(0).random((3, 2, 6, 5), dtype=np.float32), np.array([3, 0, 1])
    np.savez(tmp_path / "mine.npz", x=x, y=y)
    seen, labels = some_samples(model, 3, f"{{use: npz, path: {tmp_path / 'mine.npz'}, layout: NCHW, classes: 4}}")
    assert np.array_equal(seen.numpy(), x) and labels.tolist() == [3, 0, 1]
    assert model(seen).shape == (3, 4)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("mnist-cn", "--victim .*did you mean"),
        ("[mnist-cnn, cifar10-cnn]", "--victim .*one victim"),
        ("{use: mnist-cnn, id: [a, b]}", "--victim"),
        ("{use: module, target: a.py:b}", '--victim .*needs "input"'),
        ("yamnet", "names sounds, and the benches time classifiers of pictures"),
        ("mobileface", "does verification"),
    ],
)
def test_what_is_no_classifier_of_pictures_is_refused(text, why):
    with pytest.raises(UsageError, match=why):
        some_victim(text)


@pytest.mark.parametrize(
    ("shape", "data", "why"),
    [
        ((1, 28, 28), "cifar10-samples", "3 x 32 x 32, and victim .* takes 1 x 28 x 28"),
        ((1, 28, 28), "mnist-5k", "labels up to .*, and victim .* has 4 classes"),
        ((1, 28, 28), "orl-faces", "orl-faces is not for classifiers"),
        ((1, 28, 28), "{use: mnist-5k, limits: 3}", '--data .*unknown parameter "limits"'),
        ((1, 28, 28), "[mnist-5k, mnist-5k]", "--data .*one dataset"),
        ((5, 9, 9), None, "no pictures of raygrid's own have the shape 5 x 9 x 9: name a dataset by --data"),
    ],
)
def test_data_that_do_not_fit_the_victim_are_refused(module, shape, data, why):
    with pytest.raises(UsageError, match=why):
        some_samples(some_victim(module(shape)), 500, data)


def test_more_samples_than_memory_is_spared_for_are_refused():
    with pytest.raises(UsageError, match="60 GB: use fewer"):
        some_samples(some_victim("efficientnet-lite0"), 100_000)


@pytest.mark.parametrize("name", ["gpu0", "meta:9:9", *([] if torch.cuda.is_available() else ["cuda"])])
def test_a_device_that_is_not_there_is_a_mistake(name):
    with pytest.raises(UsageError, match=f"--device {name}: "):
        usable_device(name)


@pytest.mark.parametrize(("name", "samples"), [("mnist-cnn", 128), ("efficientnet-lite0", 8)])
def test_as_many_samples_are_usual_as_a_host_passes_through_a_victim_at_once(name, samples):
    assert usual_samples(some_victim(name), "cpu") == samples
