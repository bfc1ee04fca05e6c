"""Face embedders of any size: their part of the canonical frame is cut out and resized inside the victim, differentiably."""

from collections import OrderedDict

from torch import nn

from raygrid.victims.face_crops import Crop, square


def framed(model: nn.Module, crop: tuple[float, float, float], size: int) -> nn.Sequential:
    """Put the crop (left, top, side) of canonical frames, resized to size x size, before a model."""
    return nn.Sequential(OrderedDict(crop=Crop(square(*crop, size)), net=model))
