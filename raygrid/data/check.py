"""What any dataset must keep to, built-in, brought or from another package, before a sample of it is used."""

from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raygrid.data.dataset import CORE_COLUMNS, Dataset
from raygrid.errors import UsageError

CHUNK = 64
"""Samples whose pixels are looked at in one go: bounds the memory that a check takes."""


def check(dataset: Dataset) -> None:
    """Hold a dataset to its contract.

    Raises:
        UsageError: the first breach, with the sample, its value and what to do.
    """
    where = f'data "{dataset.name}"'
    _check_columns(dataset, where)
    if dataset.table.num_rows == 0:
        raise UsageError(f"{where} is empty: no sample is left to attack; look at its path, split and limit")
    _check_ids(dataset.table.column("sample_id"), where)
    _check_labels(dataset, where)
    if len(dataset.table.schema.field("x").type.shape) == 1:
        _check_waveforms(dataset.table, where)
    else:
        _check_pixels(dataset.table, where)


def _check_columns(dataset: Dataset, where: str) -> None:
    schema = dataset.table.schema
    if missing := [name for name in CORE_COLUMNS if name not in schema.names]:
        raise UsageError(
            f"{where} lacks the column {', '.join(missing)}; make_table of raygrid.data.dataset builds a right table"
        )
    if repeated := [name for name, times in Counter(schema.names).items() if times > 1]:
        raise UsageError(f"{where} has several columns named {', '.join(repeated)}; rename all but one")
    wanted = {"sample_id": pa.string(), "cluster": pa.string(), "label": pa.int64()}
    for name, kind in wanted.items():
        if schema.field(name).type != kind:
            raise UsageError(f'{where}: column "{name}" must be {kind}, not {schema.field(name).type}')
    kind = schema.field("x").type
    if not (
        isinstance(kind, pa.FixedShapeTensorType)
        and (
            (len(kind.shape) == 3 and kind.value_type == pa.uint8())
            or (len(kind.shape) in {1, 3} and kind.value_type == pa.float32())
        )
    ):
        raise UsageError(
            f'{where}: column "x" must be a fixed-shape tensor [C, H, W] of uint8 or float32, or a waveform [T] of float32, '
            f"not {kind}"
        )
    for name in CORE_COLUMNS:
        if nulls := dataset.table.column(name).null_count:
            raise UsageError(f'{where}: column "{name}" is empty in {nulls} rows; fill or drop them')


def _check_ids(ids: pa.ChunkedArray, where: str) -> None:
    counts = pc.value_counts(ids.combine_chunks())
    repeated = counts.filter(pc.greater(counts.field("counts"), 1))
    if len(repeated):
        first = repeated[0].as_py()
        raise UsageError(
            f'{where}: the id "{first["values"]}" stands at {first["counts"]} samples '
            f"({len(repeated)} ids are repeated); every sample needs an id of its own"
        )


def _check_labels(dataset: Dataset, where: str) -> None:
    if dataset.class_names and len(dataset.class_names) != dataset.classes:
        raise UsageError(
            f"{where}: {len(dataset.class_names)} class_names for {dataset.classes} classes; they must be as many"
        )
    labels = dataset.table.column("label").to_numpy()
    bad = np.flatnonzero((labels < 0) | (labels >= dataset.classes))
    if len(bad):
        raise UsageError(
            f"{where}: sample {_name(dataset.table, bad[0])} has the label {labels[bad[0]]}, "
            f"outside 0..{dataset.classes - 1} ({len(bad)} of {len(labels)} samples); labels count from 0, or state `classes`"
        )


def _check_pixels(table: pa.Table, where: str) -> None:
    if table.schema.field("x").type.value_type == pa.uint8():
        return
    for start in range(0, table.num_rows, CHUNK):
        x = table.column("x").slice(start, CHUNK).combine_chunks().to_numpy_ndarray()
        fine = (x >= 0) & (x <= 1)  # False for NaN too
        if not fine.all():
            row = int(np.flatnonzero(~fine.reshape(len(x), -1).all(axis=1))[0])
            raise UsageError(f"{where}: sample {_name(table, start + row)} {_complaint(x[row][~fine[row]])}")


def _check_waveforms(table: pa.Table, where: str) -> None:
    for start in range(0, table.num_rows, CHUNK):
        x = table.column("x").slice(start, CHUNK).combine_chunks().to_numpy_ndarray()
        peaks = np.abs(x).max(axis=1)  # NaN where there is one
        for row in np.flatnonzero(~((peaks > 0) & (peaks <= 1)))[:1]:
            bad = {True: "is silent; drop it", False: f"reaches {peaks[row]:g}; waveforms stay in [-1, 1]"}[
                bool(peaks[row] == 0)
            ]
            raise UsageError(f"{where}: sample {_name(table, start + row)} {bad}")


def _complaint(bad: np.ndarray) -> str:
    if np.isnan(bad).any():
        return f"holds NaN in {np.isnan(bad).sum()} places; repair or drop it"
    value = f"holds the pixel value {bad[np.abs(bad).argmax()]:g}; pixels are uint8, or floats in [0, 1]"
    if bad.max() > 1 and bad.max() <= 255 and bad.min() >= 0:
        return f"{value}: divide by 255, or store them as uint8"
    return f"{value}: undo any normalization, the victims do their own"


def _name(table: pa.Table, row: int) -> str:
    return f'"{table.column("sample_id")[int(row)].as_py()}"'
