"""The nearest success so far, and the last search on the way to it: what attacks share that look for the nearest example.

Images are flat [B, D] and numbers per sample are columns [B, 1].
"""

import math

import torch
from torch import Tensor

from raygrid.attacks.planes import TINY
from raygrid.attacks.rows import rows, with_rows
from raygrid.attacks.spheres import SPHERES
from raygrid.constraints import Constraint
from raygrid.goals import Goal
from raygrid.oracle import Oracle

SEARCH_LOOKS = 5
"""Passes of `search_radius`: one at x, one at the nearest point so far, three secants."""
BEYOND = 0.05
"""Share of what is left of the bracket by which a secant aims beyond the boundary: on it, rounding decides who succeeds."""


class Closest:
    """For each of N samples the nearest point to x [N, ...] that was seen to succeed; x itself while there is none.

    Args:
        x: clean inputs.
        eps: what counts. Within a suite the search ends at a success within eps; elsewhere it is infinite, and nothing ends it.

    Attributes:
        z: the points, flat [N, D].
        distance: their distances [N, 1]; infinite while there is none.
    """

    def __init__(self, x: Tensor, eps: float = math.inf) -> None:
        self.clean, self.eps = x.flatten(1), eps
        self.z = self.clean.clone()
        self.distance = torch.full_like(self.z[:, :1], torch.inf)

    def offer(self, index: Tensor, z: Tensor, distance: Tensor, success: Tensor) -> None:
        """Take the points z [B, D] that succeeded [B] and are nearer [B, 1], for samples at the positions `index` [B]."""
        before, nearest = rows(self.z, index), rows(self.distance, index)
        nearer = success[:, None] & (distance < nearest)
        self.z = with_rows(self.z, index, torch.where(nearer, z, before))
        self.distance = with_rows(self.distance, index, torch.where(nearer, distance, nearest))

    def settle(self, oracle: Oracle, index: Tensor) -> None:
        """Let the oracle spend nothing more on samples, of those at the positions `index`, whose point lies within eps."""
        if math.isfinite(self.eps):
            oracle.retire(index, rows(self.distance, index).squeeze(1) <= self.eps)

    def report(self, oracle: Oracle) -> Tensor:
        """Tell the oracle which samples are broken and return the points [N, D]; x itself where none lies within eps."""
        found = self.distance.isfinite() & (self.distance <= self.eps)
        oracle.broken[found.squeeze(1).cpu().numpy()] = True
        return torch.where(found, self.z, self.clean)


def search_radius(
    oracle: Oracle, goal: Goal, x: Tensor, constraint: Constraint, closest: Closest, kappa: float = 0.0
) -> None:
    """Draw the points found towards x as far as they go on succeeding: the final search of FAB (Croce & Hein, ICML 2020).

    The point at radius r is the nearest one, within r of x, to the point found. Secants of the margin over r look for where it
    is -kappa.
    """
    sphere = SPHERES[constraint.norm]
    clean, found, far = x.flatten(1), closest.z.clone(), closest.distance.clone()
    # Where the margin changes its sign: (radius as a share of the distance found, margin there) on either side.
    near_side, far_side = (torch.full_like(far, end).repeat(1, 2) for end in (0.0, 1.0))
    for k, on in enumerate(oracle.rounds(SEARCH_LOOKS, gradients=0)):
        on = on[far[on, 0].isfinite()]
        if not len(on):
            return
        origin, near, beyond = rows(clean, on), rows(near_side, on), rows(far_side, on)
        r_near, m_near = near[:, :1], near[:, 1:]
        r_beyond, m_beyond = beyond[:, :1], beyond[:, 1:]
        zero = (m_near / (m_near - m_beyond).clamp_min(TINY)).clamp_max(1)
        r = r_near + (r_beyond - r_near) * (zero + BEYOND * (1 - zero)) if k >= 2 else torch.full_like(zero, k)
        here = sphere.nearest(rows(found, on) - origin, r * rows(far, on), origin, constraint.box)
        margin, success = oracle.look(goal, here.view(-1, *x.shape[1:]), on, "margin")
        margin, success = margin + kappa, success & (margin <= -kappa)
        closest.offer(on, here, sphere.length(here - origin), success)
        seen = torch.cat([r, margin[:, None]], dim=1)
        near_side = with_rows(near_side, on, torch.where(success[:, None], near, seen))
        far_side = with_rows(far_side, on, torch.where(success[:, None], seen, beyond))
