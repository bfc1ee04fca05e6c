"""What grids ask to be measured besides, and whether it can be: without its weights a run goes on and leaves the columns empty."""

from dataclasses import replace
from typing import NamedTuple

from raygrid.assets import Report, fetch
from raygrid.errors import UsageError
from raygrid.pins import LPIPS
from raygrid.spec import Job


class Measurable(NamedTuple):
    """A job that asks for nothing that can't be measured here."""

    job: Job
    notes: tuple[str, ...]
    """A line for each thing that was taken out of it."""


def measurable(job: Job, report: Report | None = None) -> Measurable:
    """Fetch what the measures of a job need; take out of the job what can't be had.

    It is taken out of what the manifest freezes too: units without LPIPS are others than units with it, so that a later run
    that has the weights judges again, and crafts nothing again.

    Args:
        job: the job.
        report: called while something is fetched.
    """
    if not _asks_for_lpips(job):
        return Measurable(job, ())
    try:
        fetch(LPIPS, report)
    except UsageError as error:
        why = error.messages[0].partition("\n")[0]
        return Measurable(_without_lpips(job), (f"no LPIPS, its columns stay empty: {why}",))
    return Measurable(job, ())


def facts(job: Job) -> dict[str, dict[str, str]]:
    """Return what the manifest keeps of the measures of a job."""
    lpips = {"source": LPIPS.origin, "sha256": LPIPS.sha256, "license": LPIPS.license}
    return {"lpips": lpips} if _asks_for_lpips(job) else {}


def _asks_for_lpips(job: Job) -> bool:
    return any("lpips" in grid.perceptual for grid in job.grids)


def _without_lpips(job: Job) -> Job:
    grids = tuple(replace(grid, perceptual=tuple(m for m in grid.perceptual if m != "lpips")) for grid in job.grids)
    said = job.resolved["grids"]
    resolved = {grid.name: {**said[grid.name], "perceptual": list(grid.perceptual)} for grid in grids}
    return replace(job, grids=grids, resolved={**job.resolved, "grids": resolved})
