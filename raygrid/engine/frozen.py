"""The job that a run froze into its manifest, read back: for what looks again at results that are there."""

import json
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from raygrid.engine.inputs import Inputs
from raygrid.errors import UsageError
from raygrid.job import load_job
from raygrid.results.open import Results
from raygrid.spec import Job
from raygrid.units import Score


def frozen_job(found: Results, *, trust: bool) -> Job:
    """Return the job of a run as its manifest keeps it.

    Args:
        found: the run.
        trust: whether code that the job names may run here. Whoever wrote the folder wrote that job.

    Raises:
        UsageError: the job runs code and is not trusted, or can't be read any more.
    """
    manifest = next(json.loads(row["manifest"]) for row in found.runs().to_pylist() if row["run"] == found.run)
    if not trust and _runs_code(manifest["job"]):
        raise UsageError(
            "the job of this run has victims built by Python code (trust: true); where you know who wrote these results, "
            "say --trust to run that code here"
        )
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch, "job.json")  # JSON is YAML
        file.write_text(json.dumps(manifest["job"]))
        return _cut_alike(load_job(file), manifest.get("shards", {}))


def _cut_alike(job: Job, shards: Mapping[str, int]) -> Job:
    """Return a job whose datasets are cut as they were where it says nothing: `shards` has the sizes that were usual then."""
    grids = (
        replace(grid, data=tuple(replace(d, shard=d.shard or shards.get(d.key)) for d in grid.data))
        for grid in job.grids
    )
    return replace(job, grids=tuple(grids))


def frozen_units(inputs: Inputs, keys: Iterable[str]) -> dict[str, Score]:
    """Return the score units of these keys, by key.

    Args:
        inputs: of a frozen job.
        keys: as the trials have them.

    Raises:
        UsageError: one is not in the plan any more.
    """
    planned = {score.key: score for score in inputs.plan.scores}
    for key in (wanted := set(keys)):
        if key not in planned:
            raise UsageError(
                f"unit {key} is not in the job any more: data, weights, code or versions have changed since; "
                "the manifest in runs/ says what they were"
            )
    return {key: planned[key] for key in wanted}


def _runs_code(job: object) -> bool:
    """Whether any part of a job says `trust: true`."""
    if isinstance(job, dict):
        return job.get("trust") is True or any(map(_runs_code, job.values()))
    return isinstance(job, list) and any(map(_runs_code, job))
