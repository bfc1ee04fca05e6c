"""The SQL of the results: views over the files of one run. What a person reads is one of them, or a query over them.

`trials`, `draws`, `examples`, `crafts`, `fits`, `runs` and `cells` are rows; `fits` are those of the whole folder.
`summary` has one line a cell, empty ones included.
`worst_case` has one line for all cells that differ in their attack only: a sample is broken when any broke it, at this eps or a
smaller one of the same norm. Attacks that keep to no ball share a line. Corruptions (access none) are no attackers, and stay out.
`risk` has one line a cell too: what errors cost, see risk.py.
`detection` has one line a cell behind a detecting defense, see detection.py.
`defense_cost` sets the time of an answer behind each defense beside its accuracy, see cost.py.
`certified`, `certified_at` and `certified_distance` are about certified radii, see certified.py.
`recovery` and `recovery_at_cost` say what a defense makes right again, `layer_profile` how far examples lie from their originals
inside, see recovery.py.
`face_attacks`, `photos_gain`, `far_curve` and `public_to_private` are about attacks on verification, see faces.py; `verification`,
of the whole folder, says how well victims verify without any.
`plays`, `speech_attacks`, `best_snr`, `plays_gain` and `listeners` are about attacks on speech recognizers, see speech.py.
`checks` has one line a sign of masking, see checks.py; `flags` names those that are flagged. The schema `raw` holds what those are
made of.

A proportion stands with its numerator, its denominator and a Wilson interval at 95 % over the effective number of
samples `n_eff` (metrics/statistics.py: the same formulas, and their sources). Rows of status error, timeout or invalid,
and rows that are missing, are unknown: the columns `_worst` and `_best` count them all against and for the victim, and
the proportion itself is null, since it would leave them out of its denominator.
"""
# ruff: noqa: S608 - the SQL is put together from constants only

from string import Template

from raygrid.metrics.statistics import normal_quantile
from raygrid.results import certified, checks, cost, detection, risk
from raygrid.results.trial_columns import CELL, STATUSES

KEY = "grid, cell_id, seed"
"""What tells the cells of one run apart."""
SAME_KEY = "{0}.grid = {1}.grid AND {0}.cell_id = {1}.cell_id AND {0}.seed IS NOT DISTINCT FROM {1}.seed"
LADDER = ("grid", "data", "victim", "defense", "defense_params", "goal", "channel", "norm", "seed")
GROUP = (*LADDER, "eps")
"""What the cells of one worst case share."""
Z = repr(normal_quantile(0.95))

MACROS = f"""
-- k hits among n samples
CREATE MACRO wilson_low(k, n) AS CASE
    WHEN n > 0 THEN greatest(0.0, (2 * k + {Z}^2 - {Z} * sqrt({Z}^2 + 4 * k * (1 - k / n))) / (2 * (n + {Z}^2)))
    ELSE 0.0 END;
CREATE MACRO wilson_high(k, n) AS 1 - wilson_low(n - k, n);

-- k hits among n samples in m clusters; kk, kn, nn: sums over the clusters of hits * hits, hits * size, size * size
CREATE MACRO raw.squares(p, kk, kn, nn) AS kk - 2 * p * kn + p * p * nn;
CREATE MACRO design_effect(k, n, m, kk, kn, nn) AS CASE
    WHEN m = n THEN 1.0
    WHEN m = 1 OR k = 0 OR k = n THEN n / m
    ELSE greatest(1.0, raw.squares(k / n, kk, kn, nn) / (k * (1 - k / n)) * m / (m - 1) * (n - 1) / n) END;
"""

TRIALS = """
CREATE VIEW trials AS
SELECT i.run, i.grid, i.cell_id, i.reused, t.* FROM raw.parts t JOIN raw.run_index i USING (unit_key);
"""
"""Needs `raw.parts`: the trials of the run's units, and the failures of those that have none."""

ROWS = f"""
CREATE VIEW crafts AS FROM raw.crafts;
CREATE VIEW runs AS FROM raw.runs;
CREATE VIEW draws AS
SELECT i.run, i.grid, i.cell_id, d.* FROM raw.draws d JOIN raw.run_index i USING (unit_key);
CREATE VIEW examples AS
SELECT e.*, c.* EXCLUDE (craft_key, sample_id) FROM raw.examples e LEFT JOIN raw.crafts c USING (craft_key, sample_id);

CREATE VIEW cells AS
SELECT run, {KEY}, {", ".join(f"any_value({c.name}) AS {c.name}" for c in CELL if c.name != "seed")},
       sum(samples)::BIGINT AS planned, count(*) AS units, count_if(reused)::BIGINT AS reused_units
FROM raw.run_index GROUP BY run, {KEY};
"""

WORST_CASE = f"""
CREATE VIEW raw.cell_groups AS
SELECT *, md5(row({", ".join(GROUP)})::VARCHAR) AS group_id, md5(row({", ".join(LADDER)})::VARCHAR) AS ladder_id FROM cells
WHERE goal = 'untargeted' AND access IS DISTINCT FROM 'none';

CREATE VIEW raw.worst_cells AS
SELECT run, {", ".join(f"any_value({column}) AS {column}" for column in GROUP)},
       group_id AS cell_id, count(*) AS attacks, max(planned) AS planned
FROM raw.cell_groups GROUP BY run, group_id;

-- the cells that a worst case looks at: its own, and those of a smaller eps
CREATE VIEW raw.worst_members AS
SELECT g.grid, g.cell_id, g.seed, w.group_id AS worst_id, g.group_id = w.group_id AS own
FROM raw.cell_groups g JOIN (SELECT DISTINCT ladder_id, group_id, eps FROM raw.cell_groups) w
  ON g.ladder_id = w.ladder_id AND (g.group_id = w.group_id OR g.eps < w.eps);

-- any broken is broken, in a smaller ball too; else any failure is unknown; a sample that some attack has not reached yet is
-- missing (null)
CREATE VIEW raw.worst_trials AS
SELECT w.grid, w.cell_id, w.seed, t.sample_id, any_value(t.cluster) AS cluster, any_value(w.goal) AS goal,
       CASE WHEN bool_or(t.status = 'broken') THEN 'broken'
            WHEN bool_or(t.status = 'clean_wrong') THEN 'clean_wrong'
            WHEN bool_or(t.status = 'error') THEN 'error'
            WHEN bool_or(t.status = 'timeout') THEN 'timeout'
            WHEN bool_or(t.status = 'invalid') THEN 'invalid'
            WHEN count(t.status) < any_value(w.attacks) THEN NULL
            WHEN bool_or(t.status = 'robust') THEN 'robust'
            ELSE 'skipped' END AS status,
       bool_or(t.success) AS success, bool_and(t.clean_correct) AS clean_correct
FROM trials t
JOIN raw.worst_members m ON {SAME_KEY.format("t", "m")} AND (m.own OR t.status = 'broken')
JOIN raw.worst_cells w ON m.worst_id = w.cell_id
GROUP BY w.grid, w.cell_id, w.seed, t.sample_id;
"""

COUNTS = {
    "n": "status IS NOT NULL",
    **{status: f"status = '{status}'" for status in STATUSES},
    "clean_correct": "clean_correct",
    "clean_n": "clean_correct IS NOT NULL",
    "num": "known AND hit",
    "den": "known",
}
"""What is counted in every cell, and when a row counts."""


def _rate(name: str, goals: str, worst: str, best: str) -> str:
    """Return the columns of one proportion, null for cells of other goals."""
    columns = {
        "": "CASE WHEN unknown = 0 THEN num / nullif(den, 0) END",
        "_num": "num",
        "_den": "den",
        "_low": "CASE WHEN unknown = 0 THEN wilson_low(num * n_eff / nullif(den, 0), n_eff) END",
        "_high": "CASE WHEN unknown = 0 THEN wilson_high(num * n_eff / nullif(den, 0), n_eff) END",
        "_worst": f"{worst} / nullif(den + unknown, 0)",
        "_best": f"{best} / nullif(den + unknown, 0)",
    }
    return ",\n       ".join(
        f"CASE WHEN {goals} THEN {value} END AS {name}{suffix}" for suffix, value in columns.items()
    )


SUMMARY = Template(f"""
CREATE VIEW $name AS
WITH judged AS (
    SELECT {KEY}, coalesce(cluster, sample_id) AS cluster, status, clean_correct,
           status IN ('robust', 'broken', 'clean_wrong') AND (goal = 'untargeted' OR success IS NOT NULL) AS known,
           CASE WHEN goal = 'untargeted' THEN status = 'robust' ELSE success END AS hit
    FROM $trials
),
per_cluster AS (
    SELECT {KEY}, {", ".join(f"count_if({condition}) AS {name}" for name, condition in COUNTS.items())}
    FROM judged GROUP BY {KEY}, cluster
),
per_cell AS (
    SELECT {KEY}, {", ".join(f"sum({name}) AS {name}" for name in COUNTS)}, count_if(den > 0) AS clusters,
           sum(num * num) AS num_num, sum(num * den) AS num_den, sum(den * den) AS den_den
    FROM per_cluster GROUP BY {KEY}
),
counted AS (
    SELECT c.*, {", ".join(f"coalesce({name}, 0)::BIGINT AS {name}" for name in (*COUNTS, "clusters"))},
           num_num, num_den, den_den
    FROM $cells c LEFT JOIN per_cell p ON {SAME_KEY.format("c", "p")}
),
derived AS (
    SELECT * EXCLUDE (num_num, num_den, den_den),
           planned - n AS missing, planned - den - skipped AS unknown,
           den / design_effect(num, den, clusters, num_num, num_den, den_den) AS n_eff
    FROM counted
)
SELECT * EXCLUDE (num, den, clusters, unknown, n_eff),
       CASE WHEN clean_n = planned THEN clean_correct / nullif(clean_n, 0) END AS clean_accuracy,
       {_rate("robust_accuracy", "goal = 'untargeted'", worst="num", best="(num + unknown)")},
       {_rate("success_rate", "goal <> 'untargeted'", worst="(num + unknown)", best="num")},
       CASE WHEN goal = 'untargeted' THEN broken / nullif(robust + broken, 0) END AS attack_success_rate,
       CASE WHEN goal = 'untargeted' THEN broken END AS attack_success_rate_num,
       CASE WHEN goal = 'untargeted' THEN robust + broken END AS attack_success_rate_den,
       clusters, n_eff$flags
FROM derived ORDER BY grid, data, victim, defense, norm, eps, goal, seed, cell_id;
""")

FLAGS = f""",
       (SELECT flags FROM raw.flags f
        WHERE goal = 'untargeted' AND {" AND ".join(f"f.{c} IS NOT DISTINCT FROM derived.{c}" for c in checks.VICTIM)}) AS flags"""
"""Names of the masking checks that are flagged for the victim, wherever in the grid; null where none is."""

DERIVED = (
    MACROS,
    ROWS,
    *risk.VIEWS,
    checks.FLAGS,
    WORST_CASE,
    SUMMARY.substitute(name="summary", cells="cells", trials="trials", flags=FLAGS),
    SUMMARY.substitute(name="worst_case", cells="raw.worst_cells", trials="raw.worst_trials", flags=FLAGS),
    detection.VIEW,
    cost.VIEW,
    *certified.VIEWS,
)
"""Makes the views, in order. Needs `trials`, `checks`, `raw.run_index`, `raw.crafts`, `raw.examples` and `raw.runs`."""
