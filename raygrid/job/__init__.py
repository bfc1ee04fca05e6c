"""The job file: `load_job` reads and validates it, `job_schema` describes it to editors. Imports no torch, no ray."""

from raygrid.job.attacks import (
    check_awareness,
    check_budget,
    check_defended,
    check_eps,
    check_precision,
    check_rivals,
)
from raygrid.job.exclude import excluded
from raygrid.job.load import load_job
from raygrid.job.options import read_data, read_victim
from raygrid.job.schema import job_schema

__all__ = [
    "check_awareness",
    "check_budget",
    "check_defended",
    "check_eps",
    "check_precision",
    "check_rivals",
    "excluded",
    "job_schema",
    "load_job",
    "read_data",
    "read_victim",
]
