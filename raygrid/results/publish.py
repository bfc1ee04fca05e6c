"""Publishing: the rows of a complete run as one sorted, immutable file, which dashboards and notebooks read."""

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from raygrid.results.columns import Table
from raygrid.results.damage import told_by_name
from raygrid.results.database import connect
from raygrid.results.folder import index_name, keys, snapshot_name
from raygrid.results.schema import CHECKS, CRAFTS, PLACED_TRIALS, RUNS
from raygrid.results.store import Store

ROW_GROUP = 100_000
"""Rows that a reader must take at once."""

PUBLISHED = (
    (CRAFTS, "FROM crafts ORDER BY craft_key, sample_id"),
    (CHECKS, "FROM checks ORDER BY ALL"),
    (PLACED_TRIALS, "FROM trials ORDER BY grid, cell_id, seed, sample_id"),
)
"""What is published, trials last: that they are there says that the run is published."""

ODD_UNIT = """
SELECT unit_key, planned, count(sample_id) AS found, count(DISTINCT sample_id) AS distinct_found
FROM (SELECT unit_key, any_value(samples) AS planned FROM raw.run_index GROUP BY unit_key)
LEFT JOIN raw.parts USING (unit_key)
GROUP BY unit_key, planned HAVING found <> planned OR distinct_found <> planned ORDER BY unit_key LIMIT 1
"""
"""A unit that has not exactly one row for each of its samples: no commit makes one, so somebody else touched the file."""


def publish(store: Store, run: str) -> str | None:
    """Publish the snapshot of a run, unless that has been done. Return None, or why it can't be published.

    A run is complete when every unit of its index has its trials; a recorded failure is no result.

    Raises:
        UsageError: the disk is full, or can't be written to; or a file is damaged.
    """
    if store.exists(snapshot_name(run, PLACED_TRIALS)):
        return None
    if not store.exists(index_name(run)):
        return f"run {run} has no index"
    with told_by_name(store), connect(store, run, RUNS.arrow.empty_table(), snapshot=False) as connection:
        reason = _incomplete(store, connection) or _inconsistent(connection)
        if reason is None:
            for kind, query in PUBLISHED:
                store.put_if_absent(snapshot_name(run, kind), _parquet(connection, kind, query))
        return reason


def _incomplete(store: Store, connection: duckdb.DuckDBPyConnection) -> str | None:
    units = {unit for (unit,) in connection.execute("SELECT DISTINCT unit_key FROM raw.run_index").fetchall()}
    missing = len(units - keys(store, "trials"))
    return f"{missing} of {len(units)} units have no results yet" if missing else None


def _inconsistent(connection: duckdb.DuckDBPyConnection) -> str | None:
    for unit, planned, found, distinct in connection.execute(ODD_UNIT).fetchall():
        return f"unit {unit} has {found} rows of {distinct} samples, {planned} samples were planned"
    return None


def _parquet(connection: duckdb.DuckDBPyConnection, kind: Table, query: str) -> bytes:
    """Return the rows of a query as a Parquet file. Only what is encoded is held in memory: DuckDB sorts on disk if it must.

    Written by Arrow: DuckDB would mark the columns that happen to have no null, and no two snapshots would be alike.
    """
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, kind.arrow, compression="zstd") as writer:
        for batch in connection.sql(query).to_arrow_reader(ROW_GROUP):
            writer.write_batch(pa.RecordBatch.from_arrays(batch.columns, schema=kind.arrow))
    return bytes(sink.getvalue())
