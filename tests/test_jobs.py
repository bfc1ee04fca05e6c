"""The jobs that the project ships."""

import json
from pathlib import Path

import jsonschema
import pytest
from ruamel.yaml import YAML

from raygrid.job import load_job

JOBS = Path(__file__).parents[1] / "jobs"
SCHEMA = json.loads((JOBS / "job.schema.json").read_text())


@pytest.mark.parametrize("file", sorted(JOBS.glob("*.yaml")), ids=lambda file: file.stem)
def test_every_job_loads_and_is_valid_to_editors(file):
    assert load_job(file).name == file.stem
    jsonschema.validate(YAML(typ="safe", pure=True).load(file.read_text()), SCHEMA)
