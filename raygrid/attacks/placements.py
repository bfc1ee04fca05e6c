"""Where things that look or sound natural are put: a search by scores alone over which of a bank they are, and over numbers in
[0, 1] that say where, how large or how loud. What is put is the attack's business: `insect_search.py`, `natural_sounds.py`."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import softplus

from raygrid.goals import Goal
from raygrid.oracle import Oracle
from raygrid.randomness import Randomness

WIDE, NARROW = 0.2, 0.02
"""Standard deviations of a random walk's first and last step, as shares of the ranges."""
SWAP = 4
"""Every so many steps of a random walk try something else in the same places."""
CONFIRM = 4
"""Looks over which a placement must lead to take the place of the best: through a channel one is luck. Of the stop signs
below, 1 look fools 34 % of the views, 4 55 % and 8 49 %."""
SIGMA = 0.15
"""Standard deviation at which PGPE starts: that of the authors' code, 0.3 of a range from -1 to 1."""
LEAST_SIGMA, MOST_SIGMA = 0.01, 0.3
RATE_MU, RATE_SIGMA = 0.5, 0.1
"""PGPE's learning rates. The authors' 0.001 is for 100,000 steps on batches; these are for hundreds on a sample alone. Of 20 stop
signs (area 0.2, target 50 km/h, unseen views) 0.5 fools 52 % of the views, 1 51 % and 2 33 %."""
MEMORY = 0.9
"""Weight of the past in the mean loss that PGPE compares a pair with."""


Search = Literal["random", "pgpe"]


@dataclass(frozen=True)
class Placed:
    """What is put on each of B samples."""

    which: Tensor
    """[B, ...], numbers in the bank."""
    at: Tensor
    """[B, D] in [0, 1]: shares of the ranges of what is searched."""
    round: int | None = None
    """Which of the D goes round, as an angle does."""

    def rows(self, index: Tensor) -> "Placed":
        """Return those of the samples at the positions `index`, or where it is true."""
        return replace(self, which=self.which[index], at=self.at[index])

    def moved(self, step: Tensor) -> "Placed":
        """Return them a step [B, D] away, inside their ranges; what goes round does."""
        there = self.at + step
        at = there.clamp(0, 1)
        if self.round is not None:
            at[:, self.round] = there[:, self.round].remainder(1)
        return replace(self, at=at)

    def where(self, true: Tensor, other: "Placed") -> "Placed":
        """Return these where something is true [B], and others elsewhere."""
        which = torch.where(true.view(-1, *[1] * (self.which.ndim - 1)), self.which, other.which)
        return replace(self, which=which, at=torch.where(true[:, None], self.at, other.at))


def search_placements(
    oracle: Oracle,
    goal: Goal,
    x: Tensor,
    randomness: Randomness,
    placed: Callable[[Tensor], Placed],
    numbers: int,
    put: Callable[[Placed, Tensor], Tensor],
    *,
    queries: int,
    explore: float,
    search: Search,
) -> Tensor:
    """Try anything anywhere at first, then better placements of the best. Each step looks at two candidates through the same draw
    of the channel, so that the luck of a draw decides nothing.

    Args:
        oracle: the victim, with score access, seen through the channel.
        goal: what to reach.
        x: clean inputs [N, ...].
        randomness: the samples' streams.
        placed: uniform numbers [B, `numbers`] -> anything anywhere.
        numbers: how many.
        put: (placements, positions [B] of their samples) -> the samples with what is put on them.
        queries: looks, at most.
        explore: share of the steps that try anything anywhere.
        search: `random`: Gaussian steps that shorten, each kept if it is better. `pgpe`: with its reward -softplus(loss), and the
            rewards of a pair normalized as in the authors' code; the mean loss it is compared with is a running one (ours).

    Returns:
        [N, ...]: the samples with what does best, or the first seen to succeed where that ends the search.
    """
    n, steps = len(x), (queries - 1) // 2
    exploring = round(explore * steps)
    everyone = torch.arange(n, device=x.device)
    anywhere = randomness.uniform("anywhere", everyone, x.new_empty(n, steps + 1, numbers))
    attacked = oracle.active(queries=1)
    start = placed(anywhere[:, 0])
    dimensions = start.at.shape[1]
    moves = randomness.normal("moves", everyone, x.new_empty(n, steps, dimensions))
    race, walk = Race(start), PGPE(n, dimensions, x)
    seen = Race(replace(start, which=start.which.clone(), at=start.at.clone()))
    fell = torch.zeros(n, dtype=torch.bool, device=x.device)
    for k, on in enumerate(oracle.rounds(steps, queries=2, gradients=0)):
        following = search == "pgpe" and k >= exploring
        best, other, move = race.best.rows(on), placed(anywhere[on, k + 1]), moves[on, k]
        if following:
            e = walk.sigma[on] * move
            first, second = best.moved(e), best.moved(-e)
        else:
            if k >= exploring:
                width = WIDE * (NARROW / WIDE) ** ((k - exploring) / (steps - exploring))
                other = replace(other, at=best.at) if k % SWAP == 0 else best.moved(width * move)
            first, second = best, race.challenge(on, other)
        pairs = torch.cat([put(first, on), put(second, on)])
        loss, success = oracle.look(goal, pairs, torch.cat([on, on]))
        (a, b), (won_a, won_b) = loss.chunk(2), success.chunk(2)
        if following:
            race.put(on, best.moved(walk.step(on, e, a, b)))
        else:
            race.settle(on, a, b)
        won = won_a | won_b
        seen.put(on[won], first.where(won_a, second).rows(won))
        fell[on[won]] = True
        if oracle.retire(on, won) is not None:
            race.put(on[won], first.where(won_a, second).rows(won))
    for on in oracle.rounds(1, gradients=0):
        met = oracle.look(goal, put(race.best.rows(on), on), on).success
        oracle.retire(on, met)
        if oracle.channel is None and oracle.numbers is None:  # one look tells: what fell does so again
            back = on[~met & fell[on]]
            race.put(back, seen.best.rows(back))
    z = x.clone()
    z[attacked] = put(race.best.rows(attacked), attacked)
    return z


class Race:
    """The best placement of each of N samples so far, and the one that is being compared with it."""

    def __init__(self, start: Placed) -> None:
        self.best = start
        self.rival = replace(start, which=start.which.clone(), at=start.at.clone())
        self.lead = torch.zeros_like(start.at[:, 0])
        self.looks = torch.zeros(len(start.at), dtype=torch.long, device=start.at.device)

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

    def __init__(self, n: int, dimensions: int, like: Tensor) -> None:
        self.sigma = like.new_full((n, dimensions), SIGMA)
        self.usual = like.new_full((n,), math.nan)

    def step(self, on: Tensor, e: Tensor, first: Tensor, second: Tensor) -> Tensor:
        """Learn from losses [B] at mu + e and mu - e. Returns how far mu [B, D] is to go."""
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
