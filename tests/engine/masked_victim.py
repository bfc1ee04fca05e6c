"""Victims that a job brings as code: mnist-cnn behind a wall that gradients don't pass, and one that answers at random."""

from collections import OrderedDict

import torch
from torch import nn

from raygrid.victims.mnist_cnn import mnist_cnn


class Masked(nn.Sequential):
    """The net of mnist-cnn, whose weights fit, with something before it."""

    def __init__(self, before):
        super().__init__(OrderedDict(mnist_cnn().named_children()))
        self.before = before

    def forward(self, x):
        return super().forward(self.before(x))


def quantized():
    """Eight levels: a gradient of zero everywhere."""
    return Masked(lambda x: (x * 8).round() / 8)


def noisy():
    """Noise at the input, drawn anew each time."""
    return Masked(lambda x: x + 0.2 * torch.randn_like(x))
