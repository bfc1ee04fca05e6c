"""How far an example is from its clean input: what the judge measures of every example, as crafted and as stored."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from raygrid.metrics.perceptual import psnr, similarity

Learned = Callable[[Tensor, Tensor], Tensor | None]
"""Distance [B] of pictures from others [B, C, H, W], as lpips.Lpips; None where it is not defined for such pictures."""

CPU_VALUES = 2 * 3 * 224 * 224
"""Input values measured at a time on a CPU: two photos, whose maps stay in its cache. 32 at once take twice as long."""


@dataclass(frozen=True)
class Distances:
    """Of one example, in input units. A perceptual measure is None where it is not defined: nothing changed, values that are not
    finite, a picture too small."""

    linf: float
    l2: float
    l1: float
    l0: float
    """Number of input values that changed."""
    snr_db: float | None
    """10 log10 of the clean input's power over the perturbation's; None where nothing changed, or the clean input is black."""
    psnr_db: float | None
    """10 log10 of 1 over the mean squared perturbation; None where nothing changed."""
    ssim: float | None
    """Structural similarity, at most 1 (nothing changed); None below 11 pixels a side."""
    ms_ssim: float | None
    """Multi-scale structural similarity, in [0, 1]; None below 176 pixels a side."""
    lpips: float | None
    """Learned perceptual distance, 0 where nothing changed; None where nobody asked, in gray, and below 64 pixels a side."""


def measure(z: Tensor, x: Tensor, lpips: Learned | None = None) -> list[Distances]:
    """Return the distances of examples z from clean inputs x, pictures [B, C, H, W] in [0, 1] or sound [B, T] in [-1, 1]: Lp and
    SNR in float64, those of pictures alone in float32; with LPIPS where it is given."""
    if not len(x):
        return []
    at_once = max(1, CPU_VALUES // x[0].numel()) if x.device.type == "cpu" else len(x)
    parts = zip(torch.split(z, at_once), torch.split(x, at_once), strict=True)
    with torch.no_grad():
        return [found for part in parts for found in _measure(*part, lpips)]


def _measure(z: Tensor, x: Tensor, lpips: Learned | None) -> list[Distances]:
    delta = (z.double() - x.double()).flatten(1)
    size = delta.abs()
    power, noise = x.double().flatten(1).square().sum(1), delta.square().sum(1)
    pictures = x.dim() == 4
    ssim, ms_ssim = similarity(z.float(), x.float()) if pictures else (None, None)
    columns = (
        size.amax(1).tolist(),
        noise.sqrt().tolist(),
        size.sum(1).tolist(),
        torch.count_nonzero(delta, 1).double().tolist(),
        _defined(10 * torch.log10(power / noise), len(x)),
        _defined(psnr(z, x) if pictures else None, len(x)),
        _defined(ssim, len(x)),
        _defined(ms_ssim, len(x)),
        _defined(lpips(z.float(), x.float()) if lpips and pictures else None, len(x)),
    )
    return [Distances(*row) for row in zip(*columns, strict=True)]


def _defined(values: Tensor | None, samples: int) -> list[float | None]:
    if values is None:
        return [None] * samples
    return [value if math.isfinite(value) else None for value in values.tolist()]
