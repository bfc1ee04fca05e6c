"""Files of a results folder that can't be read, by name: what a torn disk or a stray editor leaves, for no commit makes one."""

from collections.abc import Iterator
from contextlib import contextmanager

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from raygrid.errors import UsageError
from raygrid.results.store import Store

OF_SQL = duckdb.ParserException, duckdb.BinderException, duckdb.CatalogException, duckdb.SyntaxException
"""What DuckDB finds before it reads anything."""
FOLDERS = ("trials", "crafts", "examples", "fits", "verification", "draws", "geometry", "failures", "index", "snapshot")


@contextmanager
def told_by_name(store: Store) -> Iterator[None]:
    """Say of a file that can't be read which it is, and what to do.

    Raises:
        UsageError: reading failed, and there is such a file.
    """
    try:
        yield
    except OF_SQL:
        raise
    except (duckdb.Error, pa.ArrowException, OSError) as error:
        damaged = next(_damaged(store), None)
        if damaged is None:
            raise
        raise UsageError(
            f"{store.locate(damaged)} is damaged; delete it and run the job again, which computes anew what is missing"
        ) from error


def _damaged(store: Store) -> Iterator[str]:
    for folder in FOLDERS:
        for name in sorted(store.list(folder)):
            try:
                pq.read_metadata(store.locate(name))
            except (pa.ArrowException, OSError):
                yield name
