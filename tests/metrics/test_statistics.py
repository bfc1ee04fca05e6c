"""Intervals against published values, simulation-free identities, and the SQL that states the same formulas."""

import math

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from raygrid.metrics.statistics import design_effect, wilson
from raygrid.results.views import MACROS

COUNTS = st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))
CLUSTERED = st.lists(st.tuples(st.booleans(), st.integers(0, 12)), min_size=1, max_size=200)


def asked(question, *parameters):
    """The answer of SQL that may use the macros of the views."""
    with duckdb.connect() as connection:
        connection.execute(f"CREATE SCHEMA raw; {MACROS}")
        return connection.execute(question, parameters).fetchall()[0]


@given(COUNTS, st.sampled_from([0.9, 0.95, 0.99]))
def test_wilson_is_what_scipy_computes(counts, confidence):
    expected = binomtest(*counts).proportion_ci(confidence, method="wilson")
    assert wilson(*counts, confidence) == pytest.approx((expected.low, expected.high), abs=1e-12)


@given(COUNTS)
def test_wilson_stays_in_the_unit_interval_and_holds_the_proportion(counts):
    low, high = wilson(*counts)
    assert 0 <= low <= counts[0] / counts[1] <= high <= 1


def test_wilson_says_nothing_of_no_trials():
    assert wilson(0, 0) == (0, 1)


@pytest.mark.parametrize("wrong", [(-1, 5), (6, 5), (1, -1), (math.nan, 5)])
def test_wilson_refuses_impossible_counts(wrong):
    with pytest.raises(ValueError, match="successes"):
        wilson(*wrong)


@pytest.mark.parametrize("confidence", [0, 1, 95])
def test_wilson_refuses_a_confidence_outside_0_and_1(confidence):
    with pytest.raises(ValueError, match="confidence"):
        wilson(1, 2, confidence)


@given(st.lists(st.booleans(), min_size=1, max_size=100))
def test_samples_on_their_own_have_no_design_effect(values):
    assert design_effect(values, range(len(values))) == 1


@pytest.mark.parametrize("copies", [2, 5, 25])
def test_copies_of_a_sample_add_nothing(copies):
    values = [True, False, False, True, False, True, True]
    repeated = [value for value in values for _ in range(copies)]
    clusters = [place for place, _ in enumerate(values) for _ in range(copies)]
    n, m = len(repeated), len(values)
    assert n / design_effect(repeated, clusters) == pytest.approx(m * (1 - 1 / m) / (1 - 1 / n))


def test_equal_outcomes_count_clusters():
    assert design_effect([True] * 12, [0, 1, 2] * 4) == 4


def test_a_single_cluster_is_one_sample():
    assert design_effect([True, False, True], ["a"] * 3) == 3


def test_negative_correlation_is_not_rewarded():
    assert design_effect([True, False] * 10, [i // 2 for i in range(20)]) == 1


@pytest.mark.parametrize(("values", "clusters"), [([], []), ([True], [])])
def test_design_effect_refuses_what_does_not_pair(values, clusters):
    with pytest.raises(ValueError, match="one cluster for each"):
        design_effect(values, clusters)


@given(COUNTS, st.floats(1, 30))
@settings(max_examples=50)
def test_sql_and_python_agree_on_wilson(counts, deff):
    k, n = counts[0] / deff, counts[1] / deff
    found = asked("SELECT wilson_low($1::DOUBLE, $2::DOUBLE), wilson_high($1, $2)", k, n)
    assert found == pytest.approx(wilson(k, n), abs=1e-12)


def test_sql_too_says_nothing_of_no_trials():
    assert asked("SELECT wilson_low(0, 0), wilson_high(0, 0)") == (0, 1)


@given(CLUSTERED)
@settings(max_examples=50)
def test_sql_and_python_agree_on_the_design_effect(rows):
    values, clusters = zip(*rows, strict=True)
    (found,) = asked(
        """
        WITH rows AS (SELECT unnest($1::BOOLEAN[]) AS hit, unnest($2::INTEGER[]) AS cluster),
        per_cluster AS (SELECT count_if(hit) AS k, count(*) AS n FROM rows GROUP BY cluster)
        SELECT design_effect(sum(k), sum(n), count(*), sum(k * k), sum(k * n), sum(n * n)) FROM per_cluster
        """,
        list(values),
        list(clusters),
    )
    assert found == pytest.approx(design_effect(values, clusters), rel=1e-9)
