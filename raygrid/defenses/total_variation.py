"""Total variation minimization: the smoothest picture near what is left of another (Guo et al., ICLR 2018)."""

import math

import torch
from torch import Tensor

from raygrid.defenses.catalog_preprocess import TotalVariation
from raygrid.defenses.defended import Defended
from raygrid.randomness import Draws
from raygrid.victims.victim import Victim

STEP = 1 / math.sqrt(8)
"""Primal and dual step: their product times the squared norm of the gradient operator, at most 8, may be 1 and no more."""

LAST = 20
"""Steps that a gradient goes back through, so that memory does not grow with their number. PGD broke 84 % of 50 digits of mnist-cnn
behind weight 0.1 at L-inf 0.15 so, 70 % by the gradient of all 100 steps, and 40 % by that of the identity."""


class LeastVariation(Defended):
    """A victim that sees the smoothest picture near what is left of a picture. Its gradient is that of the method's last steps."""

    def __init__(self, params: TotalVariation, victim: Victim) -> None:
        super().__init__(victim, random=params.draws_at_random())
        self.params = params

    def before(self, x: Tensor, draws: Draws) -> Tensor:
        """Return the smoothest pictures [B, C, H, W] near x."""
        if self.params.weight == 0:
            return x
        kept = torch.ones_like(x)
        if self.params.drop > 0:
            kept = (draws.uniform("drop", x, 1)[:, 0] >= self.params.drop).to(x)
        return smoothest(x, kept, self.params.weight, self.params.steps).clamp(0, 1)


def smoothest(x: Tensor, kept: Tensor, weight: float, steps: int) -> Tensor:
    """Return argmin_z 1/2 sum kept (z - x)^2 + weight TV(z), [B, C, H, W], each channel for itself.

    Guo et al. take the root of the sum of squares; this is the problem of Rudin, Osher & Fatemi (1992), of which some weight gives
    the same picture. The primal-dual method of Chambolle & Pock (2011).

    Args:
        x: pictures [B, C, H, W].
        kept: [B, C, H, W], 1 where a value of x counts, else 0.
        weight: of the isotropic total variation.
        steps: of the method.
    """
    z = kept * x.detach()
    ahead = z
    p = torch.zeros(2, *x.shape, dtype=x.dtype, device=x.device)
    for step in range(steps):
        data = kept * (x if step >= steps - LAST else x.detach())
        p = p + STEP * _gradient(ahead)
        p = p / (p.square().sum(0) / weight**2).clamp_min(1).sqrt()
        after = (z + STEP * _divergence(p) + STEP * data) / (1 + STEP * kept)
        ahead, z = 2 * after - z, after
    return z


def _gradient(z: Tensor) -> Tensor:
    """Differences [2, B, C, H, W] with the next row and column; 0 at the last."""
    g = torch.zeros(2, *z.shape, dtype=z.dtype, device=z.device)
    g[0, :, :, :-1] = z[:, :, 1:] - z[:, :, :-1]
    g[1, :, :, :, :-1] = z[..., 1:] - z[..., :-1]
    return g


def _divergence(p: Tensor) -> Tensor:
    """Minus the transpose of the gradient: [2, B, C, H, W] -> [B, C, H, W]."""
    d = torch.zeros_like(p[0])
    d[:, :, :-1] += p[0, :, :, :-1]
    d[:, :, 1:] -= p[0, :, :, :-1]
    d[..., :-1] += p[1, ..., :-1]
    d[..., 1:] -= p[1, ..., :-1]
    return d
