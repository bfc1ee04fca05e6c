"""Natural-looking patches: one of the drawn insects on each picture, and where it sits, at which angle and size."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import softplus

from raygrid.attacks.insects import BANK, CANVAS, insects
from raygrid.attacks.paste import paste
from raygrid.constraints import Constraint
from raygrid.goals import Goal
from raygrid.oracle import Oracle
from raygrid.randomness import Randomness

WIDE, NARROW = 0.2, 0.02
"""Standard deviations of a random walk's first and last step, as shares of the ranges of place, angle and size."""
SWAP = 4
"""Every so many steps of a random walk try another insect instead of another place."""
CONFIRM = 4
"""Looks over which a placement must lead to take the place of the best: through a channel one is luck. Of the same signs, 1 look
fools 34 % of the views, 4 55 % and 8 49 %."""
SIGMA = 0.15
"""Standard deviation at which PGPE starts: that of the authors' code, 0.3 of a range from -1 to 1."""
LEAST_SIGMA, MOST_SIGMA = 0.01, 0.3
RATE_MU, RATE_SIGMA = 0.5, 0.1
"""PGPE's learning rates. The authors' 0.001 is for 100,000 steps on batches; these are for hundreds on a sample alone. Of 20 stop
signs (area 0.2, target 50 km/h, unseen views) 0.5 fools 52 % of the views, 1 51 % and 2 33 %."""
MEMORY = 0.9
"""Weight of the past in the mean loss that PGPE compares a pair with."""


@dataclass(frozen=True)
class Placed:
    """One insect on each of B pictures."""

    which: Tensor
    """[B], number in the bank."""
    at: Tensor
    """[B, 4] in [0, 1]: down, right, angle and size, as shares of their ranges."""

    def rows(self, index: Tensor) -> "Placed":
        """Return those of the samples at the positions `index`, or where it is true."""
        return Placed(self.which[index], self.at[index])

    def moved(self, step: Tensor) -> "Placed":
        """Return them a step [B, 4] away, inside their ranges; angles go round."""
        down, right, angle, size = (self.at + step).unbind(1)
        at = torch.stack([down.clamp(0, 1), right.clamp(0, 1), angle.remainder(1), size.clamp(0, 1)], dim=1)
        return Placed(self.which, at)

    def where(self, true: Tensor, other: "Placed") -> "Placed":
        """Return these where something is true [B], and others elsewhere."""
        return Placed(torch.where(true, self.which, other.which), torch.where(true[:, None], self.at, other.at))


def insect_search(
    oracle: Oracle,
    goal: Goal,
    x: Tensor,
    constraint: Constraint,
    randomness: Randomness,
    *,
    area: float,
    least: float,
    queries: int,
    explore: float,
    search: Literal["random", "pgpe"],
    within: str,
) -> Tensor:
    """Paste an insect where it fools, after Yakura, Akimoto & Sakuma (AAAI 2020).

    Theirs trains a GAN whose moths fool the victim, and learns a placement for all by PGPE (Sehnke et al., Neural Networks 2010).
    Ours chooses among 24 drawings, and seeks a placement for each sample: any insect anywhere at first, then better placements of
    the best. Each step looks at two candidates through the same view of the channel, so that the luck of a view decides nothing.

    Args:
        oracle: the victim, with score access, seen through the channel.
        goal: what to reach.
        x: clean inputs [N, 3, H, W] in [0, 1].
        constraint: the box, and the mask that insects are cut to.
        randomness: the samples' streams.
        area: of the largest insect's square, as a share of the picture's.
        least: of the smallest one's, as a share of that.
        queries: looks, at most.
        explore: share of the steps that try any insect anywhere.
        search: `random`: Gaussian steps that shorten, each kept if it is better. `pgpe`: with its reward -softplus(loss), and the
            rewards of a pair normalized as in the authors' code; the mean loss it is compared with is a running one (ours).
        within: made `constraint.mask`.

    Returns:
        [N, 3, H, W]: the pictures with their best insect, or the first seen to succeed where that ends the search.
    """
    n, steps = len(x), (queries - 1) // 2
    exploring = round(explore * steps)
    everyone = torch.arange(n, device=x.device)
    pasted = _paster(x, constraint, area, least)
    anywhere = randomness.uniform("anywhere", everyone, x.new_empty(n, steps + 1, 5))
    moves = randomness.normal("moves", everyone, x.new_empty(n, steps, 4))
    attacked = oracle.active(queries=1)
    race, walk = Race(_placed(anywhere[:, 0])), PGPE(n, x)
    for k, on in enumerate(oracle.rounds(steps, queries=2, gradients=0)):
        following = search == "pgpe" and k >= exploring
        best, other, move = race.best.rows(on), _placed(anywhere[on, k + 1]), moves[on, k]
        if following:
            e = walk.sigma[on] * move
            first, second = best.moved(e), best.moved(-e)
        else:
            if k >= exploring:
                width = WIDE * (NARROW / WIDE) ** ((k - exploring) / (steps - exploring))
                other = Placed(other.which, best.at) if k % SWAP == 0 else best.moved(width * move)
            first, second = best, race.challenge(on, other)
        pairs = torch.cat([pasted(first, on), pasted(second, on)])
        loss, success = oracle.look(goal, pairs, torch.cat([on, on]))
        (a, b), (won_a, won_b) = loss.chunk(2), success.chunk(2)
        if following:
            race.put(on, best.moved(walk.step(on, e, a, b)))
        else:
            race.settle(on, a, b)
        going = oracle.retire(on, won_a | won_b)
        if going is not None:
            race.put(on[~going], first.where(won_a, second).rows(~going))
    for on in oracle.rounds(1, gradients=0):
        oracle.retire(on, oracle.look(goal, pasted(race.best.rows(on), on), on).success)
    z = x.clone()
    z[attacked] = pasted(race.best.rows(attacked), attacked)
    return z


class Race:
    """The best placement of each of N samples so far, and the one that is being compared with it."""

    def __init__(self, start: Placed) -> None:
        self.best = start
        self.rival = Placed(start.which.clone(), start.at.clone())
        self.lead = torch.zeros_like(start.at[:, 0])
        self.looks = torch.zeros_like(start.which)

    def put(self, on: Tensor, placed: Placed) -> None:
        """Take these for the best."""
        self.best.which[on], self.best.at[on] = placed.which, placed.at

    def challenge(self, on: Tensor, other: Placed) -> Placed:
        """Return the rivals of the best at positions `on`: those that have not lost yet, else others."""
        rival = self.rival.rows(on).where(self.looks[on] > 0, other)
        self.rival.which[on], self.rival.at[on] = rival.which, rival.at
        return rival

    def settle(self, on: Tensor, best: Tensor, rival: Tensor) -> None:
        """Compare by the losses [B] of a look at both; a rival that leads over enough looks takes the place of the best."""
        lead, looks = self.lead[on] + best - rival, self.looks[on] + 1
        lost, won = lead <= 0, (lead > 0) & (looks >= CONFIRM)
        self.put(on[won], self.rival.rows(on[won]))
        self.lead[on], self.looks[on] = lead.masked_fill(lost | won, 0.0), looks.masked_fill(lost | won, 0)


class PGPE:
    """Parameter-exploring policy gradients: how widely each of N samples' placements are drawn, and where their means go."""

    def __init__(self, n: int, like: Tensor) -> None:
        self.sigma = like.new_full((n, 4), SIGMA)
        self.usual = like.new_full((n,), math.nan)

    def step(self, on: Tensor, e: Tensor, first: Tensor, second: Tensor) -> Tensor:
        """Learn from losses [B] at mu + e and mu - e. Returns how far mu [B, 4] is to go."""
        plus, minus = softplus(first), softplus(second)
        pair = (plus + minus) / 2
        usual = torch.where(self.usual[on].isnan(), pair, self.usual[on])
        towards = (minus - plus) / (plus + minus).clamp_min(1e-12)
        wider = (usual - pair) / usual.clamp_min(1e-12)
        sigma = self.sigma[on]
        widened = sigma + RATE_SIGMA * (e.square() - sigma.square()) / sigma * wider[:, None]
        self.sigma[on] = widened.clamp(LEAST_SIGMA, MOST_SIGMA)
        self.usual[on] = MEMORY * usual + (1 - MEMORY) * pair
        return RATE_MU * towards[:, None] * e


def _placed(numbers: Tensor) -> Placed:
    """Return any insect anywhere, by uniform numbers [B, 5]."""
    return Placed((numbers[:, 0] * len(BANK)).long(), numbers[:, 1:].clone())


def _paster(x: Tensor, constraint: Constraint, area: float, least: float) -> Callable[[Placed, Tensor], Tensor]:
    """Return what pastes insects on the samples at some positions, inside their masks."""
    height, width = x.shape[-2:]
    largest = math.sqrt(area * height * width)
    bank = insects(min(CANVAS, math.ceil(largest))).to(x)
    everywhere = torch.ones_like(x[:, :1], dtype=torch.bool) if constraint.mask is None else constraint.mask
    top, bottom = _ends(everywhere[:, 0].any(2))
    left, right = _ends(everywhere[:, 0].any(1))

    def pasted(placed: Placed, index: Tensor) -> Tensor:
        down, across, angle, size = placed.at.unbind(1)
        side = largest * (least + (1 - least) * size).sqrt() / min(height, width)
        row, column = top[index].lerp(bottom[index], down), left[index].lerp(right[index], across)
        z = paste(x[index], bank[placed.which], row, column, 2 * math.pi * angle, side)
        return constraint.at(index).paint(z, x[index])

    return pasted


def _ends(true: Tensor) -> tuple[Tensor, Tensor]:
    """Return where the first and the last true of each row [N, L] lie, as shares of L."""
    length = true.shape[1]
    first = true.long().argmax(1)
    last = length - true.flip(1).long().argmax(1)
    return first / length, last / length
