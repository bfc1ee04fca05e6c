"""Attacks that follow the scores of single points: SimBA, one basis vector at a time, and NES, by an estimated gradient."""

import math

import torch
from torch import Tensor

from raygrid.attacks.best import Best
from raygrid.attacks.dct import cosines
from raygrid.attacks.rows import rows, with_rows
from raygrid.constraints import Constraint
from raygrid.goals import Goal, LossName
from raygrid.oracle import Oracle
from raygrid.randomness import Randomness

BANDS = 8
"""SimBA-DCT takes the frequencies in so many bands, the lowest eighth a side first (the paper keeps to that one on ImageNet)."""
POINTS = 1 << 24
"""Values of NES points that are held at once, 64 MB: with all samples at a time, 32 photos would take gigabytes."""
LEAST_STEP = 3
"""Queries of the shortest NES step: one pair, and a look at where it led."""
STEPS_ACROSS = 5
"""A SimBA step in L2 is this part of eps long by default: 25 accepted steps reach the surface of the ball."""

STEPS_UP = 4
"""For L-inf a cosine is added such that its crest is this part of eps high (digits, eps 0.1, 2,000 queries: of 32, 8 break; with
a crest of eps, where one step already fills the ball, 5)."""


def simba(
    oracle: Oracle,
    goal: Goal,
    x: Tensor,
    constraint: Constraint,
    randomness: Randomness,
    *,
    queries: int,
    basis: str,
    step_size: float | None,
) -> Tensor:
    """Simple black-box attack (Guo et al., ICML 2019): step along a random basis vector, or back along it, if that lowers the loss.

    The paper's attack knows no eps: it walks until it succeeds. Ours stays in the ball: each candidate is brought to the nearest
    point of ball and box before it is tried. As long as the walk is inside, that is the paper's attack; at the surface of the L2
    ball a step turns the perturbation, and in the L-inf ball it is cut at +-eps, as in the authors' L-inf variant. Vectors are
    taken without replacement, in a new order once all had their turn. The loss falls with the log probability of the class that
    the paper looks at, and tells apart what float32 probabilities round to 1.

    Args:
        oracle: the victim, with score access.
        goal: what to reach.
        x: clean inputs [N, C, H, W] in [0, 1].
        constraint: L-inf or L2 ball, and box.
        randomness: the samples' streams.
        queries: looks at the victim, the first one at x.
        basis: `pixel`, one value at a time, or `dct`, one cosine pattern of one channel at a time, low frequencies first.
        step_size: L2 length of a step; None: a fifth of eps for L2, and for L-inf eps on a pixel and eps / 4 at a cosine's crest.

    Returns:
        Candidates [N, C, H, W] inside the constraint: a point seen to succeed, else the one of lowest loss.
    """
    vectors = _Basis(basis, x)
    ε = vectors.reach(constraint) if step_size is None else step_size
    best = Best(x)
    turn, back = torch.zeros(len(x), dtype=torch.long, device=x.device), torch.zeros_like(best.success)
    order = torch.zeros(len(x), vectors.count, dtype=torch.long, device=x.device)
    for step, active in enumerate(oracle.rounds(queries, gradients=0)):
        clean, here = rows(x, active), rows(best.x, active)
        if step:
            k = turn[active]
            fresh = (k % vectors.count == 0) & ~back[active]
            for epoch in sorted(set((k[fresh] // vectors.count).tolist())):
                who = active[fresh & (k // vectors.count == epoch)]
                order[who] = vectors.order(randomness, f"order/{epoch}", who)
            q = vectors.at(order[active, k % vectors.count])
            q = q * torch.where(back[active], -ε, ε).view(-1, 1, 1, 1)
            z = constraint.project(here + q, clean)
        else:
            z = here
        value, success = oracle.look(goal, z, active, "ce")
        oracle.retire(active, success)
        taken = best.keep_better(active, z, value, success)
        if step:
            done = taken | back[active]
            turn[active] += done
            back[active] = ~done
    return best.x


class _Basis:
    """Orthonormal vectors of images like x [N, C, H, W], numbered 0..count-1."""

    def __init__(self, name: str, x: Tensor) -> None:
        self.channels, self.height, self.width = x.shape[1:]
        self.count = self.channels * self.height * self.width
        self.like = x
        self.name = name
        if name == "dct":
            self._rows, self._columns = cosines(self.height, x), cosines(self.width, x)

    def at(self, number: Tensor) -> Tensor:
        """Return the vectors [B, C, H, W] of these numbers [B]."""
        if self.name == "pixel":
            flat = self.like.new_zeros(len(number), self.count)
            return flat.scatter_(1, number[:, None], 1.0).view(-1, *self.like.shape[1:])
        channel, i, j = self._split(number)
        pattern = self._rows[i][:, :, None] * self._columns[j][:, None, :]
        vectors = self.like.new_zeros(len(number), *self.like.shape[1:])
        vectors[torch.arange(len(number), device=number.device), channel] = pattern
        return vectors

    def order(self, randomness: Randomness, purpose: str, index: Tensor) -> Tensor:
        """Return the numbers in the order [B, count] in which these samples take them."""
        key = randomness.uniform(purpose, index, self.like.new_empty(len(index), self.count))
        if self.name == "dct":
            _, i, j = self._split(torch.arange(self.count, device=self.like.device))
            key = key + torch.maximum(i * BANDS // self.height, j * BANDS // self.width)
        return key.argsort(1)

    def reach(self, constraint: Constraint) -> float:
        """Return the default length of a step."""
        if constraint.norm == "l2":
            return constraint.eps / STEPS_ACROSS
        return constraint.eps * (math.sqrt(self.height * self.width) / 2 / STEPS_UP if self.name == "dct" else 1.0)

    def _split(self, number: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        size = self.height * self.width
        return number // size, number % size // self.width, number % self.width


def nes(
    oracle: Oracle,
    goal: Goal,
    x: Tensor,
    constraint: Constraint,
    randomness: Randomness,
    *,
    queries: int,
    samples: int,
    sigma: float,
    step_size: float | None,
    momentum: float,
    loss: LossName,
) -> Tensor:
    """NES (Ilyas et al., ICML 2018): projected gradient descent on a gradient estimated from antithetic Gaussian pairs.

    The gradient at z is the mean over pairs of u (L(z + σ u) - L(z - σ u)) / 2 σ. Here the points of a pair are brought to the
    nearest points of ball and box first: a victim takes no others, and each may itself be the example that is looked for. After
    a step, one look tells whether it succeeded; the paper leaves that one out of its count.

    Args:
        oracle: the victim, with score access.
        goal: what to reach.
        x: clean inputs [N, C, H, W] in [0, 1].
        constraint: L-inf or L2 ball, and box.
        randomness: the samples' streams.
        queries: looks at the victim in all. Steps of `samples` + 1; the last one has fewer pairs.
        samples: points for one estimate, half of them mirrored.
        sigma: σ, how far they are from the iterate, in standard deviations of each value.
        step_size: in input units; None: eps / 5.
        momentum: share of the direction so far that a step keeps.
        loss: `ce` or `margin`.

    Returns:
        Candidates [N, C, H, W] inside the constraint: a point seen to succeed, else the iterate of lowest loss.
    """
    α = constraint.eps / 5 if step_size is None else step_size
    best, z, g = Best(x), x.clone(), torch.zeros_like(x)
    standing = oracle.active(queries=LEAST_STEP)
    left = min(queries, int(oracle.remaining(standing).max())) if len(standing) else 0
    for step in range(left):
        pairs = min(samples, left - 1) // 2
        active = oracle.active(queries=2 * pairs + 1)
        if pairs < 1 or not len(active):
            break
        left -= 2 * pairs + 1
        clean, here = rows(x, active), rows(z, active)
        estimates, hits, at_once = [], [], max(1, POINTS // (2 * pairs * x[0].numel()))
        for part in torch.split(torch.arange(len(active), device=x.device), at_once):
            who, origin, many = active[part], clean[part], active[part].repeat_interleave(2 * pairs)
            u = randomness.normal(f"directions/{step}", who, x.new_empty(len(who), pairs, *x.shape[1:]))
            around = here[part, None] + sigma * torch.cat([u, -u], dim=1)
            points = constraint.project(around.flatten(0, 1), origin.repeat_interleave(2 * pairs, 0)).view_as(around)
            value, success = (seen.view(len(who), -1) for seen in oracle.look(goal, points.flatten(0, 1), many, loss))
            slope = (value[:, :pairs] - value[:, pairs:]) / (2 * sigma * pairs)
            estimates.append((slope[:, None] @ u.flatten(2)).view_as(origin))
            hits.append(success.any(1))
            first = (torch.arange(len(who), device=x.device), success.byte().argmax(1))
            best.keep_successes(who, points[first], value[first], hits[-1])
        g_new = momentum * rows(g, active) + (1 - momentum) * torch.cat(estimates)
        g = with_rows(g, active, g_new)
        here = constraint.project(constraint.descend(here, g_new, α), clean)
        z = with_rows(z, active, here)
        on = oracle.retire(active, torch.cat(hits))
        if on is not None:
            active, here = active[on], here[on]
        if len(active):
            value, success = oracle.look(goal, here, active, loss)
            oracle.retire(active, success)
            best.keep_better(active, here, value, success)
    return best.x
