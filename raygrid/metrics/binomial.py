"""Exact statements about binomial counts, on NumPy arrays: what randomized smoothing rests on."""

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

Counts = NDArray[np.int64]
Values = NDArray[np.float64]


def lower_bound(successes: Counts, n: int, alpha: float) -> Values:
    """Return the lower end of one-sided intervals for probabilities (Clopper & Pearson 1934, Biometrika 26, 404-413).

    The true probability is below it in a share of alpha of experiments at most.

    Args:
        successes: [...] from 0 to n.
        n: trials of each.
        alpha: in (0, 1).

    Raises:
        ValueError: successes outside [0, n], or alpha outside (0, 1).
    """
    k = np.asarray(successes)
    if not 0 < alpha < 1:
        raise ValueError(f"alpha: between 0 and 1, not {alpha}")
    if ((k < 0) | (k > n)).any():
        raise ValueError(f"successes: between 0 and n = {n}, not {k.min()}..{k.max()}")
    # P(X >= k) = I_p(k, n - k + 1) rises with p; it is alpha at the bound.
    bound: Values = np.where(k == 0, 0.0, special.betaincinv(np.maximum(k, 1), n - k + 1.0, alpha))
    return bound


def needed(n: Counts, alpha: float) -> Counts:
    """Return the least count of n that a two-sided test tells from a fair coin's at the level alpha; n + 1 where none is enough.

    The count k of one side is enough where 2 P(X >= k) <= alpha for X ~ Binomial(n, 1/2).

    Args:
        n: tosses [...].
        alpha: in (0, 1).
    """
    # isf is the least k at which P(X > k) <= alpha / 2.
    least: Counts = stats.binom.isf(alpha / 2, np.asarray(n), 0.5).astype(np.int64) + 1
    return least
