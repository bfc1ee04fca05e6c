from importlib.util import find_spec

import pytest

from raygrid.bench_suites import REFERENCE, suite_table

SEEDS = 2


@pytest.fixture(scope="module")
def columns():
    """At a radius that everything falls at in the first stage: seconds, not minutes."""
    table = suite_table("mnist-cnn", None, "linf", 0.5, 3, SEEDS, "cpu")
    return {str(column.header): list(column.cells) for column in table.columns}


def suites():
    return ["autoattack", "audit", *([REFERENCE] if find_spec(REFERENCE) else [])]


def test_every_suite_has_a_line_for_each_seed(columns):
    assert columns["suite"] == [name for name in suites() for _ in range(SEEDS)]
    assert columns["seed"] == ["0", "1"] * len(suites())


def test_far_out_all_suites_break_all_and_agree(columns):
    assert set(columns["standing"]) == {"0 of 3"}
    assert set(columns["net"]) == {"+0"} and set(columns["disagree"]) == {"0"}


def test_times_are_shares_of_the_reference_and_of_our_autoattack(columns):
    base = suites()[-1] if find_spec(REFERENCE) else "autoattack"
    assert columns["/ base"][columns["suite"].index(base)] == "1.00" and columns["/ ours"][0] == "1.00"


def test_no_sample_is_counted_twice():
    table = suite_table("mnist-cnn", "{use: mnist-5k, limit: 2}", "linf", 0.5, 256, 1, "cpu")
    standing = next(column for column in table.columns if column.header == "standing")
    assert set(standing.cells) == {"0 of 2"}
