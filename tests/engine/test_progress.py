"""How far a run is: what is counted, what status.json holds, and how that is shown."""

import io
import json

import pytest
from rich.console import Console
from small_jobs import load, run_here, shown
from small_units import white_box

from raygrid.engine.in_process import InProcess
from raygrid.engine.inputs import read_inputs
from raygrid.engine.progress import Progress, display, progress_line, progress_table
from raygrid.engine.run import run
from raygrid.results.status import read_status
from raygrid.results.store import open_store
from raygrid.units import Cell


def score(name, victim):
    unit = white_box(name, victim)
    return unit._replace(cell=Cell("id", "digits", "data", 10, unit.model, unit.craft.attack, 0))


@pytest.fixture
def progress():
    """Five units on two victims, one of them done before and one of them done now."""
    scores = [
        score("0", "plain"),
        score("1", "plain"),
        score("2", "plain"),
        score("3", "hardened"),
        score("4", "hardened"),
    ]
    progress = Progress.of([*scores, scores[0]], {"score-0"})
    progress.done(scores[1], {"robust": 3, "broken": 5})
    progress.failed(scores[3])
    progress.hosts, progress.started = 2, progress.started - 60
    return progress


def test_the_status_counts_units_and_samples_by_grid_and_victim(progress):
    status = json.loads(json.dumps(progress.status("running")))
    assert status["victims"] == {
        "digits / plain": {"planned": 3, "reused": 1, "done": 1, "failed": 0, "samples": {"robust": 3, "broken": 5}},
        "digits / hardened": {"planned": 2, "reused": 0, "done": 0, "failed": 1, "samples": {}},
    }
    assert status["eta_seconds"] == pytest.approx(60, rel=0.1)  # two units in a minute, two to come


def test_nothing_is_foretold_before_the_first_unit_is_done():
    status = Progress.of([score("0", "plain")], set()).status("running")
    assert status["eta_seconds"] is None
    assert "left" not in progress_line(status)
    assert "left" not in shown(progress_table(status))


def test_the_table_shows_every_count_and_who_was_lost(progress):
    progress.losses, progress.last_loss = 1, "it died"
    text = shown(progress_table(progress.status("running")))
    assert "digits / plain" in text
    assert "2/3" in text
    assert "running: 2 hosts, 1 lost (it died), about 1 min" in text


def test_the_table_tells_victims_apart_on_a_narrow_terminal(progress):
    text = shown(progress_table(progress.status("running")), width=80)
    assert "digits / plain" in text
    assert "digits / hardened" in text


def test_a_run_without_a_sign_of_life_is_told_to_be_silent(progress):
    status = progress.status("running")
    assert "silent" not in shown(progress_table(status))
    text = shown(progress_table({**status, "updated": status["updated"] - 600}))
    assert "silent for 10 min 0 s" in text and "left" not in text
    assert "silent" not in shown(progress_table({**progress.status("complete"), "updated": 0.0}))


def test_whose_samples_are_counted_is_said_where_units_are_reused(progress):
    status = progress.status("complete")
    assert "samples are those of units done in this run" in shown(progress_table(status))
    for line in status["victims"].values():
        line["reused"] = 0
    assert "samples are those" not in shown(progress_table(status))


def test_a_run_that_is_over_has_no_time_left(progress):
    assert "left" not in shown(progress_table(progress.status("stopped")))


def test_the_line_says_the_same_in_one_line(progress):
    assert progress_line(progress.status("running")).startswith("2/5 units done (1 reused, 1 failed), 2 hosts, about ")


def test_where_there_is_no_terminal_a_line_comes_now_and_then_and_no_table(progress, monkeypatch):
    console = Console(file=io.StringIO(), width=100)
    monkeypatch.setattr("raygrid.engine.progress.LINE_SECONDS", 0.0)
    with display(console) as show:
        show(progress.status("running"))
        show(progress.status("running"))
    lines = console.file.getvalue().splitlines()
    assert len(lines) == 2
    assert all(line.startswith("2/5 units done") for line in lines)


def test_the_status_file_beside_the_results_is_written_while_a_run_goes_on_and_at_its_end(tmp_path):
    job = load(tmp_path, victims=["mnist-cnn"])
    seen = []
    store = open_store(job.results)
    run(
        job,
        read_inputs(job),
        lambda tasks: InProcess(job.results),
        show=lambda status: seen.append((status["state"], store.exists("status.json"))),
    )
    assert ("running", True) in seen
    status = read_status(store)
    assert status["state"] == "complete"
    (line,) = status["victims"].values()
    assert (line["planned"], line["done"], sum(line["samples"].values())) == (8, 8, 64)
    run_here(job)
    (line,) = read_status(store)["victims"].values()
    assert (line["planned"], line["reused"], line["done"]) == (8, 8, 0)
