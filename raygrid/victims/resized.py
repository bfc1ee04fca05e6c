"""Image classifiers that take any size: the input is brought to the native one inside the victim, differentiably."""

from collections import OrderedDict

from torch import nn

from raygrid.victims.efficientnet_lite import Resize


def resized(model: nn.Module, shape: tuple[int, int, int]) -> nn.Sequential:
    """Put a resize to the square `shape` [C, H, W] before a model; inputs of that size pass untouched."""
    return nn.Sequential(OrderedDict(resize=Resize(shape[1]), net=model))
