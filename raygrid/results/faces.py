"""Views over attacks on verification: how many photos of a person an example passes for, known ones and others.

`face_attacks` has one line a cell. `photo_rate` counts decisions on photos that the attacker never had (probe-agnostic);
`known_rate` those on the photos that he used (probe-dependent), which flatters an attack and is never the verdict; `clean_rate` is
what the clean photo achieves by itself. `any_rate` and `all_rate` count trials in which at least one, or every, other photo was
passed for, each in more than half of its draws. `photos_gain` compares the same attack with more and with fewer photos, trial by
trial, of those with a verdict on both.

Intervals are at 95 % over people: Wilson's on the effective number of decisions (`photo_rate`, `known_rate`, `clean_rate`,
`any_rate`, `all_rate`), Student's on the spread between people (`photos_gain`; null where there is none to go by). Trials without a
verdict have no decisions; `judged` says how many of those planned have one. `photo_rate_worst` counts the others for the attack,
`photo_rate_best` against it.
"""
# ruff: noqa: S608 - the SQL is put together from constants only

from raygrid.metrics.statistics import normal_quantile
from raygrid.results.schema import CELL

KEY = "run, grid, cell_id, seed"
RATES = {
    "photo": ("photo_hits", "photo_draws"),
    "known": ("known_hits", "known_draws"),
    "clean": ("clean_hits", "photo_draws"),
    "any": ("any_hits", "trials"),
    "all": ("all_hits", "trials"),
}
"""Rate -> columns of its numerator and its denominator, for each person."""


def _sums(name: str, hits: str, draws: str) -> str:
    return (
        f"sum({hits})::BIGINT AS {name}_num, sum({draws})::BIGINT AS {name}_den, sum({hits} * {hits}) AS {name}_kk, "
        f"sum({hits} * {draws}) AS {name}_kn, sum({draws} * {draws}) AS {name}_nn"
    )


def _rate(name: str) -> str:
    effective = f"({name}_den / design_effect({name}_num, {name}_den, people, {name}_kk, {name}_kn, {name}_nn))"
    share = f"{name}_num / nullif({name}_den, 0)"
    return (
        f"{share} AS {name}_rate, {name}_num AS {name}_rate_num, {name}_den AS {name}_rate_den, "
        f"wilson_low({share} * {effective}, {effective}) AS {name}_rate_low, "
        f"wilson_high({share} * {effective}, {effective}) AS {name}_rate_high"
    )


ATTACKS = f"""
CREATE VIEW raw.face_photos AS
SELECT t.run, t.grid, t.cell_id, t.seed, t.sample_id, t.person, d.photo_known, d.photo,
       count_if(d.fooled) AS hits, count(*) AS draws, count_if(d.clean_prediction <> t.label) AS clean_hits
FROM trials t JOIN main.draws d USING (run, grid, cell_id, unit_key, sample_id)
WHERE d.photo IS NOT NULL GROUP BY ALL;

CREATE VIEW raw.face_trials AS
SELECT {KEY}, sample_id, person, {
    ", ".join(
        f"coalesce(sum({column}) FILTER ({known}), 0) AS {name}"
        for name, column, known in (
            ("photo_hits", "hits", "NOT photo_known"),
            ("photo_draws", "draws", "NOT photo_known"),
            ("known_hits", "hits", "photo_known"),
            ("known_draws", "draws", "photo_known"),
            ("clean_hits", "clean_hits", "NOT photo_known"),
        )
    )
},
       bool_or(2 * hits > draws) FILTER (NOT photo_known) AS any_photo,
       bool_and(2 * hits > draws) FILTER (NOT photo_known) AS all_photos
FROM raw.face_photos GROUP BY {KEY}, sample_id, person;

CREATE VIEW raw.face_people AS
SELECT {KEY}, person, count(*) AS trials, sum(photo_hits) AS photo_hits, sum(photo_draws) AS photo_draws,
       sum(known_hits) AS known_hits, sum(known_draws) AS known_draws, sum(clean_hits) AS clean_hits,
       count_if(any_photo) AS any_hits, count_if(all_photos) AS all_hits
FROM raw.face_trials GROUP BY {KEY}, person;

CREATE VIEW face_attacks AS
WITH cell AS (
    SELECT {KEY}, count(*) AS people, sum(trials)::BIGINT AS judged,
           {", ".join(_sums(name, *columns) for name, columns in RATES.items())}
    FROM raw.face_people GROUP BY {KEY}
)
SELECT c.*, people, judged, {", ".join(map(_rate, RATES))},
       (photo_num / nullif(photo_den, 0) * judged + planned - judged) / planned AS photo_rate_worst,
       photo_num / nullif(photo_den, 0) * judged / planned AS photo_rate_best
FROM cell JOIN cells c USING ({KEY})
ORDER BY c.grid, c.data, c.victim, c.defense, c.source, c.goal, c.attack, c.norm, c.eps, c.photos, c.combine, c.seed, c.cell_id;
"""

SAME = tuple(f"run grid {' '.join(column.name for column in CELL if column.name != 'photos')}".split())
"""Columns in which two cells that differ in the number of photos must agree."""

Z = normal_quantile(0.95)
FREEDOM = "(count(*) - 1)"
STUDENT = (
    f"({Z!r} + {(Z**3 + Z) / 4!r} / {FREEDOM} + {(5 * Z**5 + 16 * Z**3 + 3 * Z) / 96!r} / {FREEDOM}^2 "
    f"+ {(3 * Z**7 + 19 * Z**5 + 17 * Z**3 - 15 * Z) / 384!r} / {FREEDOM}^3)"
)
"""Student's quantile at 95 % (Fisher & Cornish, Technometrics 1960), within 1 % from 4 people on; less than it below."""

GAIN = f"""
CREATE VIEW photos_gain AS
WITH trial AS (
    SELECT {", ".join(f"c.{column}" for column in SAME)}, c.photos, t.person, t.sample_id, t.photo_hits / t.photo_draws AS rate
    FROM raw.face_trials t JOIN cells c USING ({KEY}) WHERE t.photo_draws > 0
),
paired AS (
    SELECT {", ".join(f"m.{column}" for column in SAME)}, f.photos AS fewer, m.photos AS more, m.person,
           avg(m.rate - f.rate) AS gain
    FROM trial m JOIN trial f
      ON m.photos > f.photos AND m.sample_id = f.sample_id
     AND {" AND ".join(f"m.{column} IS NOT DISTINCT FROM f.{column}" for column in SAME)}
    GROUP BY ALL
)
SELECT {", ".join(SAME)}, fewer, more, count(*) AS people, avg(gain) AS gain,
       avg(gain) - {STUDENT} * nullif(stddev_samp(gain), 0) / sqrt(count(*)) AS gain_low,
       avg(gain) + {STUDENT} * nullif(stddev_samp(gain), 0) / sqrt(count(*)) AS gain_high
FROM paired GROUP BY ALL ORDER BY ALL;
"""

VIEWS = (ATTACKS, GAIN)
