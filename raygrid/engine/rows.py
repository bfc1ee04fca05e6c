"""Units and verdicts as rows of the result tables: the one place where names of columns meet names of fields."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from raygrid.data.alignment import ALIGNED
from raygrid.data.dataset import CORE_COLUMNS
from raygrid.data.pairs import REFERENCES, STARTS
from raygrid.enrollment import ANSWERS, MATCH, NO_MATCH
from raygrid.grid import channel_label
from raygrid.units import Cell, Score

Row = dict[str, Any]

INFO_LEVELS = {
    "gradient": "white-box",
    "score": "scores",
    "decision": "decisions",
    "transfer": "surrogate",
    "none": "nothing",
}


def cell_row(cell: Cell) -> Row:
    """Return the columns that all trials of a cell share."""
    attack, model = cell.attack, cell.model
    return {
        "data": cell.data,
        "victim": model.victim.id,
        "defense": model.defense.component.name,
        "defense_params": model.defense.params.model_dump_json(),
        "attack": attack.component.name,
        "attack_params": attack.params.model_dump_json(),
        "goal": attack.goal,
        "target": None if attack.target is None else str(attack.target),
        "access": attack.access,
        "awareness": attack.averages,
        "source": attack.source_label,
        "info_level": INFO_LEVELS[attack.access],
        "channel": channel_label(attack),
        "norm": attack.norm or None,
        "eps": attack.radius,
        "eot": attack.looks,
        "precision": attack.precision,
        "suite": attack.stage.suite if attack.stage else None,
        "stage": attack.stage.number if attack.stage else None,
        "stages": attack.stage.stages if attack.stage else None,
        "phrase": attack.phrase,
        "photos": attack.photos if attack.verifies else None,
        "combine": attack.combine if attack.verifies else None,
        "far": cell.judging.far,
        "seed": cell.seed,
    }


def index_rows(scores: Sequence[Score], done: set[str]) -> Iterator[Row]:
    """Return the run index: one row a cell and score unit, `reused` where the unit was done before."""
    shared: dict[str, Row] = {}
    for score in scores:
        cell = score.cell
        columns = shared.get(cell.id)
        if columns is None:
            columns = shared[cell.id] = {"grid": cell.grid, "cell_id": cell.id, **cell_row(cell)}
        yield {
            **columns,
            "unit_key": score.key,
            "craft_key": score.craft.key,
            "samples": score.craft.shard.size,
            "reused": score.key in done,
        }


def sample_rows(table: pa.Table) -> list[Row]:
    """Return the columns that a sample of a shard brings to each of its trials."""
    core = table.select(["sample_id", "cluster", "label"]).to_pylist()
    aside = [name for name in (*CORE_COLUMNS, *REFERENCES, STARTS, ALIGNED) if name in table.column_names]
    extra = table.drop_columns(aside).to_pylist()
    return [
        {**row, "label": str(row["label"]), "metadata": json.dumps(more, default=str) if more else None}
        for row, more in zip(core, extra, strict=True)
    ]


def face_rows(score: Score, table: pa.Table, threshold: float | None) -> list[Row]:
    """Return the columns that a photo of a shard brings to its trial where faces are verified; its label is the right answer.

    The threshold is None where the unit failed before there was one.
    """
    hides = score.cell.attack.goal == "dodge"
    people, targets = (table.column(name).to_pylist() for name in ("person", "target"))
    return [
        {
            "label": ANSWERS[MATCH if hides else NO_MATCH],
            "person": person,
            "target_person": person if hides else target,
            "threshold": threshold,
        }
        for person, target in zip(people, targets, strict=True)
    ]


def failure_rows(score: Score, samples: Sequence[Mapping[str, Any]], status: str, error: str) -> list[Row]:
    """Return the rows of a score unit that failed as a whole."""
    shared = {**trial_key(score), "status": status, "error": error}
    return [{**shared, **sample} for sample in samples]


def trial_key(score: Score) -> Row:
    """Return the columns that all trials of a score unit share."""
    return {
        "unit_key": score.key,
        "craft_key": score.craft.key,
        **cell_row(score.cell),
        "victim_sha256": score.model.info.weights_sha256 or None,
        "judged": "stored" if score.cell.judging.stored else "crafted",
        "enrollment_key": score.enrolled.key if score.enrolled is not None else None,
    }
