"""How a search through many rooms spends its looks, and how noise grows with its success (Yakura & Sakuma, IJCAI 2019).

Pure functions of a sample's state and its random numbers; the search itself is elsewhere.
"""

from typing import NamedTuple

import torch
from torch import Tensor


class Curriculum(NamedTuple):
    """Noise that grows each time more than half of a sample's looks met the goal."""

    full: float = 0.5
    """Standard deviation that it tends to, in [-1, 1]: 2^14 of 16 bits in the paper's code."""
    ratio: float = 0.99
    """What is left of the way to it after each success."""

    def std(self, successes: Tensor) -> Tensor:
        """Return the standard deviations [B] of the noise after so many successes [B]: full (1 - ratio^k), none at first."""
        return self.full * (1 - self.ratio ** successes.to(torch.get_default_dtype()))

    def after(self, successes: Tensor, met: Tensor) -> Tensor:
        """Return the successes [B] after looks of which some met the goal, met [B, K] bool."""
        return successes + (2 * met.sum(1) > met.shape[1]).to(successes)


def unseen(samples: int, rooms: int) -> Tensor:
    """Return the losses [samples, rooms] of a search that has looked at nothing yet: infinite."""
    return torch.full((samples, rooms), torch.inf)


def choose_rooms(last: Tensor, u: Tensor, order: Tensor) -> Tensor:
    """Choose the rooms of the next look at each sample: all rooms once, then hard ones more often.

    A sample's rooms that it has not seen come first, in its own order. The rest are drawn with replacement, each with a
    probability proportional to the loss that was last seen in it; uniformly where all of these are 0 or none was seen. (The
    paper's code starts all losses at 1e10, which shows nearly every room once before any comes twice.)

    Args:
        last: the loss last seen in each room [B, R], not negative. Infinite where it was not seen, or where the clip is too
            short for the goal, which no room mends.
        u: numbers in [0, 1) [B, K], fresh for each look.
        order: numbers [B, R], drawn once a sample: its unseen rooms come in their ascending order.

    Returns:
        Rooms [B, K]. Each sample's depend on its own row alone.

    Raises:
        ValueError: a loss is negative or NaN.
    """
    if not bool((last >= 0).all()):
        raise ValueError("rooms are chosen by losses that are not negative, nor NaN")
    looks, rooms = u.shape[1], last.shape[1]
    new = last.isinf()
    first = torch.where(new, order, torch.inf).argsort(dim=1, stable=True)[:, :looks]
    weights = torch.where(new, 0, last).double()
    total = weights.sum(1, keepdim=True)
    weights = torch.where(total > 0, weights / torch.where(total > 0, total, 1), 1 / rooms)
    drawn = torch.searchsorted(weights.cumsum(1), u.double(), right=True).clamp_max(rooms - 1)
    # A room of weight 0 at the end is not what rounding in the sum should lead to.
    last_possible = (weights > 0).to(torch.long).mul(torch.arange(rooms, device=last.device)).amax(1, keepdim=True)
    drawn = torch.minimum(drawn, last_possible)
    some = first.shape[1]
    still_new = torch.arange(some, device=last.device) < new.sum(1, keepdim=True)
    drawn[:, :some] = torch.where(still_new, first, drawn[:, :some])
    return drawn


def note_losses(last: Tensor, rooms: Tensor, losses: Tensor) -> Tensor:
    """Return the losses last seen [B, R] after a look in rooms [B, K] that cost losses [B, K]; of a room that came twice, the
    later one counts."""
    noted = last.clone()
    for k in range(rooms.shape[1]):  # one by one: a scatter leaves open which of two values for one place remains
        noted.scatter_(1, rooms[:, k : k + 1], losses[:, k : k + 1].to(noted))
    return noted
