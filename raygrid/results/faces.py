"""Views over attacks on verification: how many photos of a person an example passes for, known ones and others.

`face_attacks` has one line a cell, also where nothing was judged. `photo_rate` counts decisions on photos that the attacker never
had (probe-agnostic); `known_rate` those on the photos that he used (probe-dependent), which flatters an attack and is never the
verdict; `clean_rate` is what the clean photo achieves by itself. `any_rate` and `all_rate` count trials in which at least one, or
every, other photo was passed for, each in more than half of its draws. Where a detector looked for faces, `found_rate` counts the
examples in which it found one, `clean_found_rate` the clean photos, and `photo_rate_if_found` is `photo_rate` among those examples.

`photos_gain` compares the same attack with more and with fewer photos, trial by trial, of those with a verdict on both. `far_curve`
judges the same examples at the thresholds of other false accept rates, one line a cell and `far_asked` (they were crafted at
`far`): beside an attack's rates it says which FAR and FRR the people who are attacked find there, and whether the calibration
people `carried` that FAR, no less than one of their pairs. `public_to_private` has one line a surrogate, victim and attack.

Intervals are at 95 % over people: Wilson's on the effective number of decisions, or of trials (all rates), Student's on the spread
between people (`photos_gain`; null where there is none to go by). Trials without a verdict have no decisions; `judged` says how
many of those planned have one. `photo_rate_worst` counts the others for the attack, `photo_rate_best` against it.
"""
# ruff: noqa: S608 - the SQL is put together from constants only

from raygrid.metrics.statistics import normal_quantile
from raygrid.results.trial_columns import CELL

KEY = "run, grid, cell_id, seed"
RATES = {
    "photo": ("photo_hits", "photo_draws"),
    "known": ("known_hits", "known_draws"),
    "clean": ("clean_hits", "photo_draws"),
    "any": ("any_hits", "photo_trials"),
    "all": ("all_hits", "photo_trials"),
    "found": ("found_hits", "found_trials"),
    "clean_found": ("clean_found_hits", "found_trials"),
    "photo_if_found": ("photo_hits_if_found", "photo_draws_if_found"),
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
    shown = name.removesuffix("_if_found") + "_rate" + "_if_found" * name.endswith("_if_found")
    ends = (
        f"CASE WHEN {name}_den > 0 THEN wilson_{end}({share} * {effective}, {effective}) END AS {shown}_{end}"
        for end in ("low", "high")
    )
    return f"{share} AS {shown}, {name}_num AS {shown}_num, {name}_den AS {shown}_den, {', '.join(ends)}"


ENDS = """CASE WHEN judged > 0 THEN (photo_num / nullif(photo_den, 0) * judged + planned - judged) / planned ELSE 1 END
           AS photo_rate_worst,
       CASE WHEN judged > 0 THEN photo_num / nullif(photo_den, 0) * judged / planned ELSE 0 END AS photo_rate_best"""
"""What the trials without a verdict leave open."""

ATTACKS = f"""
CREATE VIEW raw.face_photos AS
SELECT t.run, t.grid, t.cell_id, t.seed, t.sample_id, t.person, t.face_found, t.clean_face_found, d.photo_known, d.photo,
       count_if(d.fooled) AS hits, count(*) AS draws, count_if(d.clean_prediction <> t.label) AS clean_hits
FROM trials t JOIN main.draws d USING (run, grid, cell_id, unit_key, sample_id)
WHERE d.photo IS NOT NULL GROUP BY ALL;

CREATE VIEW raw.face_trials AS
SELECT {KEY}, sample_id, person, face_found, clean_face_found, {
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
FROM raw.face_photos GROUP BY {KEY}, sample_id, person, face_found, clean_face_found;

CREATE VIEW raw.face_people AS
SELECT {KEY}, person, count(*) AS trials, sum(photo_hits) AS photo_hits, sum(photo_draws) AS photo_draws,
       sum(known_hits) AS known_hits, sum(known_draws) AS known_draws, sum(clean_hits) AS clean_hits,
       count(any_photo) AS photo_trials, count_if(any_photo) AS any_hits, count_if(all_photos) AS all_hits,
       count_if(face_found) AS found_hits, count(face_found) AS found_trials,
       count_if(face_found IS NOT NULL AND clean_face_found) AS clean_found_hits,
       coalesce(sum(photo_hits) FILTER (face_found), 0) AS photo_hits_if_found,
       coalesce(sum(photo_draws) FILTER (face_found), 0) AS photo_draws_if_found
FROM raw.face_trials GROUP BY {KEY}, person;

CREATE VIEW face_attacks AS
WITH cell AS (
    SELECT {KEY}, count(*) AS people, sum(trials)::BIGINT AS judged,
           {", ".join(_sums(name, *columns) for name, columns in RATES.items())}
    FROM raw.face_people GROUP BY {KEY}
)
SELECT c.*, coalesce(people, 0) AS people, coalesce(judged, 0) AS judged, {", ".join(map(_rate, RATES))}, {ENDS}
FROM cells c LEFT JOIN cell USING ({KEY}) WHERE c.photos IS NOT NULL
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

AT = "run, grid, cell_id, seed, far_asked, threshold, carried, eer, far_here, far_low, far_high, frr_here, frr_low, frr_high"
AT_RATES = {name: RATES[name] for name in ("photo", "known", "clean")}

CURVE = f"""
CREATE VIEW raw.far_people AS
WITH thresholds AS (
    SELECT a.fit_key, a.far_asked, a.threshold, a.eer, a.far AS far_here, a.far_low, a.far_high, a.frr AS frr_here, a.frr_low,
           a.frr_high, a.far_asked * c.pairs_of_people >= 1 - 1e-9 AS carried
    FROM main.verification a JOIN main.verification c USING (fit_key, far_asked)
    WHERE a.people_are = 'judged' AND c.people_are = 'calibration'
),
look AS (
    SELECT t.run, t.grid, t.cell_id, t.seed, t.sample_id, t.person, d.photo_known, v.* EXCLUDE (fit_key),
           (d.similarity >= v.threshold) = (t.label = 'no match') AS hit,
           (d.clean_similarity >= v.threshold) = (t.label = 'no match') AS clean_hit
    FROM trials t JOIN main.draws d USING (run, grid, cell_id, unit_key, sample_id)
    JOIN thresholds v ON v.fit_key = t.enrollment_key
    WHERE d.photo IS NOT NULL
)
SELECT {AT}, person, count_if(hit AND NOT photo_known) AS photo_hits, count_if(NOT photo_known) AS photo_draws,
       count_if(hit AND photo_known) AS known_hits, count_if(photo_known) AS known_draws,
       count_if(clean_hit AND NOT photo_known) AS clean_hits, count(DISTINCT sample_id) AS trials
FROM look GROUP BY {AT}, person;

CREATE VIEW far_curve AS
WITH cell AS (
    SELECT {AT}, count(*) AS people, sum(trials)::BIGINT AS judged,
           {", ".join(_sums(name, *columns) for name, columns in AT_RATES.items())}
    FROM raw.far_people GROUP BY {AT}
)
SELECT c.* EXCLUDE (units, reused_units), far_asked, threshold, carried, coalesce(people, 0) AS people,
       coalesce(judged, 0) AS judged, {", ".join(map(_rate, AT_RATES))}, {ENDS},
       far_here, far_low, far_high, frr_here, frr_low, frr_high, eer
FROM cells c LEFT JOIN cell USING ({KEY}) WHERE c.photos IS NOT NULL
ORDER BY c.grid, c.data, c.victim, c.defense, c.source, c.goal, c.attack, c.norm, c.eps, c.photos, c.combine, c.seed, c.cell_id,
         far_asked;
"""

SHOWN = ("photo_rate", "known_rate", "clean_rate")
"""Rates that the matrix shows."""

MATRIX = f"""
CREATE VIEW public_to_private AS
SELECT grid, data, source, victim, defense, attack, attack_params, goal, norm, eps, precision, channel, photos, combine, far, seed,
       cell_id, people, planned, judged, photo_rate_worst, photo_rate_best,
       {", ".join(f"{rate}, {rate}_num, {rate}_den, {rate}_low, {rate}_high" for rate in SHOWN)}
FROM face_attacks WHERE access = 'transfer' ORDER BY ALL;
"""

VIEWS = (ATTACKS, GAIN, CURVE, MATRIX)
