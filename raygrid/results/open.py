"""`open_results(path)`: a results folder as DuckDB views, Arrow, pandas, Polars and NumPy arrays."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np
import pyarrow as pa

from raygrid.errors import UsageError, did_you_mean
from raygrid.results.columns import table
from raygrid.results.damage import told_by_name
from raygrid.results.database import connect
from raygrid.results.folder import check, indexed_runs, part_name, read_examples, read_runs
from raygrid.results.schema import RUNS
from raygrid.results.store import Store, open_store

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

ONE_SELECT = "one SELECT statement at a time, and nothing that writes"


@dataclass(frozen=True)
class Example:
    """An adversarial example beside what became of it."""

    trial: dict[str, Any]
    """The row of the view `trials`."""
    x: np.ndarray
    """The example as crafted: float32, in input units, shaped as the victim takes it."""
    stored: np.ndarray | None
    """The same as a file can hold it: uint8."""


@dataclass(frozen=True)
class Results:
    """One run of a results folder. Every call looks at the folder afresh, so a run that goes on can be watched.

    The views are `trials`, `examples`, `crafts`, `fits`, `runs`, `cells`, `summary`, `worst_case` and others: see views.py, and
    schema.py for the columns.
    """

    store: Store
    run: str
    """Id of the run that the views show."""

    def duckdb(self) -> duckdb.DuckDBPyConnection:
        """Return an in-memory database with the views. It may do whatever this process may; `query` may only read."""
        return connect(self.store, self.run, self.runs())

    def arrow(self, view: str = "trials") -> pa.Table:
        """Return a view as an Arrow table."""
        with self.duckdb() as connection:
            return connection.table(view).to_arrow_table()

    def pandas(self, view: str = "trials") -> "pd.DataFrame":
        """Return a view as a pandas DataFrame.

        Raises:
            UsageError: pandas is not installed.
        """
        _need("pandas")
        with self.duckdb() as connection:
            frame: pd.DataFrame = connection.table(view).df()
            return frame

    def polars(self, view: str = "trials") -> "pl.DataFrame":
        """Return a view as a Polars DataFrame.

        Raises:
            UsageError: Polars is not installed.
        """
        _need("polars")
        with self.duckdb() as connection:
            frame: pl.DataFrame = connection.table(view).pl()
            return frame

    def query(self, sql: str) -> pa.Table:
        """Run one SELECT over the views, sealed off: it can neither write nor read any file but through the views.

        Raises:
            UsageError: the SQL is wrong, or something else than one SELECT; the message is DuckDB's own.
        """
        with (
            _in_its_words(),
            told_by_name(self.store),
            connect(self.store, self.run, self.runs(), sandboxed=True) as connection,
        ):
            statements = connection.extract_statements(sql)
            if [statement.type for statement in statements] != [duckdb.StatementType.SELECT]:
                raise UsageError(f"query: {ONE_SELECT}")
            return connection.sql(sql).to_arrow_table()

    def examples(self, where: str = "true") -> Iterator[Example]:
        """Yield the adversarial examples of the trials that a condition selects, one craft unit in memory at a time.

        Trials that have none are left out: their crafting failed, or the examples were removed after publishing.

        Args:
            where: SQL condition on the columns of `trials`, such as `"attack = 'pgd' and status = 'broken'"`.

        Raises:
            UsageError: the condition is not SQL, or names an unknown column.
        """
        trials = self.query(f"SELECT * FROM trials WHERE ({where}\n) ORDER BY craft_key, sample_id")  # noqa: S608 - query() is sealed off
        return self.examples_of(trials)

    def examples_of(self, trials: pa.Table) -> Iterator[Example]:
        """Yield the examples of trials, rows of the view in the order of their craft_key, as `examples` does."""
        return _examples(self.store, trials)

    def runs(self) -> pa.Table:
        """Return the runs of the folder, oldest first, see schema.RUNS; `manifest` is JSON."""
        return table((_run_row(run, manifest) for run, manifest in read_runs(self.store).items()), RUNS)


def open_results(path: str | Path, run: str | None = None) -> Results:
    """Open a results folder.

    Args:
        path: local folder or file:// URI.
        run: id of a run; default the latest.

    Raises:
        UsageError: no such folder, not a results folder, of another schema version, without a run, or without that run.
    """
    store = open_store(path)
    check(store)
    known = indexed_runs(store)
    if not known:
        raise UsageError(f"{store.locate('')} has no run yet; `raygrid run JOB` starts one")
    if run is not None and run not in known:
        raise UsageError(f'unknown run "{run}"{did_you_mean(run, known) or f"; the latest is {known[-1]}"}')
    return Results(store, run or known[-1])


def _run_row(run: str, manifest: dict[str, Any]) -> dict[str, Any]:
    shown = {name: manifest.get(name) for name in ("started", "finished", "state")}
    return {"run": run, **shown, "manifest": json.dumps(manifest)}


def _examples(store: Store, trials: pa.Table) -> Iterator[Example]:
    rows = (row for batch in trials.to_batches(max_chunksize=1000) for row in batch.to_pylist())
    for craft_key, judged in groupby(rows, key=itemgetter("craft_key")):
        if craft_key is None or not store.exists(part_name("examples", craft_key)):
            continue
        examples = read_examples(store, craft_key)
        places = {sample: place for place, sample in enumerate(examples["sample_id"].to_pylist())}
        for trial in judged:
            if trial["sample_id"] in places:
                yield _example(trial, examples.slice(places[trial["sample_id"]], 1).to_pylist()[0])


def _example(trial: dict[str, Any], row: dict[str, Any]) -> Example:
    x = np.frombuffer(row["x_adv"], "<f4").astype(np.float32).reshape(row["shape"])
    stored = None if row["x_stored"] is None else _filed(row["x_stored"], row["shape"])
    return Example(trial, x, stored)


def _need(package: str) -> None:
    if find_spec(package) is None:
        raise UsageError(
            f"{package} is not installed; pip install 'raygrid[frames]' brings it, and `.arrow()` works without"
        )


@contextmanager
def _in_its_words() -> Iterator[None]:
    try:
        yield
    except duckdb.Error as error:
        raise UsageError(f"query: {_one_line(error)}") from error


def _one_line(error: duckdb.Error) -> str:
    """Return what DuckDB says, its hint included, without the picture of the line."""
    return " ".join(str(error).partition("\n\nLINE ")[0].split())


def _filed(content: bytes, shape: Sequence[int]) -> np.ndarray:
    """Return what a file holds of an example: pictures [C, H, W] uint8, sound [T] int16."""
    kind = "<i2" if len(shape) == 1 else "u1"
    return np.frombuffer(content, kind).copy().reshape(tuple(shape))
