"""Views over attacks on verification: how many photos of a person an example passes for, known ones and others.

`face_attacks` has one line a cell. `photo_rate` counts decisions on photos that the attacker never had (probe-agnostic);
`known_rate` those on the photos that he used (probe-dependent), which flatters an attack and is never the verdict; `clean_rate` is
what the clean photo achieves by itself. `any_rate` and `all_rate` count trials in which at least one, or every, other photo was
passed for. `photos_gain` compares the same attack with more and with fewer photos, person by person.

Intervals are at 95 % over people: Wilson's on the effective number of decisions (`photo_rate`, `known_rate`, `clean_rate`,
`any_rate`, `all_rate`), normal on the spread between people (`photos_gain`). Trials without a verdict have no decisions; `judged`
says how many of those planned have one.
"""
# ruff: noqa: S608 - the SQL is put together from constants only

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
CREATE VIEW raw.face_trials AS
SELECT t.run, t.grid, t.cell_id, t.seed, t.sample_id, t.person,
       count_if(NOT d.photo_known AND d.fooled) AS photo_hits, count_if(NOT d.photo_known) AS photo_draws,
       count_if(d.photo_known AND d.fooled) AS known_hits, count_if(d.photo_known) AS known_draws,
       count_if(NOT d.photo_known AND d.clean_prediction <> t.label) AS clean_hits
FROM trials t JOIN main.draws d USING (run, grid, cell_id, unit_key, sample_id)
WHERE d.photo IS NOT NULL GROUP BY ALL;

CREATE VIEW raw.face_people AS
SELECT {KEY}, person, count(*) AS trials, sum(photo_hits) AS photo_hits, sum(photo_draws) AS photo_draws,
       sum(known_hits) AS known_hits, sum(known_draws) AS known_draws, sum(clean_hits) AS clean_hits,
       count_if(photo_hits > 0) AS any_hits, count_if(photo_hits = photo_draws) AS all_hits
FROM raw.face_trials GROUP BY {KEY}, person;

CREATE VIEW face_attacks AS
WITH cell AS (
    SELECT {KEY}, count(*) AS people, sum(trials)::BIGINT AS judged,
           {", ".join(_sums(name, *columns) for name, columns in RATES.items())}
    FROM raw.face_people GROUP BY {KEY}
)
SELECT c.*, people, judged, {", ".join(map(_rate, RATES))}
FROM cell JOIN cells c USING ({KEY})
ORDER BY c.grid, c.data, c.victim, c.defense, c.source, c.goal, c.attack, c.norm, c.eps, c.photos, c.combine, c.seed, c.cell_id;
"""

SAME = tuple(f"run grid {' '.join(column.name for column in CELL if column.name != 'photos')}".split())
"""Columns in which two cells that differ in the number of photos must agree."""

GAIN = f"""
CREATE VIEW photos_gain AS
WITH person AS (
    SELECT {", ".join(f"c.{column}" for column in SAME)}, c.photos, p.person,
           p.photo_hits / p.photo_draws AS rate
    FROM raw.face_people p JOIN cells c USING ({KEY}) WHERE p.photo_draws > 0
),
paired AS (
    SELECT {", ".join(f"m.{column}" for column in SAME)}, f.photos AS fewer, m.photos AS more,
           m.rate - f.rate AS gain
    FROM person m JOIN person f
      ON m.photos > f.photos AND m.person = f.person
     AND {" AND ".join(f"m.{column} IS NOT DISTINCT FROM f.{column}" for column in SAME)}
)
SELECT {", ".join(SAME)}, fewer, more, count(*) AS people, avg(gain) AS gain,
       avg(gain) - 1.96 * stddev_samp(gain) / sqrt(count(*)) AS gain_low,
       avg(gain) + 1.96 * stddev_samp(gain) / sqrt(count(*)) AS gain_high
FROM paired GROUP BY ALL ORDER BY ALL;
"""

VIEWS = (ATTACKS, GAIN)
