"""Fog, and what looks like frost and snow: the part of `corruptions.py` that covers pictures with something else.

What covers them is made for a picture of 224 pixels a side and brought to the size of the picture at hand: a flake of a small
picture is a small flake, and no more of the picture is covered.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional

from raygrid.attacks.corruption_lens import Draws, along_line, scale_of, zoomed

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in gray (ITU-R BT.601)."""
OCTAVES = 8
"""Grids of a plasma: the finest has a point a pixel."""
ICE = (0.88, 0.95, 1.0)
"""Color of ice: a little blue."""


def fog(x: Tensor, draws: Draws, amount: float, decay: float) -> Tensor:
    """Cover with a plasma of so much white, then bring the range of values back to what it was."""
    most = x.amax((1, 2, 3), keepdim=True)
    return (x + amount * _fitted(_plasma(_sky(x), draws, "fog", decay), x)) * most / (most + amount)


def frost(x: Tensor, draws: Draws, picture: float, ice: float) -> Tensor:
    """Add ice to the picture: crystals along the ridges of a plasma, thicker in some places."""
    sky = _sky(x)
    ridges = 1 - (2 * _plasma(sky, draws, "crystals", 1.3) - 1).abs()
    thickness = _plasma(sky, draws, "thickness", 2.5)
    layer = (0.25 + 0.75 * thickness) * ridges**4
    return picture * x + ice * _fitted(layer, x) * _tint(ICE, x)


def snow(
    x: Tensor,
    draws: Draws,
    mean: float,
    deviation: float,
    zoom: float,
    threshold: float,
    radius: float,
    sigma: float,
    picture: float,
) -> Tensor:
    """Whiten the picture, and let flakes fall through it."""
    noise = zoomed(mean + deviation * draws.normal("flakes", _sky(x)), zoom)
    flakes = torch.where(noise < threshold, 0.0, noise).clamp(0, 1)
    angle = draws.uniform("angle", x[:, 0, 0, :1]).flatten() * (math.pi / 2) + math.pi / 4
    falling = _fitted(along_line(flakes, angle, radius, sigma), x)
    gray = (x * _tint(LUMA, x)).sum(1, keepdim=True) if x.shape[1] == len(LUMA) else x
    whitened = picture * x + (1 - picture) * torch.maximum(x, 1.5 * gray + 0.5)
    return whitened + falling + falling.rot90(2, (2, 3))


def _tint(color: tuple[float, float, float], x: Tensor) -> Tensor:
    """Return the color [C, 1, 1] for pictures x [B, C, H, W]; gray pictures have none."""
    channels = color if x.shape[1] == len(color) else (1.0,) * x.shape[1]
    return x.new_tensor(channels)[:, None, None]


def _sky(x: Tensor) -> Tensor:
    """Return an empty layer [B, 1, H, W] of the proportions of pictures x, its shorter side 224 pixels."""
    height, width = (max(1, round(side / scale_of(x))) for side in x.shape[2:])
    return x.new_zeros((len(x), 1, height, width))


def _fitted(layer: Tensor, x: Tensor) -> Tensor:
    """Return a layer at the size of pictures x."""
    if layer.shape[2:] == x.shape[2:]:
        return layer
    return functional.interpolate(layer, x.shape[2:], mode="bilinear", antialias=True)


def _plasma(sky: Tensor, draws: Draws, purpose: str, decay: float) -> Tensor:
    """Return clouds [B, 1, H, W] in [0, 1]: noise of ever finer grids, each weaker by the factor `decay` than the one before."""
    total = torch.zeros_like(sky)
    for octave in range(1, OCTAVES + 1):
        grid = draws.uniform(f"{purpose}/{octave}", sky.new_empty((1, 1, 2**octave + 1, 2**octave + 1)))
        fine = functional.interpolate(2 * grid - 1, sky.shape[2:], mode="bicubic", align_corners=True)
        total += fine / decay ** (octave - 1)
    low, high = total.amin((2, 3), keepdim=True), total.amax((2, 3), keepdim=True)
    return (total - low) / (high - low).clamp_min(1e-6)
