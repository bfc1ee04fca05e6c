"""Answers as a table, CSV, JSON and Parquet."""

import csv
import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from small_folder import Unit

from raygrid.errors import UsageError
from raygrid.results.query import TABLE_ROWS, format_result, query

ANSWER = pa.table(
    {
        "name": ["lite0", None, 'a "quoted", [bold]name'],
        "rate": [0.123456, float("nan"), 1.0],
        "n": [20, None, 12345678],
        "x": [b"\x00\xff", None, b""],
    }
)


class Terminal(io.StringIO):
    def isatty(self):
        return True


def written(answer, form, out=None):
    out = out or io.StringIO()
    format_result(answer, form, out)
    return out.getvalue()


def test_a_plain_table_is_aligned():
    assert written(ANSWER, "table").splitlines() == [
        "name                      rate         n  x",
        "lite0                   0.1235        20  <2 bytes>",
        "                           nan",
        'a "quoted", [bold]name       1  12345678  <0 bytes>',
    ]


def test_a_terminal_gets_the_same_cells_drawn():
    drawn = written(ANSWER, "table", Terminal())
    assert all(cell in drawn for cell in ("0.1235", "12345678", "[bold]name", "<2 bytes>"))
    assert "─" in drawn


def test_a_long_table_says_what_it_leaves_out():
    lines = written(pa.table({"n": range(TABLE_ROWS + 7)}), "table").splitlines()
    assert len(lines) == TABLE_ROWS + 2 and lines[-1] == "... and 7 more rows; --format csv gives all"


def test_csv_reads_back():
    rows = list(csv.reader(io.StringIO(written(ANSWER, "csv"))))
    assert rows == [
        ["name", "rate", "n", "x"],
        ["lite0", "0.123456", "20", "AP8="],
        ["", "", "", ""],
        ['a "quoted", [bold]name', "1.0", "12345678", ""],
    ]


def test_json_reads_back_and_has_no_nan():
    assert json.loads(written(ANSWER, "json"), parse_constant=pytest.fail)[:2] == [
        {"name": "lite0", "rate": 0.123456, "n": 20, "x": "AP8="},
        {"name": None, "rate": None, "n": None, "x": None},
    ]


@pytest.mark.parametrize(
    ("form", "text"), [("table", "name  rate  n  x\n"), ("csv", "name,rate,n,x\n"), ("json", "[]\n")]
)
def test_no_rows_are_no_rows_in_every_format(form, text):
    assert written(ANSWER.slice(0, 0), form) == text


def test_parquet_reads_back():
    out = io.TextIOWrapper(io.BytesIO())
    format_result(ANSWER, "parquet", out)
    assert pq.read_table(out.buffer).schema == ANSWER.schema


def test_parquet_is_kept_from_a_terminal():
    with pytest.raises(UsageError, match=r"> rows\.parquet"):
        format_result(ANSWER, "parquet", Terminal())


def test_an_unknown_format_is_refused_before_the_folder_is_looked_at(tmp_path):
    with pytest.raises(UsageError, match='unknown format "jsn"; did you mean "json"'):
        query(tmp_path / "nowhere", "FROM trials", "jsn", io.StringIO())


def test_a_question_to_a_folder(folder):
    folder.run(Unit("c.0", {"s1": "robust"}), run="old", started="2026-01-01")
    folder.run(Unit("d.0", {"s1": "broken"}), run="new", started="2026-01-02")
    out = io.StringIO()
    query(folder.store.root, "SELECT cell_id, robust FROM summary", "csv", out)
    query(folder.store.root, "SELECT cell_id, robust FROM summary", "csv", out, run="old")
    assert out.getvalue() == "cell_id,robust\nd,0\ncell_id,robust\nc,1\n"
