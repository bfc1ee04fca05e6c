"""What a person reads at the end of a run."""

import io

from rich.console import Console
from small_jobs import PGD, faulty, load, marked_digits, run_here

from raygrid.engine.result_tables import unanswered
from raygrid.engine.session import _conclude


def concluded(job, outcome):
    console = Console(file=io.StringIO(), width=100)
    _conclude(job, outcome, console)
    return console.file.getvalue()


def test_trials_without_a_verdict_are_counted_with_the_question_that_shows_why(tmp_path):
    job = load(
        tmp_path, data=marked_digits(tmp_path, 3), victims=[faulty(tmp_path, "raise")], attacks=[{**PGD, "eps": 0.1}]
    )
    outcome = run_here(job)
    assert outcome.state == "complete" and unanswered(job.results) == 1
    assert "1 trial has no verdict; to see why: raygrid query" in concluded(job, outcome)


def test_nothing_is_said_where_all_have_one(tmp_path):
    job = load(tmp_path, victims=["mnist-cnn"], attacks=[{**PGD, "eps": 0.1}])
    outcome = run_here(job)
    assert unanswered(job.results) == 0 and "no verdict" not in concluded(job, outcome)
