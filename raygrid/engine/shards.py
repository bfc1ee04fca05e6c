"""What of a shard a host computes with: its samples, and the examples made of them."""

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
from raygrid.framing import Framing
from raygrid.results.folder import read_crafts, read_examples
from raygrid.results.store import Store
from raygrid.units import Craft
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
