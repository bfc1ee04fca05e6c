"""What blurs and bends pictures: the part of `corruptions.py` that works with lengths in pixels.

Lengths are given for pictures of 224 pixels a side. On small pictures they would often be less than a pixel, and no change at all:
Gaussians get a little more there, which comes close to the radii that CIFAR-10-C has for 32 pixels.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from raygrid.randomness import Randomness

SIDE = 224
"""Pixels a side of the pictures that lengths are given for."""
SMALLEST = 0.4
"""Standard deviation, pixels, that Gaussians have on the smallest pictures whatever is asked for."""
CUT = 4
"""Standard deviations that a Gaussian reaches."""


@dataclass(frozen=True)
class Draws:
    """The random numbers of the samples at hand."""

    randomness: Randomness
    index: Tensor
    """Positions [B] of the samples."""

    def uniform(self, purpose: str, like: Tensor) -> Tensor:
        """Return numbers in [0, 1) of the shape [B, *like.shape[1:]]."""
        return self.randomness.uniform(purpose, self.index, like)

    def normal(self, purpose: str, like: Tensor) -> Tensor:
        """Return standard normal numbers of the shape [B, *like.shape[1:]]."""
        return self.randomness.normal(purpose, self.index, like)


def scale_of(x: Tensor) -> float:
    """Return what a length of a picture of 224 pixels is multiplied by for pictures x [B, C, H, W]."""
    return min(x.shape[2:]) / SIDE


def spread(sigma: float, x: Tensor) -> float:
    """Return the standard deviation in pixels, on pictures x, of a Gaussian that has sigma on pictures of 224."""
    scale = scale_of(x)
    return math.hypot(sigma * scale, SMALLEST * max(0.0, 1 - scale))


def gaussian_blur(x: Tensor, draws: Draws, sigma: float) -> Tensor:
    """Blur with a Gaussian."""
    return smoothed(x, spread(sigma, x))


def defocus_blur(x: Tensor, draws: Draws, radius: float) -> Tensor:
    """Blur with a disk, as a lens that is out of focus does."""
    r = radius * scale_of(x)
    dy, dx = _offsets(math.ceil(r), x)
    disk = (r + 1 - torch.hypot(dy, dx)).clamp(0, 1)  # fades over a pixel, so that radii below one count too
    return convolved(x, disk[None])


def motion_blur(x: Tensor, draws: Draws, radius: float, sigma: float) -> Tensor:
    """Blur along a line within 45 degrees of the horizontal."""
    return along_line(x, (draws.uniform("angle", x[:, 0, 0, :1]).flatten() - 0.5) * (math.pi / 2), radius, sigma)


def along_line(x: Tensor, angle: Tensor, radius: float, sigma: float) -> Tensor:
    """Blur along lines at these angles [B], radians, with a Gaussian that ends at the radius."""
    r, s = radius * scale_of(x), spread(sigma, x)
    dy, dx = _offsets(math.ceil(r), x)
    cos, sin = (turn[:, None, None] for turn in (angle.cos(), angle.sin()))
    along, across = dx * cos + dy * sin, dy * cos - dx * sin
    line = (1 - across.abs()).clamp_min(0) * (r + 1 - along.abs()).clamp(0, 1)
    return convolved(x, line * torch.exp(-along.square() / (2 * s * s)))


def zoom_blur(x: Tensor, draws: Draws, largest: float, zooms: float) -> Tensor:
    """Mean of the picture and of zooms into its middle, from 1 to the largest."""
    total = x.clone()
    factors = torch.linspace(1, largest, int(zooms), dtype=torch.float64).tolist()
    for factor in factors:
        total += zoomed(x, factor)
    return total / (len(factors) + 1)


def zoomed(x: Tensor, factor: float) -> Tensor:
    """Zoom into the middle of pictures, bilinear."""
    matrix = x.new_tensor([[1 / factor, 0, 0], [0, 1 / factor, 0]]).expand(len(x), 2, 3)
    return _sampled(x, functional.affine_grid(matrix, list(x.shape), align_corners=False))


def elastic(x: Tensor, draws: Draws, shift: float, smoothness: float) -> Tensor:
    """Shift pixels by a smooth random field of this root mean square, as a share of the side, in both directions."""
    side = min(x.shape[2:])
    noise = draws.normal("shifts", x[:, :1].expand(-1, 2, -1, -1))
    field = smoothed(noise, max(smoothness * side, 1.0))
    field = field / field.square().mean((2, 3), keepdim=True).sqrt().clamp_min(1e-6) * (shift * side)
    matrix = x.new_tensor([[1, 0, 0], [0, 1, 0]]).expand(len(x), 2, 3)
    grid = functional.affine_grid(matrix, list(x.shape), align_corners=False)
    halves = x.new_tensor((x.shape[3] / 2, x.shape[2] / 2))  # a grid runs from -1 to 1
    return _sampled(x, grid + field.permute(0, 2, 3, 1) / halves)


def _sampled(x: Tensor, grid: Tensor) -> Tensor:
    return functional.grid_sample(x, grid, mode="bilinear", padding_mode="border", align_corners=False)


def smoothed(x: Tensor, sigma: float) -> Tensor:
    """Return pictures x [B, C, H, W] behind a Gaussian of this standard deviation, pixels."""
    dy, dx = _offsets(math.ceil(CUT * sigma), x)
    return convolved(x, torch.exp(-(dy.square() + dx.square()) / (2 * sigma * sigma))[None])


def convolved(x: Tensor, kernel: Tensor) -> Tensor:
    """Return the means of x [B, C, H, W] weighted by kernels [B or 1, K, K], K odd; edges are continued outwards.

    By Fourier transform: kernels reach 49 pixels, and each sample has its own.
    """
    reach = kernel.shape[-1] // 2
    padded = functional.pad(x, (reach,) * 4, mode="replicate")
    size = (padded.shape[2], padded.shape[3])
    weights = (kernel / kernel.sum((1, 2), keepdim=True))[:, None]
    product = torch.fft.rfft2(padded) * torch.fft.rfft2(weights, s=size)
    whole: Tensor = torch.fft.irfft2(product, s=size)
    return whole[:, :, 2 * reach :, 2 * reach :]


def _offsets(reach: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Return rows and columns [K, K] of the places of a kernel around its middle."""
    steps = torch.arange(-reach, reach + 1, dtype=like.dtype, device=like.device)
    rows, columns = torch.meshgrid(steps, steps, indexing="ij")
    return rows, columns
