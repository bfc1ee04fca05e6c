"""A results folder in a few words: cells of named samples, whose statuses are all that matters."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from raygrid.results.folder import commit_craft, commit_failure, commit_trials, write_index, write_run
from raygrid.results.open import open_results
from raygrid.results.store import LocalStore

CELL = {
    "data": "tiles",
    "victim": "lite0",
    "defense": "none",
    "attack": "pgd",
    "goal": "untargeted",
    "access": "gradient",
    "norm": "linf",
    "eps": 0.5,
    "seed": 0,
}


def key(text):
    """A key of 32 hex digits, different for different short texts."""
    return text.encode().hex().rjust(32, "0")[::-1]


def trial(unit, sample, status, **columns):
    known = status in {"robust", "broken", "clean_wrong"}
    row = {
        **CELL,
        "unit_key": key(unit),
        "craft_key": key(unit),
        "sample_id": sample,
        "cluster": sample,
        "status": status,
        "obtained": "attacked",
        "clean_correct": status != "clean_wrong" if known else None,
        "success": status != "robust" if known else None,
    }
    return row | columns


@dataclass
class Unit:
    """One score unit: which cell it belongs to, and what became of its samples."""

    name: str
    statuses: Mapping[str, str]
    """Sample -> status."""
    planned: int | None = None
    failed: bool = False
    clusters: Mapping[str, str] | None = None
    cell: Mapping[str, object] | None = None
    trial: Mapping[str, object] | None = None
    """Columns that all its trials share and a cell has not."""

    def rows(self):
        clusters = self.clusters or {}
        return [
            trial(self.name, s, status, cluster=clusters.get(s, s), **(self.cell or {}), **(self.trial or {}))
            for s, status in self.statuses.items()
        ]


@dataclass
class Folder:
    store: LocalStore

    def add(self, unit):
        if unit.failed:
            commit_failure(self.store, key(unit.name), unit.rows())
        elif unit.statuses:
            commit_trials(self.store, key(unit.name), unit.rows())

    def run(self, *units, run="r1", started="2026-11-01T00:00:00", reused=False, manifest=None):
        """Commit the units and the index that asks for them. Units of one cell differ in their name's tail: `a.0`, `a.1`."""
        for unit in units:
            self.add(unit)
        write_index(
            self.store,
            run,
            [
                {
                    **CELL,
                    **(unit.cell or {}),
                    "grid": "g",
                    "cell_id": unit.name.partition(".")[0],
                    "unit_key": key(unit.name),
                    "craft_key": key(unit.name),
                    "samples": len(unit.statuses) if unit.planned is None else unit.planned,
                    "reused": reused,
                }
                for unit in units
            ],
        )
        write_run(
            self.store, run, {"started": started, "state": "finished", "job": {"name": "test"}, **(manifest or {})}
        )
        return self.results()

    def craft(self, name, *samples, **columns):
        x = np.arange(12, dtype="<f4").reshape(3, 2, 2)
        craft_rows = [
            {"craft_key": key(name), "sample_id": s, "status": "crafted", "forwards": 20, **columns} for s in samples
        ]
        example_rows = [
            {
                "craft_key": key(name),
                "sample_id": s,
                "shape": [3, 2, 2],
                "dtype": "uint8",
                "x_adv": (x + place).tobytes(),
                "x_stored": (x + place).astype(np.uint8).tobytes(),
            }
            for place, s in enumerate(samples)
        ]
        return commit_craft(self.store, key(name), craft_rows, example_rows)

    def results(self, run=None):
        return open_results(self.store.root, run)

    def rows(self, view, run=None):
        return self.results(run).arrow(view).to_pylist()
