"""How alike two pictures look: PSNR, SSIM and MS-SSIM, sample by sample. `distances.py` has the Lp norms.

A color picture's value is the mean over its channels. No border is padded: windows lie inside the picture.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

WINDOW = 11
"""Pixels a side of the Gaussian window (Wang et al. 2004)."""
SIGMA = 1.5
"""Its standard deviation, pixels."""
C1, C2 = 0.01**2, 0.03**2
"""What keeps the quotients finite, for pixels in [0, 1]."""
SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Weights of the five scales, finest first (Wang et al. 2003)."""


class Similarity(NamedTuple):
    """SSIM and MS-SSIM [B] of pictures, at most 1; None where they are too small for it."""

    ssim: Tensor | None
    """Needs 11 pixels a side."""
    ms_ssim: Tensor | None
    """Needs 176 pixels a side: a window on the coarsest scale."""


def psnr(z: Tensor, x: Tensor) -> Tensor:
    """Return 10 log10(1 / mean squared error) [B] of pixels z [B, ...] in [0, 1] against x [B, ...], in dB and float64.

    Infinite where nothing differs.
    """
    return -10 * torch.log10((z.double() - x.double()).flatten(1).square().mean(1))


def similarity(z: Tensor, x: Tensor) -> Similarity:
    """Return how alike pictures z [B, C, H, W] and x [B, C, H, W] in [0, 1] look.

    SSIM (Wang et al., IEEE TIP 2004): the mean over all windows of luminance times contrast and structure. MS-SSIM (Wang et al.,
    Asilomar 2003): the contrast and structure of five scales, each half the last by 2x2 means, and the luminance of the coarsest,
    to the power of their weights; a negative factor counts as 0, as it has no such power.
    """
    factors: list[Tensor] = []
    ssim = None
    for scale, weight in enumerate(SCALE_WEIGHTS):
        if min(x.shape[2:]) < WINDOW:
            return Similarity(ssim, None)
        luminance, structure = _terms(z, x)
        both = (luminance * structure).mean((2, 3))
        ssim = both.mean(1) if scale == 0 else ssim
        coarsest = scale == len(SCALE_WEIGHTS) - 1
        factors.append((both if coarsest else structure.mean((2, 3))).clamp_min(0) ** weight)
        z, x = functional.avg_pool2d(z, 2), functional.avg_pool2d(x, 2)
    return Similarity(ssim, torch.stack(factors).prod(0).mean(1))


def _terms(z: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return luminance and contrast-structure [B, C, H - 10, W - 10] of every window.

    Written in the difference d = z - x, as 1 minus what is lost: (2 m_z m_x + C1) / (m_z^2 + m_x^2 + C1) = 1 - m_d^2 / (...), and
    likewise for variances. The textbook form takes small differences of large numbers, and float32 loses perturbations in them.
    """
    d = z - x
    m_x, m_d, xx, xd, dd = _means(torch.stack([x, d, x * x, x * d, d * d]))
    m_z, m_dd, m_xd, m_xx = m_x + m_d, m_d * m_d, m_x * m_d, m_x * m_x
    v_x, v_d, cov = (xx - m_xx).clamp_min(0), (dd - m_dd).clamp_min(0), xd - m_xd
    v_both = (2 * v_x + 2 * cov + v_d).clamp_min(0)  # variance of z plus variance of x
    return 1 - m_dd / (m_z * m_z + m_xx + C1), 1 - v_d / (v_both + C2)


def _means(maps: Tensor) -> Tensor:
    """Return the Gaussian means [..., H - 10, W - 10] of maps [..., H, W], over every window inside."""
    places = torch.arange(WINDOW, dtype=torch.float64) - WINDOW // 2
    weights = torch.exp(-(places**2) / (2 * SIGMA**2))
    weights = (weights / weights.sum()).to(maps)
    flat = maps.reshape(1, -1, *maps.shape[-2:])
    n = flat.shape[1]
    for shape in (
        (n, 1, WINDOW, 1),
        (n, 1, 1, WINDOW),
    ):  # a channel each: twenty times as fast on a CPU as a batch of them
        flat = functional.conv2d(flat, weights.expand(n, 1, 1, -1).reshape(shape), groups=n)
    return flat.reshape(*maps.shape[:-2], *flat.shape[-2:])
