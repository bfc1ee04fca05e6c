"""The layout of a results folder: what is kept under which name, and how it is committed. The write is the commit.

    raygrid.json                     the schema version
    draws/<aa>/<unit_key>.parquet    each judgement of a score unit's samples, where there were several; written before its results
    trials/<aa>/<unit_key>.parquet   results of a score unit; that it exists says that the unit is done
    crafts/<aa>/<craft_key>.parquet  cost of a craft unit; that it exists says that the unit is done
    examples/<aa>/<craft_key>.parquet  its adversarial examples, written before its costs
    fits/<aa>/<fit_key>.parquet      what a fit unit cost; that it exists says that the unit is done
    verification/<aa>/<fit_key>.parquet  where it enrolled faces: FAR and FRR, written before its costs
    artifacts/<aa>/<fit_key>.safetensors  what it found, written before its costs
    geometry/<aa>/<geometry_key>.parquet  what a victim answers around some examples, see engine/geometry.py
    failures/<aa>/<unit_key>.parquet   a unit that failed as a whole; counts only while it has no trials
    runs/<run>.json                  manifest of a run
    index/<run>.parquet              what a run asked for, written when it starts
    snapshot/<run>/*.parquet         published at the end of a complete run, see publish.py
    status.json                      progress of the run that goes on, see status.py

<aa> are the first two characters of the key. Parts are immutable and hold content only, never the run that made them.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from raygrid.errors import UsageError
from raygrid.results.columns import Table, table
from raygrid.results.schema import (
    CRAFTS,
    DRAWS,
    EXAMPLES,
    FITS,
    INDEX,
    SCHEMA_VERSION,
    TRIALS,
    VERIFICATION,
)
from raygrid.results.store import Store

MARKER = "raygrid.json"
Parts = Literal["trials", "crafts", "examples", "fits", "verification", "draws", "geometry", "failures"]
Row = Mapping[str, Any]

WHOLE_CRAFT: tuple[Parts, ...] = ("crafts", "examples")
"""The parts that a craft unit consists of; it is done when all are there."""
INDEX_CHUNK = 20_000
"""Index rows that are held as Python objects at a time: a run of 1e6 units would take gigabytes otherwise."""


def prepare(store: Store) -> bool:
    """Make the store a results folder, or check that it is one of this schema version. Return whether it is a new one.

    Raises:
        UsageError: it belongs to another version, or is something else.
    """
    marker = json.dumps({"schema_version": SCHEMA_VERSION}).encode()
    if store.put_if_absent(MARKER, marker):
        return True
    check(store, writing=True)
    return False


def forsake(store: Store) -> None:
    """Undo `prepare`, where nothing was written since."""
    if all(name.removeprefix("./") == MARKER for name in store.list("")):
        store.delete(MARKER)
        store.prune()


def check(store: Store, *, writing: bool = False) -> None:
    """Check that the store is a results folder that can be read, or, with `writing`, added to.

    Folders of earlier schema versions are read: columns that they lack are null. They are not added to, so that the files of a
    folder never differ in schema.

    Raises:
        UsageError: it is not; the message says what it is and what to do.
    """
    where = store.locate("")
    try:
        found = json.loads(store.get(MARKER))["schema_version"]
    except (FileNotFoundError, NotADirectoryError):
        raise UsageError(
            f"{where} is not a results folder (it has no {MARKER}); `raygrid run JOB --results {where}` makes one"
        ) from None
    except (ValueError, KeyError, TypeError):
        raise UsageError(f"{where}/{MARKER} is not what raygrid writes there; use another folder") from None
    if not isinstance(found, int) or not 1 <= found <= SCHEMA_VERSION:
        raise UsageError(
            f"{where} has schema version {found}, this raygrid writes version {SCHEMA_VERSION} and reads no later one: "
            "use another folder or upgrade raygrid"
        )
    if writing and found < SCHEMA_VERSION:
        raise UsageError(
            f"{where} has schema version {found}: it can be read and queried; new results are of version {SCHEMA_VERSION} "
            "and need a folder of their own, `--results FOLDER`"
        )


def encode(content: pa.Table) -> bytes:
    """Return the table as a Parquet file."""
    sink = pa.BufferOutputStream()
    pq.write_table(content, sink, compression="zstd")
    return bytes(sink.getvalue())


def decode(content: bytes) -> pa.Table:
    """Read back what `encode` made."""
    return pq.read_table(pa.BufferReader(content))


def part_name(parts: Parts, key: str) -> str:
    """Return the name of a part.

    Raises:
        ValueError: the key is not letters and digits, two at least.
    """
    if not key.isalnum() or len(key) < 2:
        raise ValueError(f"a key is two or more hex digits, not {key!r}")
    return f"{parts}/{key[:2]}/{key}.parquet"


def snapshot_name(run: str, kind: Table) -> str:
    """Return the name of a published table. That a run's trials are there says that the run is published."""
    return f"snapshot/{run}/{kind.name}.parquet"


def index_name(run: str) -> str:
    """Return the name of a run's index."""
    return f"index/{run}.parquet"


def keys(store: Store, parts: Parts) -> set[str]:
    """Return the keys of the parts: "trials" names the score units that are done, "crafts" the craft units."""
    return {name.rpartition("/")[2].removesuffix(".parquet") for name in store.list(parts)}


def commit_trials(
    store: Store, unit_key: str, rows: Sequence[Row], samples: int | None = None, draws: Sequence[Row] = ()
) -> bool:
    """Commit the results of a score unit, unless someone already has. Return whether this call wrote them.

    Args:
        store: an opened store that `prepare` has seen.
        unit_key: the unit.
        rows: one for each of its samples, with columns of schema.TRIALS.
        samples: how many rows there must be, where the caller knows.
        draws: with columns of schema.DRAWS, where samples were judged by several draws.

    Raises:
        ValueError: rows are missing, double, or of another unit; or a column is wrong, see schema.table.
        UsageError: the disk is full, or can't be written to.
    """
    _check_rows(rows, "unit_key", unit_key, samples)
    if draws and not store.exists(part_name("trials", unit_key)):
        store.put(part_name("draws", unit_key), encode(table(draws, DRAWS)))
    return store.put_if_absent(part_name("trials", unit_key), encode(table(rows, TRIALS)))


def commit_failure(store: Store, unit_key: str, rows: Sequence[Row], samples: int | None = None) -> None:
    """Record that a unit failed as a whole, in place of an earlier failure.

    It stands beside the trials: a later success is committed as usual and from then on the failure no longer counts.

    Args:
        store: an opened store that `prepare` has seen.
        unit_key: the unit.
        rows: one for each of its samples, with columns of schema.TRIALS and status error or timeout.
        samples: how many rows there must be, where the caller knows.

    Raises:
        ValueError: as commit_trials; or a row has another status.
        UsageError: as commit_trials.
    """
    _check_rows(rows, "unit_key", unit_key, samples)
    for wrong in {row.get("status") for row in rows} - {"error", "timeout"}:
        raise ValueError(f"a failed unit has rows of status error or timeout, not {wrong!r}")
    store.put(part_name("failures", unit_key), encode(table(rows, TRIALS)))


def commit_craft(store: Store, craft_key: str, craft_rows: Sequence[Row], example_rows: Sequence[Row]) -> bool:
    """Commit a craft unit, unless someone already has: examples first, then their costs, which say that it is done.

    Args:
        store: an opened store that `prepare` has seen.
        craft_key: the unit.
        craft_rows: one for each of its samples, with columns of schema.CRAFTS.
        example_rows: one for each sample that has an example, with columns of schema.EXAMPLES.

    Returns:
        Whether this call wrote.

    Raises:
        ValueError: as commit_trials; or there is an example of a sample without a craft row.
        UsageError: as commit_trials.
    """
    _check_rows(craft_rows, "craft_key", craft_key, None)
    costs = table(craft_rows, CRAFTS)
    if example_rows:
        _check_rows(example_rows, "craft_key", craft_key, None)
    strangers = {row["sample_id"] for row in example_rows} - {row["sample_id"] for row in craft_rows}
    if strangers:
        raise ValueError(f"{craft_key}: examples without a craft row: {', '.join(sorted(strangers))}")
    if all(store.exists(part_name(parts, craft_key)) for parts in WHOLE_CRAFT):
        return False
    # Half a unit is what a host left that died in between: its other half would not fit this one. Replace it.
    store.put(part_name("examples", craft_key), encode(table(example_rows, EXAMPLES)))
    store.put(part_name("crafts", craft_key), encode(costs))
    return True


def commit_fit(store: Store, fit_key: str, row: Row, artifact: bytes, rates: Sequence[Row] = ()) -> bool:
    """Commit a fit unit, unless someone already has: what it found first, then what it cost, which says that it is done.

    Args:
        store: an opened store that `prepare` has seen.
        fit_key: the unit.
        row: with columns of schema.FITS.
        artifact: the tensors, as a safetensors file.
        rates: with columns of schema.VERIFICATION, of a unit that enrolled faces.

    Returns:
        Whether this call wrote.

    Raises:
        ValueError: the row is of another unit, or a column is wrong, see schema.table.
        UsageError: the disk is full, or can't be written to.
    """
    if row.get("fit_key") != fit_key:
        raise ValueError(f"{fit_key}: a row of another fit_key: {row.get('fit_key')}")
    if store.exists(part_name("fits", fit_key)):
        return False
    store.put(artifact_name(fit_key), artifact)
    if rates:
        store.put(part_name("verification", fit_key), encode(table(rates, VERIFICATION)))
    return store.put_if_absent(part_name("fits", fit_key), encode(table([row], FITS)))


def artifact_name(fit_key: str) -> str:
    """Return the name of what a fit unit found."""
    return part_name("fits", fit_key).replace("fits", "artifacts", 1).replace(".parquet", ".safetensors")


def read_artifact(store: Store, fit_key: str) -> bytes:
    """Return what a fit unit found, a safetensors file.

    Raises:
        FileNotFoundError: the unit is not done.
    """
    return store.get(artifact_name(fit_key))


def read_examples(store: Store, craft_key: str) -> pa.Table:
    """Return the examples of a craft unit, see schema.EXAMPLES.

    Raises:
        FileNotFoundError: the unit is not done, or its examples were removed after publishing.
    """
    return decode(store.get(part_name("examples", craft_key)))


def read_crafts(store: Store, craft_key: str) -> pa.Table:
    """Return what a craft unit cost, see schema.CRAFTS.

    Raises:
        FileNotFoundError: the unit is not done.
    """
    return decode(store.get(part_name("crafts", craft_key)))


def read_trials(store: Store, unit_key: str) -> pa.Table:
    """Return the results of a score unit, see schema.TRIALS.

    Raises:
        FileNotFoundError: the unit is not done.
    """
    return decode(store.get(part_name("trials", unit_key)))


def write_index(store: Store, run: str, rows: Iterable[Row]) -> None:
    """Record what a run asks for: one row a cell and score unit, with columns of schema.INDEX (`run` is filled in).

    Raises:
        ValueError: the same unit stands twice in one cell, there are no rows, or a column is wrong.
        UsageError: the disk is full, or can't be written to.
    """
    remaining = iter(rows)
    chunks = []
    while chunk := [{**row, "run": run} for row in islice(remaining, INDEX_CHUNK)]:
        chunks.append(table(chunk, INDEX))
    if not chunks:
        raise ValueError(f"run {run} has no units")
    index = pa.concat_tables(chunks)
    counts = index.group_by(["grid", "cell_id", "unit_key"]).aggregate([([], "count_all")])
    if counts.num_rows < index.num_rows:
        raise ValueError(f"run {run}: a unit stands twice in one cell")
    store.put(index_name(run), encode(index))


def write_run(store: Store, run: str, manifest: Mapping[str, Any]) -> None:
    """Write or replace the manifest of a run. Its `state`, `started` and `finished` (ISO 8601) show in `runs`."""
    store.put(f"runs/{run}.json", json.dumps(dict(manifest), indent=1).encode())


def read_runs(store: Store) -> dict[str, dict[str, Any]]:
    """Return the manifests by run, oldest first."""
    runs = {_stem(name): json.loads(store.get(name)) for name in store.list("runs")}
    return dict(sorted(runs.items(), key=lambda item: (item[1].get("started") or "", item[0])))


def indexed_runs(store: Store) -> list[str]:
    """Return the runs that have an index, oldest first."""
    started = {run: manifest.get("started") or "" for run, manifest in read_runs(store).items()}
    return sorted((_stem(name) for name in store.list("index")), key=lambda run: (started.get(run, ""), run))


def _stem(name: str) -> str:
    return name.rpartition("/")[2].rpartition(".")[0]


def _check_rows(rows: Sequence[Row], key_column: str, key: str, samples: int | None) -> None:
    """Refuse what would make a part that is not exactly one row a sample of one unit."""
    if not rows or (samples is not None and len(rows) != samples):
        raise ValueError(f"{key}: {'one or more' if samples is None else samples} rows, not {len(rows)}")
    foreign = {row.get(key_column) for row in rows} - {key}
    if foreign:
        raise ValueError(f"{key}: rows of another {key_column}: {', '.join(map(str, foreign))}")
    ids = [row.get("sample_id") for row in rows]
    if None in ids or len(set(ids)) < len(ids):
        raise ValueError(f"{key}: sample_id is missing or stands twice")
