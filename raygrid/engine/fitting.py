"""A fit unit on a host: find out what later units share, keep it as safetensors, and read it back."""

import platform
import time
from collections.abc import Mapping, Sequence
from hashlib import sha256

import pyarrow as pa
import torch
from safetensors.torch import load, save
from torch import Tensor

from raygrid.batch import Batch, numbers_of
from raygrid.component import resolve
from raygrid.data.listed_pairs import listed
from raygrid.data.pairs import CALIBRATION
from raygrid.engine.face_rows import verification_rows
from raygrid.enrollment import Enrollment
from raygrid.kernel import Fitted, fit
from raygrid.results.folder import Row, artifact_name, commit_fit, read_artifact
from raygrid.results.store import Store
from raygrid.similarity import by_of
from raygrid.spec import AttackSpec, VictimSpec
from raygrid.units import Fit
from raygrid.verification import enroll
from raygrid.victims.victim import Victim


def fit_unit(store: Store, unit: Fit, batch: Batch, model: Victim, micro_batch: int | None) -> None:
    """Run a fit unit and commit what it found.

    Args:
        store: the results.
        unit: what to run.
        batch: the samples set apart.
        model: what it is fitted on.
        micro_batch: samples in one pass at most.

    Raises:
        ValueError: what was found is not finite.
        UsageError: the disk is full, or what is fitted does not fit the victim (no such layer).
    """
    started = time.perf_counter()
    _commit(store, unit, found(unit, batch, model, micro_batch), batch, started)


def _commit(store: Store, unit: Fit, made: Fitted, batch: Batch, started: float, rates: Sequence[Row] = ()) -> None:
    if not all(bool(torch.isfinite(tensor).all()) for tensor in made.tensors.values()):
        raise ValueError(f"what {unit.what.component.name} found is not finite")
    artifact = save({name: tensor.detach().contiguous().cpu() for name, tensor in made.tensors.items()})
    attack = unit.what if isinstance(unit.what, AttackSpec) else None
    row = {
        "fit_key": unit.key,
        "kind": unit.what.component.kind,
        "name": unit.what.component.name,
        "params": unit.what.params.model_dump_json(),
        "victim": unit.model.victim.id,
        "defense": unit.model.defense.component.name,
        "norm": (attack.norm or None) if attack else None,
        "eps": attack.radius if attack else None,
        "seed": unit.seed,
        "samples": made.samples,
        "forwards": made.forwards,
        "backwards": made.backwards,
        "seconds": time.perf_counter() - started,
        "artifact": artifact_name(unit.key),
        "artifact_sha256": sha256(artifact).hexdigest(),
        "device": batch.x.device.type,
        "host": platform.node(),
    }
    commit_fit(store, unit.key, row, artifact, rates)


def train_unit(store: Store, unit: Fit, batch: Batch) -> None:
    """Train a victim on photos of people whom nobody else needs, and commit its weights.

    Raises:
        ValueError: a weight is not finite.
        UsageError: the disk is full.
    """
    started = time.perf_counter()
    weights: dict[str, Tensor] = resolve(unit.what.component.fit)(unit.what.params, batch.x, batch.labels)
    _commit(store, unit, Fitted(weights, len(batch.ids)), batch, started)


def enroll_unit(store: Store, unit: Fit, batch: Batch, table: pa.Table, model: Victim, micro_batch: int | None) -> None:
    """Embed all clean photos, and commit the embeddings and how well they tell people apart.

    Args:
        store: the results.
        unit: what to run.
        batch: the photos of `table`.
        table: the gallery, see data/pairs.py.
        model: what embeds them.
        micro_batch: photos in one pass at most.

    Raises:
        ValueError: the model fails on a photo.
        UsageError: the disk is full.
    """
    started = time.perf_counter()
    calibration, similarity = table.column(CALIBRATION).to_pylist(), by_of(unit.model.info)
    people = table.column("label").to_pylist()
    enrolled = enroll(
        model,
        batch.x,
        batch.ids,
        calibration,
        people,
        similarity,
        micro_batch,
        numbers_of(batch, unit.seed),
        listed(table, calibration=True),
    )
    rates = [
        {
            "fit_key": unit.key,
            "victim": unit.model.victim.id,
            "defense": unit.model.defense.component.name,
            "defense_params": unit.model.defense.params.model_dump_json(),
            **row,
        }
        for row in verification_rows(enrolled, table)
    ]
    _commit(store, unit, Fitted(enrolled.tensors(), len(batch.ids), 1, 0), batch, started, rates)


def found(unit: Fit, batch: Batch, model: Victim, micro_batch: int | None) -> Fitted:
    """Return what a fit finds on a batch, and commit nothing; arguments as those of `fit_unit`."""
    if isinstance(unit.what, AttackSpec):
        attack = unit.what
        access = attack.component.access if attack.access == "transfer" else attack.access
        return fit(model, batch, attack, unit.seed, access=access, micro_batch=micro_batch)
    if isinstance(unit.what, Enrollment | VictimSpec):
        raise ValueError("photos are enrolled by enroll_unit, and victims trained by train_unit")
    tensors: dict[str, Tensor] = resolve(unit.what.component.fit)(unit.what.params, model, batch.x, micro_batch)
    return Fitted(tensors, len(batch.ids))


def read_fitted(store: Store, unit: Fit, device: torch.device) -> Mapping[str, Tensor]:
    """Return what a fit unit found.

    Raises:
        FileNotFoundError: it is not done.
    """
    return {name: tensor.to(device) for name, tensor in load(read_artifact(store, unit.key)).items()}
