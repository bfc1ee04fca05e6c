"""A small job, planned over two shards of digits: what the tests of grids start from."""

import json
from dataclasses import replace

from raygrid.component import resolve
from raygrid.grid import expand, label
from raygrid.job import excluded, load_job
from raygrid.units import Dataset, ShardRef

DIGITS = {
    "data": "mnist-5k",
    "victims": ["mnist-cnn", "mnist-cnn-adv"],
    "attacks": [{"use": "pgd", "norm": "linf", "eps": [0.1, 0.2], "steps": 5}],
}
SHARDS = (ShardRef("a" * 32, 32), ShardRef("b" * 32, 18))
TRANSFER = {"use": "pgd", "norm": "linf", "eps": 0.1, "access": "transfer", "source": "mnist-cnn"}


def job_of(folder, seed=0, name="job", table=None, **grids):
    file = folder / "job.yaml"
    file.write_text(json.dumps({"version": 1, "name": name, "seed": seed, "grids": grids or {"digits": DIGITS}}))
    return load_job(file, components=table)


def plan(job, infos=None, **data):
    """Expand a job over two shards of digits; `infos` replaces facts of victims, by id."""
    specs = {spec.key: spec for grid in job.grids for spec in grid.data}
    datasets = {
        key: Dataset(
            **{
                "name": "digits",
                "label": label("digits", spec.params),
                "classes": 10,
                "classes_stated": True,
                "shape": (1, 28, 28),
                "shards": SHARDS,
                **data,
            }
        )
        for key, spec in specs.items()
    }
    victims = [v for grid in job.grids for v in grid.victims]
    victims += [attack.source for grid in job.grids for attack in grid.attacks if attack.source]
    found = {
        v.key: replace(resolve(v.component.identify)(v.params, v.id), **(infos or {}).get(v.id, {})) for v in victims
    }
    return expand(job, datasets, found, excluded)


def with_grid(**words):
    return {"digits": {**DIGITS, **words}}


def keys(plan):
    return {score.key for score in plan.scores}


def through(params=None, **words):
    """A grid of one attack through a channel."""
    return with_grid(attacks=[{**DIGITS["attacks"][0], "channel": {"use": "view", **(params or {})}}], **words)
