"""One `raygrid run` as a person sees it: Ray started or joined, progress shown, the result table at the end."""

from contextlib import ExitStack

from rich.console import Console

from raygrid.component import Task
from raygrid.engine.downloads import download_report
from raygrid.engine.executor import Executor
from raygrid.engine.inputs import read_inputs
from raygrid.engine.measures import measurable
from raygrid.engine.placement import HostWishes, place
from raygrid.engine.progress import display
from raygrid.engine.remarks import remarks
from raygrid.engine.result_tables import flagged, result_tables, unanswered
from raygrid.engine.run import Options, Outcome, run
from raygrid.results.store import open_store
from raygrid.spec import Job

FAILURES = "SELECT victim, attack, eps, status, error FROM trials WHERE status IN ('error', 'timeout', 'invalid')"
NEXT: dict[Task, str] = {
    "classification": "SELECT victim, norm, eps, robust_accuracy_worst, robust_accuracy_best, planned, attacks FROM worst_case",
    "verification": "SELECT grid, victim, defense, source, attack, eps, goal, photos, photo_rate, known_rate FROM face_attacks",
    "transcription": "SELECT grid, victim, defense, attack, eps, phrase, channel, snr_db, play_rate FROM speech_attacks",
}
"""What to ask the results first, by what victims do; of several tasks the first counts."""


def run_job(job: Job, options: Options, wishes: HostWishes, console: Console) -> Outcome:
    """Run a job on Ray, and show what a person wants to see. Ray is started only where there is something to compute.

    Raises:
        UsageError: whatever a person must mend.
    """
    with download_report(console) as report:
        job, notes = measurable(job, report)
    for note in (*notes, *remarks(job)):
        console.print(note, style="yellow", soft_wrap=True)
    inputs = read_inputs(job)
    with ExitStack() as stack:

        def start(tasks: int) -> Executor:
            from raygrid.engine.cluster import connected, resources
            from raygrid.engine.ray_executor import RayExecutor

            stack.enter_context(connected(wishes.address))
            chosen = place(resources(), tasks, wishes)
            return RayExecutor(open_store(job.results).locate(""), chosen)  # a relative path is another elsewhere

        report = stack.enter_context(download_report(console))
        show = stack.enter_context(display(console))
        outcome = run(job, inputs, start, options, show, report)
    _conclude(job, outcome, console)
    return outcome


def _conclude(job: Job, outcome: Outcome, console: Console) -> None:
    for table in result_tables(job.results):
        console.print(table)
    for line in flagged(job.results):
        console.print(line, soft_wrap=True)
    console.print(
        f"{outcome.state}: {outcome.computed} units computed, {outcome.reused} reused, {outcome.failed} failed, "
        f"in {outcome.seconds:.0f} s; results in {job.results}",
        highlight=False,
        soft_wrap=True,
    )
    if outcome.state == "stopped":
        console.print("the same command goes on where this one was stopped")
    if outcome.unpublished:
        console.print(
            f"[red]not published[/red]: {outcome.unpublished}; delete its file under {job.results}/trials and run again",
            soft_wrap=True,
        )
    if outcome.failed:
        console.print(f"the same command tries them again; to see them: {_query(job, FAILURES)}", soft_wrap=True)
    elif number := unanswered(job.results):
        console.print(
            f"[red]{number} trial{'s have' if number > 1 else ' has'} no verdict[/red]; to see why: {_query(job, FAILURES)}",
            soft_wrap=True,
        )
    tasks = {spec.component.task for grid in job.grids for spec in grid.data}
    sql = next(sql for task, sql in NEXT.items() if task in tasks)
    console.print(
        f"next:\n  {_query(job, sql)}\n  raygrid list attacks",
        highlight=False,
        soft_wrap=True,
    )


def _query(job: Job, sql: str) -> str:
    return f'raygrid query {job.results} "{sql}"'
