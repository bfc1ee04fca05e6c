"""What tables are made of: columns with a name, a type and a meaning, and how rows become an Arrow table of them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from operator import index
from typing import Any

import pyarrow as pa

from raygrid.errors import did_you_mean

TYPES = {
    "string": pa.string(),
    "json": pa.string(),
    "int64": pa.int64(),
    "float64": pa.float64(),
    "bool": pa.bool_(),
    "binary": pa.binary(),
    "shape": pa.list_(pa.int64()),
    "distances": pa.map_(pa.string(), pa.float64()),
}


@dataclass(frozen=True)
class Column:
    """One column."""

    name: str
    type: str
    """A key of TYPES."""
    doc: str
    choices: tuple[str, ...] = ()
    """The values it may hold; empty: any."""


@dataclass(frozen=True)
class Table:
    """One table: all its columns are nullable and always there."""

    name: str
    columns: tuple[Column, ...]

    @cached_property
    def arrow(self) -> pa.Schema:
        """The Arrow schema of every file of this table."""
        return pa.schema([(column.name, TYPES[column.type]) for column in self.columns])

    @cached_property
    def docs(self) -> dict[str, str]:
        """Column name -> what it means."""
        return {column.name: column.doc for column in self.columns}


def table(rows: Iterable[Mapping[str, Any]], kind: Table) -> pa.Table:
    """Build an Arrow table from rows. A column that a row lacks is null.

    Raises:
        ValueError: a row has an unknown column, or a value of the wrong type or not among the column's choices.
    """
    rows = list(rows)
    names = {column.name for column in kind.columns}
    for unknown in set().union(*rows) - names:
        raise ValueError(f'{kind.name} has no column "{unknown}"{did_you_mean(unknown, names)}')
    return pa.Table.from_arrays([_array(rows, column, kind) for column in kind.columns], schema=kind.arrow)


def _array(rows: list[Mapping[str, Any]], column: Column, kind: Table) -> pa.Array:
    values = [row.get(column.name) for row in rows]
    if column.choices:
        for wrong in set(values) - {None, *column.choices}:
            raise ValueError(f"{kind.name}.{column.name}: one of {', '.join(column.choices)}, not {wrong!r}")
    try:
        if column.type == "int64":  # Arrow would cut a fraction off without a word
            values = [None if value is None else index(value) for value in values]
        return pa.array(values, TYPES[column.type])
    except (TypeError, ValueError) as error:  # what Arrow raises are such
        raise ValueError(f"{kind.name}.{column.name}: {error}") from error
