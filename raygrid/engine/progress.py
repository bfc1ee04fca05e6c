"""How far a run is, and how that is shown: a live table on a terminal, a line now and then elsewhere."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.live import Live
from rich.table import Table

from raygrid.units import Score

LINE_SECONDS = 10.0
"""Between two lines where there is no terminal."""
SILENT_SECONDS = 60.0
"""Without a sign of life after which a run is told to be silent; drivers give one every few seconds."""
UNKNOWN = ("error", "timeout", "invalid")


@dataclass
class Line:
    """Progress on one victim."""

    planned: int = 0
    reused: int = 0
    done: int = 0
    failed: int = 0
    samples: Counter[str] = field(default_factory=Counter)
    """Status -> samples judged in this run."""


@dataclass
class Progress:
    """Progress of a run, by grid and victim."""

    lines: dict[str, Line]
    started: float = field(default_factory=time.time)
    hosts: int = 0
    losses: int = 0
    last_loss: str = ""

    @classmethod
    def of(cls, scores: Iterable[Score], done: set[str]) -> "Progress":
        """Count what is planned and what was done before; a unit that several grids share counts in the first."""
        lines: dict[str, Line] = {}
        seen: set[str] = set()
        for score in scores:
            line = lines.setdefault(_name(score), Line())
            if score.key not in seen:
                seen.add(score.key)
                line.planned += 1
                line.reused += score.key in done
        return cls(lines)

    def done(self, score: Score, counts: Mapping[str, int]) -> None:
        """A score unit was committed."""
        line = self.lines[_name(score)]
        line.done += 1
        line.samples.update(counts)

    def failed(self, score: Score) -> None:
        """A score unit failed as a whole."""
        self.lines[_name(score)].failed += 1

    @property
    def remaining(self) -> int:
        """Score units still to come."""
        return sum(line.planned - line.reused - line.done - line.failed for line in self.lines.values())

    @property
    def eta_seconds(self) -> float | None:
        """Seconds to the end at the pace so far; None before the first unit is done."""
        settled = sum(line.done + line.failed for line in self.lines.values())
        return (time.time() - self.started) / settled * self.remaining if settled else None

    def status(self, state: str) -> dict[str, Any]:
        """Return what `raygrid status` shows, as plain JSON values."""
        return {
            "state": state,
            "started": self.started,
            "updated": time.time(),
            "hosts": self.hosts,
            "losses": self.losses,
            "last_loss": self.last_loss,
            "eta_seconds": self.eta_seconds,
            "victims": {
                name: {
                    "planned": line.planned,
                    "reused": line.reused,
                    "done": line.done,
                    "failed": line.failed,
                    "samples": dict(line.samples),
                }
                for name, line in self.lines.items()
            },
        }


def progress_table(status: Mapping[str, Any]) -> Table:
    """Return the status of a run as a table."""
    eta = status["eta_seconds"]
    left = "" if eta is None or status["state"] != "running" else f", about {_duration(eta)} left"
    lost = f", {status['losses']} lost ({status['last_loss']})" if status["losses"] else ""
    silent = time.time() - status["updated"] if status["state"] == "running" else 0.0
    if silent > SILENT_SECONDS:
        left = f", silent for {_duration(silent)}: if its driver was killed, the same command goes on where it was"
    caption = f"{status['state']}: {status['hosts']} host{'s' if status['hosts'] != 1 else ''}{lost}{left}"
    if any(line["reused"] for line in status["victims"].values()):
        caption += "; samples are those of units done in this run: `raygrid query` has all"
    table = Table(caption=caption, caption_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("grid / victim", no_wrap=True)
    for heading in ("units done", "reused", "failed", "robust", "broken", "clean wrong", "unknown"):
        table.add_column(heading, justify="right")
    for name, line in status["victims"].items():
        samples = line["samples"]
        unknown = sum(samples.get(kind, 0) for kind in UNKNOWN)
        table.add_row(
            name,
            f"{line['done'] + line['reused']}/{line['planned']}",
            str(line["reused"]),
            _alarm(line["failed"]),
            *(str(samples.get(kind, 0)) for kind in ("robust", "broken", "clean_wrong")),
            _alarm(unknown),
        )
    return table


def progress_line(status: Mapping[str, Any]) -> str:
    """Return the status of a run as one line."""
    lines = status["victims"].values()
    total = {key: sum(line[key] for line in lines) for key in ("planned", "reused", "done", "failed")}
    eta = status["eta_seconds"]
    left = "" if eta is None else f", about {_duration(eta)} left"
    return (
        f"{total['done'] + total['reused']}/{total['planned']} units done ({total['reused']} reused, "
        f"{total['failed']} failed), {status['hosts']} hosts{left}"
    )


@contextmanager
def display(console: Console) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """Yield a function that shows the status of a run, however often it is called."""
    if console.is_terminal:
        with Live(console=console, refresh_per_second=4, transient=True) as live:
            yield lambda status: live.update(progress_table(status))
        return
    last = time.monotonic()

    def show(status: Mapping[str, Any]) -> None:
        nonlocal last
        if time.monotonic() - last >= LINE_SECONDS:
            last = time.monotonic()
            console.print(progress_line(status), highlight=False)

    yield show


def _name(score: Score) -> str:
    return f"{score.cell.grid} / {score.model.victim.id}"


def _alarm(count: int) -> str:
    return f"[red]{count}[/red]" if count else "0"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
