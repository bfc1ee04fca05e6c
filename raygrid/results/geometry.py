"""What lies around examples: the view `geometry_shares`, over the rows that `raygrid geometry` has stored.

One line for each curve and radius (Ukita & Ohki, 2023): the share of random directions in which the victim gives the original's
class around the original, the example's class around the example, and the original's class around the example. Shares stand with
a Wilson interval over the effective number of draws: those around one sample, and those around crops of one photo, are not
independent. Pairs that the victim answers alike are left out.

`geometry` and its shares are those of the whole folder, of whatever run; `geometry_key` tells apart what was asked.
"""
# ruff: noqa: S608 - the SQL is put together from constants only

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from raygrid.results.schema import PAIR

Row = Mapping[str, Any]

CURVES = (("original", "original"), ("example", "example"), ("example", "original"))
"""(center, of_class): around which of the two, and which one's class is counted."""
KEYS = ", ".join(("geometry_key", *PAIR, "site", "place", "radius_unit", "radius", "center"))

VIEW = f"""
CREATE VIEW geometry_shares AS
WITH per_sample AS (
    SELECT {KEYS}, unit_key, sample_id, coalesce(cluster, sample_id) AS cluster, draws AS den, distance, original_norm,
           coalesce(sum("count") FILTER (class = original_class), 0) AS as_original,
           coalesce(sum("count") FILTER (class = example_class), 0) AS as_example
    FROM geometry WHERE original_class <> example_class GROUP BY ALL
),
curves AS (
    SELECT *, 'original' AS of_class, as_original AS num FROM per_sample
    UNION ALL
    SELECT *, 'example' AS of_class, as_example AS num FROM per_sample WHERE center = 'example'
),
per_cluster AS (
    SELECT {KEYS}, of_class, cluster, count(*) AS samples, sum(num) AS num, sum(den) AS den,
           sum(distance ORDER BY sample_id, unit_key) AS distance,
           sum(original_norm ORDER BY sample_id, unit_key) AS original_norm
    FROM curves GROUP BY ALL
),
counted AS (
    SELECT {KEYS}, of_class, sum(samples)::BIGINT AS samples, sum(num)::BIGINT AS num, sum(den)::BIGINT AS den,
           sum(distance ORDER BY cluster) / sum(samples) AS mean_distance,
           sum(original_norm ORDER BY cluster) / sum(samples) AS mean_original_norm,
           sum(den) / design_effect(sum(num), sum(den), count(*), sum(num * num), sum(num * den), sum(den * den)) AS n_eff
    FROM per_cluster GROUP BY ALL
)
SELECT * EXCLUDE (num, den, n_eff, mean_distance, mean_original_norm), num / den AS share, num AS share_num, den AS share_den,
       wilson_low(num * n_eff / den, n_eff) AS share_low, wilson_high(num * n_eff / den, n_eff) AS share_high,
       mean_distance, mean_original_norm
FROM counted ORDER BY {KEYS}, of_class;
"""
"""Makes the view. Needs the macros of views.py and `geometry`."""


def shares_of(key: str) -> str:
    """Return the SQL of the shares that one file gives, curve by curve."""
    return f"FROM geometry_shares WHERE geometry_key = '{key}'"


def labels(rows: Sequence[Row]) -> dict[tuple[object, ...], list[str]]:
    """Return for each cell, see `cell`, what names it: parameters of attacks only where nothing else tells them apart.

    Args:
        rows: of the view.
    """
    named = {cell(row): _name(row) for row in rows}
    params = {cell(row): {**json.loads(row["attack_params"]), "seed": row["seed"]} for row in rows}
    return {
        one: [*lines, *_differing(one, [c for c in named if named[c] == lines], params)] for one, lines in named.items()
    }


def cell(row: Row) -> tuple[object, ...]:
    """Return what tells the cell of a row of the view from others."""
    return tuple(row[name] for name in PAIR)


def reading_table(rows: Sequence[Row]) -> pa.Table:
    """Return rows of the view as a person reads them: a line a radius, the curves beside each other with their intervals."""
    names = labels(rows)
    lines: dict[tuple[object, ...], dict[str, object]] = {}
    for row in rows:
        line = lines.setdefault(
            (*map(str, cell(row)), row["place"], row["radius"]),
            {
                "attack": ", ".join(names[cell(row)]),
                "site": row["site"],
                "samples": row["samples"],
                "distance": row["mean_distance"],
                "radius": row["radius"],
                **dict.fromkeys(f"{of}'s class at {center}" for center, of in CURVES),
            },
        )
        share = f"{row['share']:.2f} ({row['share_low']:.2f}-{row['share_high']:.2f})"
        line[f"{row['of_class']}'s class at {row['center']}"] = share
    return pa.Table.from_pylist([lines[key] for key in sorted(lines)])


def _name(row: Row) -> list[str]:
    lines = [row["victim"], row["attack"]]
    if row["source"]:
        lines.append(f"from {row['source']}")
    if row["norm"]:
        lines.append(f"{row['norm']} {row['eps']:.4g}")
    if row["goal"] != "untargeted":
        lines.append(row["goal"])
    return [*lines, f"aware of {row['awareness']}"]


def _differing(
    one: tuple[object, ...],
    alike: Sequence[tuple[object, ...]],
    params: Mapping[tuple[object, ...], Mapping[str, object]],
) -> list[str]:
    """Return the parameters of one cell that differ from those of any of the cells that are named alike."""
    own = params[one]
    return [f"{name} {value}" for name, value in own.items() if any(params[c].get(name) != value for c in alike)]
