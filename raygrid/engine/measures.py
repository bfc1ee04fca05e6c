"""What grids ask to be measured besides, and whether it can be: without its weights or its package a run goes on and
leaves the columns empty."""

from dataclasses import replace
from importlib.metadata import version
from importlib.util import find_spec
from typing import NamedTuple

from raygrid.assets import Report, fetch
from raygrid.errors import UsageError
from raygrid.pins import LPIPS
from raygrid.spec import OF_SOUND, Job, Perceptual

PACKAGES: dict[Perceptual, str] = {"stoi": "pystoi", "pesq": "pesq"}
"""What computes the measures of speech, by its name on PyPI."""


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
    notes, missing = list[str](), set[str]()
    for name in OF_SOUND:
        if _asks_for(job, name) and find_spec(PACKAGES[name]) is None:
            missing.add(name)
            notes.append(f"no {name.upper()}, its columns stay empty: install {PACKAGES[name]}, or raygrid[{name}]")
    if _asks_for(job, "lpips"):
        try:
            fetch(LPIPS, report)
        except UsageError as error:
            missing.add("lpips")
            notes.append(f"no LPIPS, its columns stay empty: {error.messages[0].partition(chr(10))[0]}")
    return Measurable(_without(job, missing) if missing else job, tuple(notes))


def facts(job: Job) -> dict[str, dict[str, str]]:
    """Return what the manifest keeps of the measures of a job."""
    lpips = {"source": LPIPS.origin, "sha256": LPIPS.sha256, "license": LPIPS.license}
    heard: dict[str, dict[str, str]] = {
        name: {"source": f"{PACKAGES[name]} {version(PACKAGES[name])}"} for name in OF_SOUND if _asks_for(job, name)
    }
    return {**({"lpips": lpips} if _asks_for(job, "lpips") else {}), **heard}


def _asks_for(job: Job, measure: Perceptual) -> bool:
    return any(measure in grid.perceptual for grid in job.grids)


def _without(job: Job, missing: set[str]) -> Job:
    grids = tuple(replace(grid, perceptual=tuple(m for m in grid.perceptual if m not in missing)) for grid in job.grids)
    said = job.resolved["grids"]
    resolved = {grid.name: {**said[grid.name], "perceptual": list(grid.perceptual)} for grid in grids}
    return replace(job, grids=grids, resolved={**job.resolved, "grids": resolved})
