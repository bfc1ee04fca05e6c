"""Attacks that are told no more than whether a point succeeds: what they share, and HopSkipJump. SurFree stands in `surfree.py`.

They start from a success, one that the oracle offers or one anywhere in the box, and walk along the boundary towards x. Inside,
images are flat [B, D], numbers per sample are columns [B, 1], and `who` [B] counts the samples under attack, 0..A-1, not the
oracle's.
"""

import math

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from raygrid.attacks.closest import Closest
from raygrid.attacks.spheres import SPHERES
from raygrid.constraints import Constraint
from raygrid.goals import Goal
from raygrid.oracle import Oracle
from raygrid.randomness import Randomness
from raygrid.sample_errors import NoStartError

GRIDS = (4, 2, 3, 7)
"""Cells a side of the coarse random pictures among the starting points. Pixel noise alone won't do: of 1,000 such pictures all are
an 8 to the plain MNIST CNN, so that no 8 found a start; coarse ones fall into every class."""
FIRST_PROBE = 0.1
"""δ of the first estimate, as a share of the box's width (HopSkipJump, section IV)."""
MOST_DIRECTIONS = 10_000
"""The paper's limit for one estimate."""
LEAST_DIRECTIONS = 8
"""An estimate from fewer is not worth the queries of the step after it."""
HALVINGS = 20
"""Step lengths that are tried before a direction is given up; the paper goes on forever."""
MOST_BISECTIONS = 20
"""A millionth of the way: beyond, float32 tells the points no longer apart. The paper's tolerance for photos is finer."""
CLEAR = 1e-3
"""The example returned is, if it succeeds, this share farther from x than the nearest success: that one is so close to the boundary
that rounding in a batch of another size could undo it."""
BLOCK = 1 << 20
"""Values of a sample's directions that are held at once: 4 MB."""
SHORT = 1e-5
"""Share of eps by which an example that goes as far as eps allows stays below it: float32 rounding of x + delta."""
TINY = 1e-30


def hop_skip_jump(
    oracle: Oracle,
    goal: Goal,
    x: Tensor,
    constraint: Constraint,
    randomness: Randomness,
    *,
    queries: int,
    start_tries: int,
    directions: int,
) -> Tensor:
    """HopSkipJump (Chen, Jordan & Wainwright, S&P 2020): estimate the boundary's normal, step along it, search back to it.

    The t-th estimate asks at `directions` * sqrt(t) points around the boundary point; the step is as long as the distance to x
    over sqrt(t), halved until it succeeds.

    Args:
        oracle: the victim, with decision access.
        goal: what to reach.
        x: clean inputs [N, C, H, W] in [0, 1].
        constraint: L-inf or L2, and the box; of any radius.
        randomness: the samples' streams.
        queries: decisions for each sample at most, those for the start included.
        start_tries: random points tried as a start, after what the oracle offers.
        directions: points of the first estimate.

    Returns:
        [N, C, H, W]: for each sample the nearest point seen to succeed.

    Raises:
        NoStartError: none of the starts met the goal, for the samples it names.
    """
    walk = Walk(oracle, goal, x, constraint, queries)
    z = walk.start(randomness, start_tries)
    z = walk.towards_x(z, torch.arange(len(z), device=x.device))
    reserve = 1 + walk.bisections
    for t in range(1, queries + 1):
        who = torch.nonzero(walk.left >= reserve + LEAST_DIRECTIONS).squeeze(1)
        if not len(who):
            break
        here = z[who]
        d = walk.distance(here, who)
        δ = torch.full_like(d, FIRST_PROBE * (constraint.high - constraint.low)) if t == 1 else d / here.shape[1]
        most = min(round(directions * math.sqrt(t)), MOST_DIRECTIONS)
        v = _normal(walk, randomness, t, here, δ, who, (walk.left[who] - reserve).clamp_max(most), most)
        v = v.sign() if constraint.norm == "linf" else v / v.norm(dim=1, keepdim=True).clamp_min(TINY)

        ξ = d / math.sqrt(t)
        far, trying = here.clone(), torch.arange(len(who), device=x.device)
        for _ in range(HALVINGS):
            point = (here[trying] + ξ[trying] * v[trying]).clamp(*constraint.box)
            success = walk.ask(point[:, None], who[trying]).squeeze(1)
            far[trying[success]] = point[success]
            trying = trying[~success & (walk.left[who[trying]] > 0)]
            if not len(trying):
                break
            ξ[trying] /= 2
        stepped = (far != here).any(1)
        z[who[stepped]] = walk.towards_x(far[stepped], who[stepped])
    return walk.report()


def _normal(
    walk: "Walk", randomness: Randomness, t: int, z: Tensor, δ: Tensor, who: Tensor, counts: Tensor, most: int
) -> Tensor:
    """Estimate the direction [B, D] in which success lies at z [B, D]: the mean of (φ - mean φ) u over unit vectors u.

    φ is 1 where z + δ u succeeds and -1 where it fails; where all agree, the mean of φ u.
    """
    b, size = z.shape
    draw = randomness.uniform if walk.constraint.norm == "linf" else randomness.normal
    total_φ, total_u, total_φu = z.new_zeros(b, 1), torch.zeros_like(z), torch.zeros_like(z)
    at_once = max(1, BLOCK // size)
    for first in range(0, most, at_once):
        k = min(at_once, most - first)
        u = draw(f"directions/{t}/{first}", walk.index[who], z.new_empty(b, k, size))
        if walk.constraint.norm == "linf":
            u = u.mul_(2).sub_(1)
        u *= (δ / u.norm(dim=2).clamp_min(TINY))[:, :, None]
        points = u.add_(z[:, None]).clamp_(*walk.constraint.box)
        counted = torch.arange(first, first + k, device=z.device) < counts[:, None]
        success = walk.ask(points, who, counted)
        u = points.sub_(z[:, None])  # what the box left of it
        weights = torch.stack([torch.where(success, 1.0, -1.0) * counted, counted.to(z)], dim=1)
        of_φ, of_one = (weights.to(z) @ u).unbind(1)
        total_φ, total_u, total_φu = total_φ + weights[:, 0].sum(1, keepdim=True), total_u + of_one, total_φu + of_φ
    mean = total_φ / counts[:, None]
    return torch.where(mean.abs() == 1, total_φu, total_φu - mean * total_u)


class Walk:
    """The samples that a decision attack is about: what each may still ask, and the nearest success so far.

    Attributes:
        index: their positions [A] with the oracle.
        clean: their inputs [A, D].
        left: how many decisions each may still ask for [A], less one for the last word.
        bisections: decisions of one search towards x.
    """

    def __init__(self, oracle: Oracle, goal: Goal, x: Tensor, constraint: Constraint, queries: int) -> None:
        self.constraint = constraint
        self.index = oracle.active(queries=0)
        self.clean = x.flatten(1)[self.index]
        self.left = oracle.remaining(self.index).clamp_max(queries).to(x.device) - 1  # one is for the last word
        exponent = 2.0 if constraint.norm == "linf" else 1.5
        self.bisections = min(math.ceil(exponent * math.log2(self.clean.shape[1])), MOST_BISECTIONS)
        self._sphere = SPHERES[constraint.norm]
        self._oracle, self._goal, self._x = oracle, goal, x
        self._start = self.clean.clone()
        self._closest = Closest(x, constraint.eps)

    def ask(self, z: Tensor, who: Tensor, wanted: Tensor | None = None) -> Tensor:
        """Return [B, K] bool: which of the points z [B, K, D] succeed. False too where not wanted [B, K], or past the budget."""
        b, k, _ = z.shape
        asked = torch.arange(k, device=z.device) < self.left[who, None]
        if wanted is not None:
            asked &= wanted
        spent = asked.sum(1)
        success = torch.zeros_like(asked)
        total = int(spent.sum())
        if total:
            points = z.reshape(b * k, -1) if total == b * k else z[asked]
            index = self.index[who].repeat_interleave(spent)
            success[asked] = self._oracle.decide(self._goal, points.view(-1, *self._x.shape[1:]), index)
        self.left[who] -= spent
        return success

    def start(self, randomness: Randomness, tries: int) -> Tensor:
        """Return a success [A, D] for each sample: an input that the oracle offers, or else a random place of the box.

        Raises:
            NoStartError: there is none for some.
        """
        offered = self._oracle.starts
        known = 0 if offered is None else offered.shape[1]
        tries = max(min(known + tries, int(self.left.max())), 0) if len(self.left) else 0
        z, missing = self._start, torch.arange(len(self.clean), device=self.clean.device)
        for k in range(tries):
            if offered is not None and k < known:
                point = offered[self.index[missing], k].flatten(1)
            else:
                point = self._random_points(randomness, k - known, missing)
            success = self.ask(point[:, None], missing).squeeze(1)
            z[missing[success]] = point[success]
            missing = missing[~success]
            if not len(missing):
                break
        if len(missing):
            raise NoStartError(tries, self.index[missing].tolist(), known)
        everyone = torch.arange(len(z), device=z.device)
        self.offer(z, everyone)
        return z.clone()

    def _random_points(self, randomness: Randomness, k: int, who: Tensor) -> Tensor:
        """Pixel noise first, then coarse grids whose cells are at either end of the box."""
        c, h, w = (1, 1, *self._x.shape[1:])[-3:]
        index, purpose = self.index[who], f"start/{k}"
        if k == 0:
            shares = randomness.uniform(purpose, index, self._x.new_empty(len(who), *self._x.shape[1:]))
        else:
            side = GRIDS[(k - 1) % len(GRIDS)]
            cells = randomness.uniform(purpose, index, self._x.new_empty(len(who), c, side, side)).round()
            shares = interpolate(cells, (h, w), mode="nearest")
        return (self.constraint.low + (self.constraint.high - self.constraint.low) * shares).flatten(1)

    def towards_x(self, far: Tensor, who: Tensor) -> Tensor:
        """Return successes [B, D] between x and these [B, D], as near to the boundary as `bisections` decisions come."""
        origin = self.clean[who]
        delta = far - origin
        high = self._sphere.length(delta)
        low, found = torch.zeros_like(high), far
        for _ in range(self.bisections):
            middle = (low + high) / 2
            point = self._sphere.nearest(delta, middle, origin, self.constraint.box)
            success = self.ask(point[:, None], who)
            found = torch.where(success, point, found)
            low, high = torch.where(success, low, middle), torch.where(success, middle, high)
        self.offer(found, who)
        return found

    def distance(self, z: Tensor, who: Tensor) -> Tensor:
        """Return the distances [B, 1] of z [B, D] from x."""
        return self._sphere.length(z - self.clean[who])

    def offer(self, z: Tensor, who: Tensor) -> None:
        """Remember the successes z [B, D] that are the nearest so far."""
        self._closest.offer(self.index[who], z, self.distance(z, who), torch.ones_like(who, dtype=torch.bool))

    def report(self) -> Tensor:
        """Tell the oracle which samples are broken and return examples [N, C, H, W] a little farther; where something else judges,
        which a point at the boundary is hardly ever enough for, as far towards the start as eps allows."""
        everyone = torch.arange(len(self.index), device=self.index.device)
        nearest = self._closest.z[self.index]
        clear = (self.clean + (1 + CLEAR) * (nearest - self.clean)).clamp(*self.constraint.box)
        if self._oracle.stands_in:
            clear = self._inwards(nearest, everyone)
        self.left += 1
        success = self.ask(clear[:, None], everyone)
        self._closest.z[self.index] = torch.where(success, clear, nearest)
        examples = self._closest.report(self._oracle)
        if (
            self._oracle.stands_in
        ):  # nothing within eps passes what is asked; what judges may take the point at eps all the same
            far = self.distance(nearest, everyone)
            short = self.clean + (nearest - self.clean) * ((1 - SHORT) * self.constraint.eps / far.clamp_min(TINY))
            examples[self.index] = torch.where(far > self.constraint.eps, short, examples[self.index])
        return examples.view_as(self._x)

    def _inwards(self, z: Tensor, who: Tensor) -> Tensor:
        """Return the points [B, D] between successes z [B, D] and the starts that are as far from x as eps allows."""
        way = self._start[who] - z
        low, high = torch.zeros_like(z[:, :1]), torch.ones_like(z[:, :1])
        for _ in range(MOST_BISECTIONS):  # of arithmetic alone: no decision is asked for
            middle = (low + high) / 2
            inside = self.distance(z + middle * way, who) <= self.constraint.eps
            low, high = torch.where(inside, middle, low), torch.where(inside, high, middle)
        return z + low * way
