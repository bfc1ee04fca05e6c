"""Binomial bounds and tests against scipy's own, against sums written out, and against what they promise."""

import math

import numpy as np
import pytest
from scipy.stats import binom, binomtest

from raygrid.metrics.binomial import lower_bound, needed

SIZES = [1, 2, 7, 50, 1000]
ALPHAS = [0.001, 0.05, 0.5]


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("alpha", ALPHAS)
def test_the_lower_bound_is_what_scipy_computes(n, alpha):
    counts = np.unique(np.linspace(0, n, 12).astype(int))
    exact = [binomtest(int(k), n, alternative="greater").proportion_ci(1 - alpha, method="exact").low for k in counts]
    assert lower_bound(counts, n, alpha) == pytest.approx(exact, abs=1e-9)


def test_if_all_agree_the_bound_is_the_root_of_alpha():
    for n in (10, 1000, 100_000):
        assert float(lower_bound(np.array(n), n, 0.001)) == pytest.approx(0.001 ** (1 / n), abs=1e-12)


@pytest.mark.parametrize("n", [5, 60, 400])
@pytest.mark.parametrize("alpha", [0.01, 0.1])
def test_the_bound_exceeds_the_truth_in_a_share_of_alpha_of_all_counts_at_most(n, alpha):
    bounds = lower_bound(np.arange(n + 1), n, alpha)
    wrong = [binom.pmf(np.arange(n + 1), n, p)[bounds > p].sum() for p in np.linspace(0.01, 0.99, 99)]
    assert max(wrong) <= alpha + 1e-9
    assert max(wrong) > alpha / 2, "a bound that never fails would be far too low"


def test_in_simulated_experiments_the_bound_covers_the_truth_as_often_as_it_says():
    rng, n, alpha, times = np.random.default_rng(0), 300, 0.05, 20_000
    for p in (0.5, 0.8, 0.99):
        failed = (lower_bound(rng.binomial(n, p, times), n, alpha) > p).mean()
        assert alpha / 4 < failed < alpha + 3 * math.sqrt(alpha * (1 - alpha) / times)


@pytest.mark.parametrize("alpha", [0.001, 0.05, 2**-9])
def test_the_votes_needed_are_the_fewest_that_scipy_calls_significant(alpha):
    for n in [*range(1, 40), 101, 1000]:
        least = int(needed(np.array(n), alpha))
        enough = [k for k in range((n + 1) // 2, n + 1) if binomtest(k, n, 0.5).pvalue <= alpha * (1 + 1e-12)]
        assert least == (min(enough) if enough else n + 1), n


@pytest.mark.parametrize(
    ("wrong", "message"), [((5, 4, 0.1), "successes"), ((-1, 4, 0.1), "successes"), ((1, 4, 0), "alpha")]
)
def test_impossible_counts_and_levels_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        lower_bound(*wrong)
