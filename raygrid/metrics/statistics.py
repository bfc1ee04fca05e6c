"""Intervals for proportions, on plain numbers. `raygrid/results/views.py` states the same formulas in SQL."""

from collections import defaultdict
from collections.abc import Hashable, Sequence
from math import sqrt
from statistics import NormalDist


def normal_quantile(confidence: float) -> float:
    """Return z such that a standard normal lies in [-z, z] with the given probability, in (0, 1)."""
    return NormalDist().inv_cdf((1 + confidence) / 2)


def wilson(successes: float, n: float, confidence: float = 0.95) -> tuple[float, float]:
    """Interval for a proportion (Wilson 1927, J. Am. Stat. Assoc. 22, 209-212).

    Args:
        successes: from 0 to n; may be fractional, as n may.
        n: number of trials, or an effective number of them. 0 tells nothing: (0, 1).
        confidence: coverage, in (0, 1).

    Raises:
        ValueError: successes outside [0, n], or confidence outside (0, 1).
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence: between 0 and 1, not {confidence}")
    if not 0 <= successes <= n:
        raise ValueError(f"successes: between 0 and n = {n}, not {successes}")
    if n == 0:
        return 0.0, 1.0
    z = normal_quantile(confidence)
    return _wilson_low(successes, n, z), 1 - _wilson_low(n - successes, n, z)


def _wilson_low(successes: float, n: float, z: float) -> float:
    spread = z * sqrt(z * z + 4 * successes * (1 - successes / n))
    return max(0.0, (2 * successes + z * z - spread) / (2 * (n + z * z)))


def design_effect(values: Sequence[bool], clusters: Sequence[Hashable]) -> float:
    """Return by how much clustering inflates the variance of a proportion: at least 1 (Kish 1965, Survey Sampling).

    It is the cluster-robust variance of the ratio of successes to samples, over the variance that independent samples
    would have. Where that can't be estimated, because all outcomes are equal or there is a single cluster, the samples
    of one cluster count as one. The effective number of samples is N over the design effect.

    Args:
        values: outcomes [N].
        clusters: the cluster of each [N].

    Raises:
        ValueError: the lengths differ, or there are no outcomes.
    """
    if len(values) != len(clusters) or not values:
        raise ValueError(f"one cluster for each of one or more outcomes, not {len(clusters)} for {len(values)}")
    sizes: dict[Hashable, int] = defaultdict(int)
    hits: dict[Hashable, int] = defaultdict(int)
    for value, cluster in zip(values, clusters, strict=True):
        sizes[cluster] += 1
        hits[cluster] += bool(value)
    n, m, k = len(values), len(sizes), sum(hits.values())
    if m == n:
        return 1.0
    if m == 1 or k in {0, n}:
        return n / m
    p = k / n
    squares = sum((hits[c] - p * sizes[c]) ** 2 for c in sizes)
    return max(1.0, squares / (n * p * (1 - p)) * m / (m - 1) * (n - 1) / n)
