"""Common corruptions: the baseline without an attacker, after ImageNet-C (Hendrycks & Dietterich, ICLR 2019), not identical to it.

The numbers of `KINDS` are those of ImageNet-C, which are for photos of 224 pixels a side, but where it says "ours". Lengths in
pixels go with the side of the picture, so that digits of 28 pixels can be corrupted too; noise and colors need no such thing. The
code is ours throughout, and so are the plasma of the fog, the ice, and the even-handed motion blur. Here are noise, color and
compression; `corruption_lens.py` has what bends and blurs, `corruption_weather.py` what falls from the sky.
"""

from collections.abc import Callable
from io import BytesIO
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from raygrid.attacks.corruption_lens import Draws, defocus_blur, elastic, gaussian_blur, motion_blur, zoom_blur
from raygrid.attacks.corruption_weather import fog, frost, snow
from raygrid.constraints import Constraint
from raygrid.goals import Goal
from raygrid.oracle import Oracle
from raygrid.randomness import Randomness

LEVELS = 255
"""A JPEG is made of 8-bit pixels."""


def corruption(
    oracle: Oracle, goal: Goal, x: Tensor, constraint: Constraint, randomness: Randomness, *, kind: str, severity: int
) -> Tensor:
    """Corrupt pictures without a look at the victim.

    Args:
        oracle: tells which samples are not wrong already; nothing is asked of it.
        goal: plays no part.
        x: clean pictures [B, C, H, W] in [0, 1], of 1 or 3 channels.
        constraint: the box.
        randomness: the samples' streams. A sample's numbers are the same for every severity of a kind.
        kind: a key of KINDS.
        severity: 1 to 5.

    Returns:
        Corrupted pictures [B, C, H, W] in [0, 1].
    """
    z = x.clone()
    active = oracle.active(queries=0)
    if len(active):
        change, levels = KINDS[kind]
        z[active] = change(x[active], Draws(randomness, active), *levels[severity - 1])
    return z.clamp_(constraint.low, constraint.high)


class Kind(NamedTuple):
    """How pictures are changed, and how much."""

    change: Callable[..., Tensor]
    """(x [B, C, H, W], draws, *the numbers of a severity) -> [B, C, H, W], not yet brought into the box."""
    levels: tuple[tuple[float, ...], ...]
    """The numbers of the severities 1 to 5."""


def gaussian_noise(x: Tensor, draws: Draws, scale: float) -> Tensor:
    """Add normal noise of this standard deviation."""
    return x + scale * draws.normal("noise", x)


def shot_noise(x: Tensor, draws: Draws, photons: float) -> Tensor:
    """Count photons, so many on average in a white pixel."""
    return draws.randomness.poisson("photons", draws.index, x * photons) / photons


def impulse_noise(x: Tensor, draws: Draws, share: float) -> Tensor:
    """Turn this share of the values black or white: salt and pepper."""
    u = draws.uniform("impulses", x)
    return torch.where(u < share / 2, 0.0, torch.where(u > 1 - share / 2, 1.0, x))


def speckle_noise(x: Tensor, draws: Draws, scale: float) -> Tensor:
    """Add normal noise whose standard deviation is this share of the value."""
    return x + scale * x * draws.normal("noise", x)


def brightness(x: Tensor, draws: Draws, shift: float) -> Tensor:
    """Raise the value of HSV, the largest channel, and keep hue and saturation."""
    value = x.amax(1, keepdim=True)
    raised = (value + shift).clamp_max(1.0)
    return torch.where(value > 0, x * (raised / value.clamp_min(1e-6)), raised)


def contrast(x: Tensor, draws: Draws, factor: float) -> Tensor:
    """Bring values closer to the mean of their channel."""
    mean = x.mean((2, 3), keepdim=True)
    return mean + factor * (x - mean)


def saturate(x: Tensor, draws: Draws, factor: float) -> Tensor:
    """Multiply the saturation of HSV, up to 1, and keep hue and value."""
    value, least = x.amax(1, keepdim=True), x.amin(1, keepdim=True)
    most = value / (value - least).clamp_min(1e-6)  # the factor at which the saturation is 1
    return value - (value - x) * most.clamp_max(factor)


def pixelate(x: Tensor, draws: Draws, share: float) -> Tensor:
    """Show the picture with this share of the pixels a side: means of areas, as squares."""
    height, width = x.shape[2:]
    few = (max(1, int(width * share)), max(1, int(height * share)))
    planes = x.float().flatten(0, 1).cpu().numpy()
    shown = [
        np.asarray(
            Image.fromarray(plane).resize(few, Image.Resampling.BOX).resize((width, height), Image.Resampling.BOX)
        )
        for plane in planes
    ]
    return torch.from_numpy(np.stack(shown)).to(x).view_as(x)


def jpeg(x: Tensor, draws: Draws, quality: float) -> Tensor:
    """Compress and decompress at this quality of libjpeg, with its default subsampling of colors."""
    pictures = (x.clamp(0, 1) * LEVELS).round().byte().permute(0, 2, 3, 1).cpu().numpy()
    read = np.stack([_through_jpeg(picture, int(quality)) for picture in pictures])
    return torch.from_numpy(read).to(x.device).permute(0, 3, 1, 2).to(x) / LEVELS


def _through_jpeg(picture: np.ndarray, quality: int) -> np.ndarray:
    file = BytesIO()
    Image.fromarray(picture.squeeze(2) if picture.shape[2] == 1 else picture).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file)).reshape(picture.shape)


KINDS: dict[str, Kind] = {
    "gaussian-noise": Kind(gaussian_noise, ((0.08,), (0.12,), (0.18,), (0.26,), (0.38,))),
    "shot-noise": Kind(shot_noise, ((60,), (25,), (12,), (5,), (3,))),
    "impulse-noise": Kind(impulse_noise, ((0.03,), (0.06,), (0.09,), (0.17,), (0.27,))),
    "speckle-noise": Kind(speckle_noise, ((0.15,), (0.2,), (0.35,), (0.45,), (0.6,))),
    # Standard deviation, pixels.
    "gaussian-blur": Kind(gaussian_blur, ((1,), (2,), (3,), (4,), (6,))),
    # Radius, pixels.
    "defocus-blur": Kind(defocus_blur, ((3,), (4,), (6,), (8,), (10,))),
    # Radius and standard deviation along the way, pixels.
    "motion-blur": Kind(motion_blur, ((10, 3), (15, 5), (15, 8), (15, 12), (20, 15))),
    # Largest zoom, and number of zooms from 1 on.
    "zoom-blur": Kind(zoom_blur, ((1.1, 11), (1.15, 16), (1.2, 11), (1.24, 13), (1.3, 11))),
    # Amount, and how fast finer detail fades.
    "fog": Kind(fog, ((1.5, 2), (2, 2), (2.5, 1.7), (2.5, 1.5), (3, 1.4))),
    # Weight of the picture and of the ice.
    "frost-like": Kind(frost, ((1, 0.4), (0.8, 0.6), (0.7, 0.7), (0.65, 0.7), (0.6, 0.75))),
    # Mean and standard deviation of the noise that flakes are made of; zoom; threshold; motion blur; weight of the picture.
    "snow-like": Kind(
        snow,
        (
            (0.1, 0.3, 3, 0.5, 10, 4, 0.8),
            (0.2, 0.3, 2, 0.5, 12, 4, 0.7),
            (0.55, 0.3, 4, 0.9, 12, 8, 0.7),
            (0.55, 0.3, 4.5, 0.85, 12, 8, 0.65),
            (0.55, 0.3, 2.5, 0.85, 12, 12, 0.55),
        ),
    ),
    "brightness": Kind(brightness, ((0.1,), (0.2,), (0.3,), (0.4,), (0.5,))),
    "contrast": Kind(contrast, ((0.4,), (0.3,), (0.2,), (0.1,), (0.05,))),
    # Ours: ImageNet-C takes saturation away in its severities 1 and 2 and adds it in the others.
    "saturate": Kind(saturate, ((1.5,), (2,), (3,), (5,), (20,))),
    # Ours: root mean square and smoothness of the shifts, as shares of the side. ImageNet-C's severities 1 and 2 move more than 3.
    "elastic": Kind(elastic, ((0.006, 0.05), (0.012, 0.05), (0.018, 0.05), (0.024, 0.05), (0.03, 0.05))),
    "pixelate": Kind(pixelate, ((0.6,), (0.5,), (0.4,), (0.3,), (0.25,))),
    # Quality of libjpeg.
    "jpeg": Kind(jpeg, ((25,), (18,), (15,), (10,), (7,))),
}
