"""`raygrid query`: an SQL question to a results folder, answered as a table, CSV, JSON or Parquet."""

import base64
import csv
import json
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

import pyarrow as pa

from raygrid.errors import UsageError, did_you_mean
from raygrid.results.folder import encode
from raygrid.results.open import open_results

TABLE_ROWS = 500
"""What a table shows: more is no reading matter, and rich would take minutes over it."""


def query(path: str | Path, sql: str, form: str, out: TextIO, run: str | None = None) -> None:
    """Answer one SELECT over the views of a run (default: the latest) and write the answer to a text stream.

    Args:
        path: results folder.
        sql: see Results.query.
        form: a key of FORMATS.
        out: such as sys.stdout; Parquet goes to the binary stream below it.
        run: id of a run.

    Raises:
        UsageError: as open_results, Results.query and format_result.
    """
    _formatter(form)
    format_result(open_results(path, run).query(sql), form, out)


def format_result(result: pa.Table, form: str, out: TextIO) -> None:
    """Write an Arrow table to a text stream.

    Raises:
        UsageError: an unknown format, or Parquet to a terminal.
    """
    _formatter(form)(result, out)


def _formatter(form: str) -> Callable[[pa.Table, TextIO], None]:
    if form not in FORMATS:
        raise UsageError(f'unknown format "{form}"{did_you_mean(form, FORMATS) or ""}; one of {", ".join(FORMATS)}')
    return FORMATS[form]


def _write_table(result: pa.Table, out: TextIO) -> None:
    rows = [[_shown(value) for value in row] for row in _rows(result.slice(0, TABLE_ROWS))]
    right = [pa.types.is_integer(kind) or pa.types.is_floating(kind) for kind in result.schema.types]
    (_write_rich if out.isatty() else _write_plain)(result.column_names, right, rows, out)
    if result.num_rows > TABLE_ROWS:
        out.write(f"... and {result.num_rows - TABLE_ROWS} more rows; --format csv gives all\n")


def _write_rich(names: Sequence[str], right: Sequence[bool], rows: Sequence[Sequence[str]], out: TextIO) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    drawn = Table()
    for name, numeric in zip(names, right, strict=True):
        drawn.add_column(Text(name), justify="right" if numeric else "left")
    for row in rows:
        drawn.add_row(*map(Text, row))
    Console(file=out).print(drawn)


def _write_plain(names: Sequence[str], right: Sequence[bool], rows: Sequence[Sequence[str]], out: TextIO) -> None:
    widths = [max(map(len, column)) for column in zip(names, *rows, strict=True)]
    for row in (names, *rows):
        cells = (c.rjust(w) if numeric else c.ljust(w) for c, w, numeric in zip(row, widths, right, strict=True))
        out.write("  ".join(cells).rstrip() + "\n")


def _write_csv(result: pa.Table, out: TextIO) -> None:
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(result.column_names)
    writer.writerows([_plain(value) for value in row] for row in _rows(result))


def _write_json(result: pa.Table, out: TextIO) -> None:
    """Write an array with one object a row and line."""
    separator = "[\n"
    for row in _rows(result):
        out.write(separator + json.dumps(dict(zip(result.column_names, map(_plain, row), strict=True)), default=str))
        separator = ",\n"
    out.write("\n]\n" if result.num_rows else "[]\n")


def _write_parquet(result: pa.Table, out: TextIO) -> None:
    if out.isatty():
        raise UsageError(
            "Parquet is no text: send it to a file, as in `raygrid query ... --format parquet > rows.parquet`"
        )
    out.buffer.write(encode(result))


FORMATS: dict[str, Callable[[pa.Table, TextIO], None]] = {
    "table": _write_table,
    "csv": _write_csv,
    "json": _write_json,
    "parquet": _write_parquet,
}


def _rows(result: pa.Table) -> Iterator[tuple[Any, ...]]:
    for batch in result.to_batches(max_chunksize=1000):
        yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)


def _shown(value: object) -> str:
    """Return a value as a person reads it: four significant decimals, bytes by their number."""
    match value:
        case None:
            return ""
        case float():
            return f"{value:.4g}"
        case bytes():
            return f"<{len(value)} bytes>"
        case _:
            return str(value)


def _plain(value: object) -> object:
    """Return a value that JSON has: bytes as base64, NaN and infinities as null."""
    match value:
        case bytes():
            return base64.b64encode(value).decode()
        case float() if not math.isfinite(value):
            return None
        case _:
            return value
