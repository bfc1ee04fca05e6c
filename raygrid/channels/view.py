"""The view channel: what happens between a printed or painted thing and a classifier's input.

The image is taken for a flat thing in front of a pinhole camera. One look turns, tilts, moves and scales it (one homography),
blurs it, changes its light and tint, and adds the sensor's noise. What lies outside the image continues its edge.
"""

from dataclasses import dataclass
from math import ceil, log1p, radians

import torch
from torch import Tensor
from torch.nn.functional import conv2d, grid_sample, pad

from raygrid.channels.catalog import View
from raygrid.randomness import Randomness

DISTANCE = 4.0
"""From the camera to the thing, in halves of the image's shorter side: a field of view of 28 degrees."""
HORIZON = 1e-3
"""The least depth of a ray, where 1 is that of the middle: one that would miss the image's plane sees its far edge."""
LEAST_BLUR = 0.05
"""Pixels. A Gaussian this narrow leaves an image as it is."""
REACH = 3
"""Standard deviations at which the blur's kernel ends."""


@dataclass(frozen=True)
class Looks:
    """What was drawn for a look at each of B images."""

    scale: Tensor
    """[B], factors: above 1, the thing appears larger."""
    roll: Tensor
    """[B], radians in the image plane, clockwise."""
    yaw: Tensor
    """[B], radians about the upright axis; positive: the right side is farther away."""
    pitch: Tensor
    """[B], radians about the level axis; positive: the lower side is farther away."""
    right: Tensor
    """[B], in shares of the shorter side."""
    down: Tensor
    """[B], likewise."""
    blur: Tensor
    """[B], standard deviations in pixels."""
    gain: Tensor
    """[B, C], what values are multiplied by: light and tint."""
    offset: Tensor
    """[B, C], what is added after that."""


def view(params: View, x: Tensor, randomness: Randomness, purpose: str, index: Tensor) -> Tensor:
    """Look at each image once, as Athalye et al. (ICML 2018) and Eykholt et al. (CVPR 2018) do. Differentiable in x.

    Args:
        params: how far looks may differ.
        x: pixels [B, C, H, W] in [0, 1].
        randomness: the samples' streams.
        purpose: of this look. The same one gives the same look at the same sample, whatever else is in the batch.
        index: positions [B] of the images' samples in `randomness`.

    Returns:
        Pixels [B, C, H, W] in [0, 1]; x itself where all strengths are 0.
    """
    if not any(strength for _, strength in params):
        return x
    looks = draw_looks(params, randomness, f"{purpose}/look", index, x)
    if params.scale or params.rotation or params.tilt or params.shift:
        x = moved(x, looks)
    if params.blur:
        x = blurred(x, looks.blur, most=params.blur)
    if params.gain or params.contrast or params.brightness or params.color:
        x = x * looks.gain[:, :, None, None] + looks.offset[:, :, None, None]
    if params.noise:
        x = x + params.noise * randomness.normal(f"{purpose}/noise", index, x)
    return x.clamp(0, 1)


def draw_looks(params: View, randomness: Randomness, purpose: str, index: Tensor, like: Tensor) -> Looks:
    """Draw a look at each of the samples, whose images are like [B, C, H, W].

    Every change has its own place in a sample's stream, so that two strengths of one change differ in nothing else.
    """
    u = 2 * randomness.uniform(purpose, index, like.new_empty(len(index), 10 + like.shape[1])) - 1
    scale, roll, yaw, pitch, right, down, blur, light, contrast, brightness = u[:, :10].unbind(1)
    tint = u[:, 10:] - u[:, 10:].mean(1, keepdim=True)
    gain = _factor(params.gain, light)[:, None] * _factor(params.color, tint)
    steeper = _factor(params.contrast, contrast)[:, None]
    return Looks(
        scale=_factor(params.scale, scale),
        roll=radians(params.rotation) * roll,
        yaw=radians(params.tilt) * yaw,
        pitch=radians(params.tilt) * pitch,
        right=params.shift * right,
        down=params.shift * down,
        blur=params.blur * (blur + 1) / 2,
        gain=gain * steeper,
        offset=gain * (1 - steeper) / 2 + params.brightness * brightness[:, None],
    )


def _factor(strength: float, u: Tensor) -> Tensor:
    """From 1 / (1 + strength) to 1 + strength, for u from -1 to 1."""
    return torch.exp(log1p(strength) * u)


def moved(x: Tensor, looks: Looks) -> Tensor:
    """Return x [B, C, H, W] as the camera sees it from elsewhere: bilinear, the edge continued outside."""
    height, width = x.shape[-2:]
    half = min(height, width) / 2
    rows = (torch.arange(height, device=x.device, dtype=x.dtype) + 0.5 - height / 2) / half
    columns = (torch.arange(width, device=x.device, dtype=x.dtype) + 0.5 - width / 2) / half
    a, b, c = homography(looks)[:, :, :, None, None].unbind(2)  # its columns, each [B, 3, 1, 1]
    across, along, depth = (a * columns + b * rows[:, None] + c).unbind(1)
    depth = depth.clamp_min(HORIZON)
    grid = torch.stack([across / depth * (2 * half / width), along / depth * (2 * half / height)], dim=-1)
    seen = grid_sample(x, grid, mode="bilinear", padding_mode="border", align_corners=False)
    return _into_box(seen)


def homography(looks: Looks) -> Tensor:
    """Return [B, 3, 3]: from a place in the view to the place in the image that is seen there.

    Both count from the middle, right and down, in halves of the shorter side. A point (X, Y) of the image stands at R (X, Y, 0)
    before a camera at DISTANCE, where R rolls, then pitches, then yaws. The scale is the camera's zoom.
    """
    one, zero = torch.ones_like(looks.roll), torch.zeros_like(looks.roll)
    cr, sr, cp, sp, cy, sy = (
        f(angle) for angle in (looks.roll, looks.pitch, looks.yaw) for f in (torch.cos, torch.sin)
    )
    roll = _matrix([[cr, -sr, zero], [sr, cr, zero], [zero, zero, one]])
    pitch = _matrix([[one, zero, zero], [zero, cp, -sp], [zero, sp, cp]])
    yaw = _matrix([[cy, zero, -sy], [zero, one, zero], [sy, zero, cy]])
    lens = torch.stack([looks.scale, looks.scale, one / DISTANCE], dim=1)[:, :, None]
    a, b = (lens * (yaw @ pitch @ roll)[:, :, :2]).unbind(2)
    c = torch.stack([2 * looks.right, 2 * looks.down, one], dim=1)
    adjugate = torch.stack([b.cross(c, dim=1), c.cross(a, dim=1), a.cross(b, dim=1)], dim=1)
    return adjugate / adjugate[:, 2:, 2:]  # the inverse, up to the factor that a homography leaves open


def _matrix(entries: list[list[Tensor]]) -> Tensor:
    return torch.stack([torch.stack(row, dim=1) for row in entries], dim=1)


def blurred(x: Tensor, sigma: Tensor, *, most: float) -> Tensor:
    """Return x [B, C, H, W] after a Gaussian blur of standard deviations sigma [B] in pixels, the edge continued outside.

    Args:
        x: pixels.
        sigma: at most `most`.
        most: decides the size of the kernel for all, so that no row depends on another's sigma.
    """
    batch, channels, height, width = x.shape
    if batch * channels == 1:
        # One group alone would be convolved in another way, and rounded otherwise than the same plane among others.
        return blurred(x.expand(2, -1, -1, -1), sigma.expand(2), most=most)[:1]
    reach = ceil(REACH * most)
    taps = torch.arange(-reach, reach + 1, device=x.device, dtype=x.dtype)
    kernel = torch.exp(-0.5 * (taps / sigma.clamp_min(LEAST_BLUR)[:, None]) ** 2)
    kernel = (kernel / kernel.sum(1, keepdim=True)).repeat_interleave(channels, dim=0)
    # One group an image and channel: the fastest of the three ways tried on a CPU (sums of shifts, banded matrices).
    planes = x.reshape(1, batch * channels, height, width)
    planes = conv2d(pad(planes, (reach,) * 4, mode="replicate"), kernel[:, None, None, :], groups=batch * channels)
    planes = conv2d(planes, kernel[:, None, :, None], groups=batch * channels)
    return _into_box(planes.view(batch, channels, height, width))


def _into_box(x: Tensor) -> Tensor:
    """Take off the rounding of weights whose sum should be 1, and leave the gradient, which a clamp would cut at white."""
    return x + (x.clamp(0, 1) - x).detach()
