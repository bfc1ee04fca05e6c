"""Pasting patches on images, each at its own place, angle and size, so that gradients reach all of these."""

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, grid_sample


def paste(x: Tensor, rgba: Tensor, row: Tensor, column: Tensor, angle: Tensor, size: Tensor) -> Tensor:
    """Lay a patch with its opacity over each image. Differentiable in everything but in the level of detail.

    Args:
        x: pixels [B, C, H, W] in [0, 1].
        rgba: patches [B, C + 1, S, S] in [0, 1], whose last channel is the opacity.
        row: [B], where the patch's middle comes to lie, as a share of the height: 0 is the upper edge, 1 the lower.
        column: [B], likewise of the width.
        angle: [B], radians by which the patch is turned clockwise.
        size: [B], side of the patch as a share of the image's shorter side; above 0. What lies outside the image is cut off.

    Returns:
        Pixels [B, C, H, W] in [0, 1]. Patches drawn larger than they are pasted are averaged first, as a camera would.

    Raises:
        ValueError: patches that are not square, or don't have one channel more than the images, one for each.
    """
    batch, channels, height, width = x.shape
    if rgba.ndim != 4 or rgba.shape[:2] != (batch, channels + 1) or rgba.shape[2] != rgba.shape[3]:
        raise ValueError(f"rgba: [{batch}, {channels + 1}, S, S] for x {list(x.shape)}, not {list(rgba.shape)}")
    pixels = size * min(height, width)
    rows = (torch.arange(height, device=x.device, dtype=x.dtype) + 0.5 - row[:, None] * height) / (pixels[:, None] / 2)
    columns = (torch.arange(width, device=x.device, dtype=x.dtype) + 0.5 - column[:, None] * width) / (
        pixels[:, None] / 2
    )
    down, right = rows[:, :, None], columns[:, None, :]
    sine, cosine = torch.sin(angle)[:, None, None], torch.cos(angle)[:, None, None]
    grid = torch.stack([cosine * right + sine * down, cosine * down - sine * right], dim=-1)
    # Colors go weighed by their opacity: else those under clear pixels would show at the patch's rim.
    weighed = torch.cat([rgba[:, :-1] * rgba[:, -1:], rgba[:, -1:]], dim=1)
    seen = _sampled(weighed, grid, rgba.shape[-1] / pixels.detach())
    y = x * (1 - seen[:, -1:]) + seen[:, :-1]
    return y + (y.clamp(0, 1) - y).detach()  # only rounding is cut off, and no gradient with it


def _sampled(patch: Tensor, grid: Tensor, shrink: Tensor) -> Tensor:
    """Sample each patch [B, K, S, S] at its grid [B, H, W, 2], from a copy halved until it shrinks by less than 2 (a mipmap)."""
    halvings = torch.floor(torch.log2(shrink.clamp_min(1)))
    seen = patch.new_zeros(len(patch), patch.shape[1], *grid.shape[1:3])
    for level in sorted(set(halvings.tolist())):
        here = (halvings == level).nonzero()[:, 0]
        coarse = adaptive_avg_pool2d(patch[here], max(1, patch.shape[-1] >> int(level)))
        part = grid_sample(coarse, grid[here], mode="bilinear", padding_mode="zeros", align_corners=False)
        seen = seen.index_copy(0, here, part)
    return seen
