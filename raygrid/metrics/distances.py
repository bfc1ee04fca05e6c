"""How far an example is from its clean input: what the judge measures of every example, as crafted and as stored."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from raygrid.metrics.perceptual import psnr, similarity


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


def measure(z: Tensor, x: Tensor) -> list[Distances]:
    """Return the distances of examples z [B, C, H, W] from clean inputs x [B, C, H, W] in [0, 1]: Lp in float64, (MS-)SSIM in
    float32."""
    delta = (z.double() - x.double()).flatten(1)
    power, noise = x.double().flatten(1).square().sum(1), delta.square().sum(1)
    ssim, ms_ssim = similarity(z.float(), x.float()) if len(x) else (None, None)
    columns = (
        delta.abs().amax(1).tolist() if len(x) else [],
        noise.sqrt().tolist(),
        delta.abs().sum(1).tolist(),
        (delta != 0).sum(1).double().tolist(),
        _defined(10 * torch.log10(power / noise)),
        _defined(psnr(z, x)),
        _defined(ssim, len(x)),
        _defined(ms_ssim, len(x)),
    )
    return [Distances(*row) for row in zip(*columns, strict=True)]


def _defined(values: Tensor | None, samples: int = 0) -> list[float | None]:
    if values is None:
        return [None] * samples
    return [value if math.isfinite(value) else None for value in values.tolist()]
