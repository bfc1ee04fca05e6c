"""One `raygrid run` as a person sees it: Ray started or joined, progress shown, the result table at the end."""

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from raygrid.engine.downloads import download_report
from raygrid.engine.executor import Executor
from raygrid.engine.inputs import read_inputs
from raygrid.engine.measures import measurable
from raygrid.engine.placement import HostWishes, place
from raygrid.engine.progress import display
from raygrid.engine.run import Options, Outcome, run
from raygrid.grid import format_eps
from raygrid.results.open import open_results
from raygrid.results.store import open_store
from raygrid.spec import Job

FAILURES = "SELECT victim, attack, eps, status, error FROM trials WHERE status IN ('error', 'timeout', 'invalid')"
LINES = "SELECT * FROM summary WHERE stage IS NOT DISTINCT FROM stages"
"""A suite is shown as one line, that of its last stage, which counts what all before it broke."""
PART = re.compile(r"(?:^| )(defense|attack|suite|goal|budget|eot|channel|awareness|judge)=(.+?)(?= \w+=|$)")
"""Parts of a cell's id, see grid.py. A parameter that is a list has blanks."""
AWARE = {"none": "unaware of it", "channel": "unaware of the defense", "defense": "unaware of the channel"}
"""What an attacker does not know of, where there is something to know of."""
FACES = "SELECT victim, attack, eps, goal, photos, photo_rate, photo_rate_low, photo_rate_high, known_rate FROM face_attacks"
WORST_CASE = "SELECT victim, norm, eps, robust_accuracy_worst, robust_accuracy_best, planned, attacks FROM worst_case"


def run_job(job: Job, options: Options, wishes: HostWishes, console: Console) -> Outcome:
    """Run a job on Ray, and show what a person wants to see. Ray is started only where there is something to compute.

    Raises:
        UsageError: whatever a person must mend.
    """
    with download_report(console) as report:
        job, notes = measurable(job, report)
    for note in notes:
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
    faces = all(spec.component.task == "verification" for grid in job.grids for spec in grid.data)
    console.print(
        f"next:\n  {_query(job, FACES if faces else WORST_CASE)}\n  raygrid list attacks",
        highlight=False,
        soft_wrap=True,
    )


def _query(job: Job, sql: str) -> str:
    return f'raygrid query {job.results} "{sql}"'


def result_tables(results: str) -> Iterator[Table]:
    """Yield the summary of the latest run: a table a grid, one line a cell."""
    found = open_results(results)
    rows = found.query(LINES).to_pylist()
    faces = {(row["grid"], row["cell_id"], row["seed"]): row for row in found.query("FROM face_attacks").to_pylist()}
    with_seed = len({row["seed"] for row in rows}) > 1
    for grid in dict.fromkeys(row["grid"] for row in rows):
        chosen = [row for row in rows if row["grid"] == grid]
        if chosen[0]["far"] is None:
            yield _accuracies(grid, chosen, with_seed=with_seed)
        else:
            yield _verifications(grid, chosen, faces, with_seed=with_seed)


def _table(title: str, rows: list[dict[str, Any]], headings: Iterable[str]) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("victim", no_wrap=all(row["defense"] == "none" for row in rows))
    table.add_column("attack")
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def _accuracies(grid: str, rows: list[dict[str, Any]], *, with_seed: bool) -> Table:
    table = _table(f"{grid}: robust accuracy", rows, ("clean", "robust", "95 % interval", "n"))
    for row in rows:
        rate = _percent(row["clean_accuracy"]), *_rate(row)
        table.add_row(_victim(row), _attack(row, with_seed=with_seed), *rate, _count(row))
    return table


def _verifications(
    grid: str, rows: list[dict[str, Any]], faces: Mapping[tuple[str, str, int], dict[str, Any]], *, with_seed: bool
) -> Table:
    """Return the table of attacks on faces: decisions on photos that the attacker never had, beside those on the ones he used."""
    headings = ("clean", "success", "95 % interval", "known", "n")
    title = (
        f"{grid}: success on photos that the attacker never had, at FAR {rows[0]['far']:g} (known: on those he used)"
    )
    table = _table(title, rows, headings)
    for row in rows:
        face = faces.get((row["grid"], row["cell_id"], row["seed"]))
        rates = ("none judged", "", "", "")
        if face is not None:
            interval = f"{100 * face['photo_rate_low']:.1f} - {100 * face['photo_rate_high']:.1f}"
            clean, photo, known = (_percent(face[f"{name}_rate"]) for name in ("clean", "photo", "known"))
            lacking = row["planned"] - face["judged"]
            rates = (clean, photo, f"[red]{lacking} unknown[/red]" if lacking else interval, known)
        table.add_row(_victim(row), _attack(row, with_seed=with_seed), *rates, _count(row))
    return table


def _count(row: dict[str, Any]) -> str:
    return str(row["n"]) if row["n"] == row["planned"] else f"{row['n']} of {row['planned']}"


def flagged(results: str) -> Iterator[str]:
    """Yield a line for each sign of masking that the latest run shows, one a victim and check."""
    seen = open_results(results).query(
        "SELECT grid, victim, defense, sign, sum(num)::BIGINT AS num, sum(den)::BIGINT AS den, any_value(meaning) AS meaning "
        "FROM checks WHERE flagged GROUP BY ALL ORDER BY ALL"
    )
    for row in seen.to_pylist():
        yield (
            f"[red]masked?[/red] {row['grid']}, {_victim(row)}: {row['sign']}, {row['num']} of {row['den']}: {row['meaning']}"
        )


def _victim(row: dict[str, Any]) -> str:
    """Say which victim and defense, with the parameters of the defense that differ from their defaults."""
    defense = dict(PART.findall(row.get("cell_id", ""))).get("defense", row["defense"])
    return str(row["victim"]) if defense == "none" else f"{row['victim']} + {defense}"


def _attack(row: dict[str, Any], *, with_seed: bool) -> str:
    """Say which attack, with the parameters that differ from their defaults, so that no two lines read alike."""
    said = dict(PART.findall(row["cell_id"]))
    source = f" from {row['source']}" if row["source"] else ""
    name = said.get("suite", said["attack"])
    ball = f"{row['norm']} {format_eps(row['eps'])}" if row["norm"] else ""
    goal = "" if row["goal"] == "untargeted" else f"{said['goal']} (success rate)"
    if row["far"] is not None:
        goal = f"{said['goal']}, {_photos(row)}"
    eot = f"eot {said['eot']}" if "eot" in said and "suite" not in said else ""
    seed = f"seed {row['seed']}" if with_seed else ""
    channel = f"through {said['channel']}" if "channel" in said else ""
    knows = said.get("awareness", "all")
    all_there_is = knows == ("channel" if row["defense"] == "none" else "all" if channel else "defense")
    unaware = "" if all_there_is else AWARE.get(knows, "")
    judge = f"broken at {said['judge']}" if "judge" in said else ""
    parts = (f"{name}{source}", ball, goal, channel, unaware, said.get("budget", ""), eot, judge, seed)
    return ", ".join(part for part in parts if part)


def _photos(row: dict[str, Any]) -> str:
    combined = "" if row["combine"] == "mean" else f", {row['combine']}"
    return f"{row['photos']} photo{'s' if row['photos'] > 1 else ''}{combined}"


def _rate(row: dict[str, Any]) -> tuple[str, str]:
    """Return the rate and its interval; where some samples have no verdict, the range that the rate lies in."""
    name = "robust_accuracy" if row["goal"] == "untargeted" else "success_rate"
    value, worst, best = row[name], row[f"{name}_worst"], row[f"{name}_best"]
    if worst is None:
        return "none judged", ""
    if value is None or worst != best:
        low, high = sorted((worst, best))
        unknown = row["error"] + row["timeout"] + row["invalid"] + row["missing"]
        return f"[red]{100 * low:.1f} - {_percent(high)}[/red]", f"[red]{unknown} unknown[/red]"
    return _percent(value), f"{100 * row[f'{name}_low']:.1f} - {100 * row[f'{name}_high']:.1f}"


def _percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.1f} %"
