"""The CIFAR-10 CNN against the figures that its package's weights are known to reach."""

import numpy as np
import pytest
import torch

from raygrid.component import resolve
from raygrid.data.dataset import pixels
from raygrid.registry import find
from raygrid.victims.victim import Victim


@pytest.fixture(scope="module")
def victim() -> Victim:
    component = find("victim", "cifar10-cnn")
    info = resolve(component.identify)(component.params(), "mine")
    return resolve(component.build)(component.params(), info)


@pytest.fixture(scope="module")
def samples() -> tuple[torch.Tensor, np.ndarray]:
    component = find("data", "cifar10-samples")
    table = resolve(component.build)(component.params(), None).table
    return torch.tensor(pixels(table)), table.column("label").to_numpy()


def test_all_twenty_samples_are_answered_rightly(victim, samples):
    x, labels = samples
    assert (victim(x).argmax(1).numpy() == labels).sum() == 20


def test_the_net_is_the_one_of_the_package(victim):
    assert sum(p.numel() for p in victim.parameters()) == 968_394
    assert not any(p.requires_grad for p in victim.parameters())


def test_the_model_behind_the_normalization_sees_pixels_up_to_255(victim):
    x = torch.rand(2, 3, 32, 32)
    assert torch.allclose(victim(x), victim.model(255 * x), rtol=1e-4, atol=1e-4)


def test_the_last_relu_is_left_off_so_that_logits_may_be_negative(victim, samples):
    assert (victim(samples[0]) < 0).any()


def test_the_gradient_reaches_every_sample(victim, samples):
    x = samples[0].requires_grad_()
    victim(x).logsumexp(1).sum().backward()
    assert (x.grad.abs().amax((1, 2, 3)) > 0).all()
