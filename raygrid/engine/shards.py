"""What of a shard a host computes with: its samples, the examples made of them, and the verdicts on these."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from raygrid.batch import Batch
from raygrid.data.alignment import ALIGNED
from raygrid.data.dataset import pixels, scaled
from raygrid.data.pairs import REFERENCES, photos_of
from raygrid.evidence import UNKNOWN, Record, answers_differ, left_of
from raygrid.framing import Framing
from raygrid.results.folder import read_crafts, read_examples, read_trials
from raygrid.results.store import Store
from raygrid.units import Craft, Score
from raygrid.verification import References


class Examples(NamedTuple):
    """The examples of a craft unit, as its score units need them."""

    x_adv: Tensor
    failures: Mapping[int, str]
    claimed: Sequence[bool | None]


def batch_of(table: pa.Table, classes: int, device: torch.device) -> Batch:
    """Return the samples of a shard on a device; `classes` are those of the whole dataset."""
    x = torch.tensor(pixels(table), device=device)  # what comes out of the object store is read-only: copy
    labels = torch.tensor(table.column("label").to_numpy(), device=device)
    references = None
    if set(REFERENCES) <= set(table.column_names):
        references = References(*(table.column(name).to_pylist() for name in REFERENCES))
    transcripts = table.column("transcript").to_pylist() if "transcript" in table.column_names else None
    photos = photos_of(table)
    starts = None if photos is None else torch.tensor(scaled(photos), device=device)
    ids, framing = table.column("sample_id").to_pylist(), None
    if ALIGNED in table.column_names:
        matrices = torch.tensor(table.column(ALIGNED).to_pylist(), dtype=torch.float64).view(-1, 2, 3)
        framing = Framing(matrices, (x.shape[2], x.shape[3]))
    return Batch(ids, x, labels, classes, references, transcripts, starts, framing)


def read_examples_of(store: Store, unit: Craft, batch: Batch, before: Examples | None) -> Examples:
    """Read the examples of a craft unit from the results; `before`: those of the unit that it took some over from."""
    found = {row["sample_id"]: row["x_adv"] for row in read_examples(store, unit.key).to_pylist()}
    costs = {row["sample_id"]: row for row in read_crafts(store, unit.key).to_pylist()}
    x_adv, failures = batch.x.clone(), dict[int, str]()
    for i, sample in enumerate(batch.ids):
        status = costs[sample]["status"]
        if status == "inherited" and before is not None:
            x_adv[i] = before.x_adv[i]
            failures |= {i: before.failures[i]} if i in before.failures else {}
        elif status == "crafted":  # a missing example is a fault, never the clean input
            values = np.frombuffer(found[sample], dtype="<f4").reshape(tuple(x_adv.shape[1:]))
            x_adv[i] = torch.tensor(values, device=x_adv.device)
        else:
            failures[i] = costs[sample]["error"] or status
    return Examples(x_adv, failures, [costs[s]["attack_claimed"] for s in batch.ids])


def read_record_of(store: Store, unit: Score, batch: Batch, clean_margins: Sequence[float]) -> Record:
    """Read what a score unit tells the units after it in its series; `clean_margins` [B]: what the clean inputs had left."""
    trials, crafts = (
        {row["sample_id"]: row for row in table.to_pylist()}
        for table in (read_trials(store, unit.key), read_crafts(store, unit.craft.key))
    )
    attack = unit.craft.attack
    return Record(
        attack.component.name,
        attack.component.access,
        attack.eps,
        [trials[sample]["status"] == "broken" for sample in batch.ids],
        [trials[sample]["obtained"] == "attacked" for sample in batch.ids],
        [crafts[sample]["zero_gradients"] for sample in batch.ids],
        [crafts[sample]["false_gradients"] for sample in batch.ids],
        [crafts[sample]["backwards"] for sample in batch.ids],
        left_of([trials[sample]["margin"] for sample in batch.ids], clean_margins),
        [trials[sample]["status"] in UNKNOWN for sample in batch.ids],
        # Views tell nothing of the victim.
        not unit.cell.attack.channel
        and answers_differ([row["draws_fooled"] for row in trials.values()], unit.cell.judging.draws),
    )
