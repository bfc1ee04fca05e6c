"""DuckDB over a results folder: finds the files of one run and makes the views of views.py over them."""

from collections.abc import Callable, Sequence

import duckdb
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from raygrid.results import checks, faces, geometry, recovery, speech, views
from raygrid.results.columns import Table
from raygrid.results.folder import Parts, index_name, keys, part_name, snapshot_name
from raygrid.results.schema import (
    CHECKS,
    CRAFTS,
    DRAWS,
    EXAMPLES,
    FITS,
    GEOMETRY,
    INDEX,
    PLACED_TRIALS,
    TRIALS,
    VERIFICATION,
)
from raygrid.results.store import Store

SQL_TYPES = {
    "string": "VARCHAR",
    "json": "VARCHAR",
    "int64": "BIGINT",
    "float64": "DOUBLE",
    "bool": "BOOLEAN",
    "binary": "BLOB",
    "shape": "BIGINT[]",
    "distances": "MAP(VARCHAR, DOUBLE)",
}
"""Type of a column (schema.TYPES) -> its type in DuckDB, for columns that a folder of an earlier schema version lacks."""
Source = Callable[[duckdb.DuckDBPyConnection, str, Table, Sequence[str]], None]
"""Makes the view of a name over the files of one table."""


def connect(
    store: Store, run: str, runs: pa.Table, *, sandboxed: bool = False, snapshot: bool = True
) -> duckdb.DuckDBPyConnection:
    """Return an in-memory database with the views of one run.

    Args:
        store: a results folder.
        run: a run that has an index.
        runs: what the view `runs` shows, see schema.RUNS.
        sandboxed: SQL can read the views, and can itself neither read nor write a file. Slower on many small parts.
        snapshot: read the published snapshot where there is one.
    """
    connection = duckdb.connect()
    source = _through_arrow if sandboxed else _from_files
    connection.execute("SET enable_progress_bar = false; CREATE SCHEMA raw")
    index_file = store.locate(index_name(run))
    source(connection, "raw.run_index", INDEX, [index_file])
    connection.register("manifests", runs)
    connection.execute("CREATE TABLE raw.runs AS FROM manifests").unregister("manifests")

    index = pq.read_table(index_file, columns=["unit_key", "craft_key"])
    units, crafts = (set(index[name].to_pylist()) for name in index.column_names)
    if snapshot and store.exists(snapshot_name(run, PLACED_TRIALS)):
        source(connection, "trials", PLACED_TRIALS, [store.locate(snapshot_name(run, PLACED_TRIALS))])
        source(connection, "raw.crafts", CRAFTS, [store.locate(snapshot_name(run, CRAFTS))])
    else:
        done = units & keys(store, "trials")
        failed = (units - done) & keys(store, "failures")
        source(connection, "raw.parts", TRIALS, _paths(store, "trials", done) + _paths(store, "failures", failed))
        source(connection, "raw.crafts", CRAFTS, _paths(store, "crafts", crafts & keys(store, "crafts")))
        connection.execute(views.TRIALS)
    source(connection, "fits", FITS, _paths(store, "fits", keys(store, "fits")))
    source(connection, "verification", VERIFICATION, _paths(store, "verification", keys(store, "verification")))
    source(connection, "raw.draws", DRAWS, _paths(store, "draws", units & keys(store, "draws")))
    source(connection, "geometry", GEOMETRY, _paths(store, "geometry", keys(store, "geometry")))
    source(connection, "raw.examples", EXAMPLES, _paths(store, "examples", crafts & keys(store, "examples")))

    if snapshot and store.exists(snapshot_name(run, CHECKS)):
        source(connection, "checks", CHECKS, [store.locate(snapshot_name(run, CHECKS))])
    else:
        connection.execute(checks.VIEW)
    for statement in (*views.DERIVED, *recovery.VIEWS, geometry.VIEW, *faces.VIEWS, *speech.VIEWS):
        connection.execute(statement)
    if sandboxed:
        connection.execute("SET enable_external_access = false; SET lock_configuration = true")
    return connection


def _paths(store: Store, parts: Parts, found: set[str]) -> list[str]:
    return [store.locate(part_name(parts, key)) for key in sorted(found)]


def _from_files(connection: duckdb.DuckDBPyConnection, view: str, kind: Table, paths: Sequence[str]) -> None:
    """Let DuckDB read the files itself: the fastest way, and cursors of the connection see the view too."""
    if paths:
        files = ", ".join("'" + path.replace("'", "''") + "'" for path in paths)
        older = {column.name for column in kind.columns} - set(pq.read_schema(paths[0]).names)
        columns = ", ".join(
            f"NULL::{SQL_TYPES[c.type]} AS {c.name}" if c.name in older else c.name for c in kind.columns
        )
        connection.execute(f"CREATE VIEW {view} AS SELECT {columns} FROM read_parquet([{files}])")  # noqa: S608 - names of columns
    else:
        connection.register("nothing", kind.arrow.empty_table())
        connection.execute(f"CREATE TABLE {view} AS FROM nothing").unregister("nothing")


def _through_arrow(connection: duckdb.DuckDBPyConnection, view: str, kind: Table, paths: Sequence[str]) -> None:
    """Let Arrow read the files, lazily: works where DuckDB itself may open none.

    Allowing DuckDB the folder would not do: what may read there may write, `WITH x AS (COPY ...) SELECT ...` (2.0.0).
    """
    name = f"arrow_{view.replace('.', '_')}"
    connection.register(
        name, ds.dataset(list(paths), schema=kind.arrow, format="parquet") if paths else kind.arrow.empty_table()
    )
    connection.execute(f"CREATE VIEW {view} AS FROM {name}")
