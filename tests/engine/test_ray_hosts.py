"""Hosts as Ray actors: the same results whatever their number, and real processes that die, hang and come back."""

import pytest
from small_jobs import PGD, examples, faulty, load, marked_digits, mend, run_here, run_on_ray, statuses, table

from raygrid.engine.driver import ATTEMPTS
from raygrid.engine.run import Options
from raygrid.results.status import read_status
from raygrid.results.store import open_store

pytestmark = pytest.mark.usefixtures("ray_cluster")

ONE = [{**PGD, "eps": 0.1}]


@pytest.mark.parametrize("hosts", [1, 2])
def test_results_are_bit_identical_whatever_the_number_of_hosts(tmp_path, hosts):
    here, on_ray = load(tmp_path, name="here"), load(tmp_path, name="on_ray")
    run_here(here)
    assert run_on_ray(on_ray, hosts).state == "complete"
    assert table(on_ray.results) == table(here.results)
    assert examples(on_ray.results) == examples(here.results)


def disturbed(folder, fault, options=None):
    """Run a grid in which one unit meets the fault, and the same where it does not.

    Returns the disturbed job, its outcome, and the rows that it should have.
    """
    data = marked_digits(folder, 20)
    job = load(folder, data=data, victims=["mnist-cnn-adv", faulty(folder, fault)], attacks=ONE)
    outcome = run_on_ray(job, options=options)
    mend(folder)
    sound = load(folder, data=data, victims=["mnist-cnn-adv", faulty(folder, fault)], attacks=ONE, name="sound")
    run_here(sound)
    return job, outcome, table(sound.results)


def assert_failed_alone(job, expected, status):
    """The unit of the marked sample has this status, and every other row is as it would be without the fault."""
    rows = table(job.results)
    failed = [row for row in rows if row["status"] == status]
    assert [(row["victim"], row["sample_id"]) for row in failed] == [("faulty", str(i)) for i in range(16, 24)]
    unit = failed[0]["unit_key"]
    assert [row for row in rows if row["unit_key"] != unit] == [row for row in expected if row["unit_key"] != unit]


def test_a_host_that_is_killed_is_replaced_and_nothing_is_missing(tmp_path):
    job, outcome, expected = disturbed(tmp_path, "kill-once")
    assert (outcome.state, outcome.computed, outcome.failed) == ("complete", 8, 0)
    assert table(job.results) == expected
    assert read_status(open_store(job.results))["losses"] == 1


def test_a_unit_that_kills_every_host_is_an_error_and_everything_else_is_done(tmp_path):
    job, outcome, expected = disturbed(tmp_path, "kill")
    assert (outcome.state, outcome.computed, outcome.failed) == ("failed", 7, 1)
    assert_failed_alone(job, expected, "error")
    assert read_status(open_store(job.results))["losses"] == ATTEMPTS
    assert set(statuses(job.results)) == {row["cell_id"] for row in expected}

    assert run_here(job).state == "complete"  # it is mended by now
    assert table(job.results) == expected


def test_a_unit_that_hangs_is_a_timeout_and_everything_else_is_done(tmp_path):
    job, outcome, expected = disturbed(tmp_path, "hang", Options(time_limit=10))
    assert (outcome.state, outcome.computed, outcome.failed) == ("failed", 7, 1)
    assert_failed_alone(job, expected, "timeout")
    assert "10 s" in next(row["error"] for row in table(job.results) if row["status"] == "timeout")
