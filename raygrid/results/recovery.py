"""The SQL of what a defense makes right again, and of what happens to an example on its way through the victim.

`recovery` has one line a cell of a defended victim, for untargeted attacks whose very examples were judged on the bare victim, too:
transfer, and attackers who are said not to know of the defense (awareness: none). Of the examples that broke the bare victim it
counts those that the defended one gets right (Ukita & Ohki, 2023). What a defense costs on clean inputs stands beside it: more
noise recovers more of anything until it blurs everything, so that two sites of noise can only be compared at the same cost.
`recovery_at_cost` does that: one line for each defense but for its sigma, and each cost of 1, 2 and 5 points of clean accuracy,
with the largest sigma of the grid that costs no more; empty where none does.
`recovery_gap` has one line for each hidden site and cost: what noise there restores, less what noise at the input does at no more
cost, over the same examples, with its interval at 95 %. Where the interval holds 0, the two can't be told apart.
`layer_profile` has one line a cell, status and place of the victim: medians of trials.layer_distance, of its quotient with that at
the input (the amplification), and of its quotient with the distance of two originals there, over the trials that were measured.
"""
# ruff: noqa: S608 - the SQL is put together from constants only

from raygrid.metrics.statistics import normal_quantile
from raygrid.results.trial_columns import CELL

COSTS = (0.01, 0.02, 0.05)
"""Losses of clean accuracy at which defenses are compared."""
ROUNDING = 1e-9
"""By which a loss may be above a cost through rounding."""
SAME = (
    "grid",
    "data",
    "victim",
    "attack",
    "attack_params",
    "goal",
    "access",
    "source",
    "channel",
    "norm",
    "eps",
    "precision",
    "seed",
)
"""What a defended cell and its bare one share; their examples are the same."""
CELLS = ", ".join(column.name for column in CELL)
REST = (*SAME, "awareness", "defense", "site", "rest")

RECOVERY = f"""
CREATE VIEW raw.recovered AS
SELECT d.grid, d.cell_id, d.seed, d.sample_id, coalesce(d.cluster, d.sample_id) AS cluster,
       b.status = 'broken' AS fell, b.status = 'broken' AND d.success IS NOT NULL AS known,
       b.status = 'broken' AND NOT d.success AS hit,
       CASE WHEN d.clean_correct IS NOT NULL THEN b.clean_correct END AS bare_correct,
       CASE WHEN b.clean_correct IS NOT NULL THEN d.clean_correct END AS clean_correct
FROM trials d JOIN trials b USING (craft_key, sample_id)
WHERE d.defense <> 'none' AND b.defense = 'none' AND d.goal = 'untargeted'
      AND {" AND ".join(f"d.{column} IS NOT DISTINCT FROM b.{column}" for column in SAME)};

CREATE VIEW recovery AS
WITH per_cluster AS (
    SELECT grid, cell_id, seed, cluster, count_if(fell) AS broken, count_if(known) AS den, count_if(hit) AS num,
           count_if(bare_correct) AS bare, count_if(clean_correct) AS clean, count(clean_correct) AS clean_den
    FROM raw.recovered GROUP BY ALL
),
per_cell AS (
    SELECT grid, cell_id, seed, sum(broken)::BIGINT AS broken, sum(num)::BIGINT AS num, sum(den)::BIGINT AS den,
           sum(bare)::BIGINT AS bare, sum(clean)::BIGINT AS clean, sum(clean_den)::BIGINT AS clean_den,
           sum(den) / design_effect(sum(num), sum(den), count_if(den > 0), sum(num * num), sum(num * den), sum(den * den))
               AS n_eff
    FROM per_cluster GROUP BY ALL
)
SELECT c.run, c.grid, c.cell_id, {", ".join(f"c.{column.name}" for column in CELL)},
       c.defense_params ->> 'site' AS site, (c.defense_params ->> 'sigma')::DOUBLE AS sigma,
       CASE WHEN broken = den THEN num / nullif(den, 0) END AS recovery,
       num AS recovery_num, den AS recovery_den, broken - den AS unknown,
       CASE WHEN broken = den THEN wilson_low(num * n_eff / nullif(den, 0), n_eff) END AS recovery_low,
       CASE WHEN broken = den THEN wilson_high(num * n_eff / nullif(den, 0), n_eff) END AS recovery_high,
       clean / nullif(clean_den, 0) AS clean_accuracy, clean AS clean_accuracy_num, clean_den AS clean_accuracy_den,
       bare / nullif(clean_den, 0) AS bare_accuracy, bare AS bare_accuracy_num,
       (bare - clean) / nullif(clean_den, 0) AS clean_loss
FROM cells c JOIN per_cell p
     ON c.grid = p.grid AND c.cell_id = p.cell_id AND c.seed IS NOT DISTINCT FROM p.seed
ORDER BY c.grid, c.data, c.victim, c.attack, c.attack_params, c.awareness, c.source, c.norm, c.eps, site, sigma, c.cell_id;
"""

EMPTY = (
    "cell_id",
    "defense_params",
    "sigma",
    "recovery",
    "recovery_num",
    "recovery_den",
    "unknown",
    "recovery_low",
    "recovery_high",
    "clean_accuracy",
    "clean_accuracy_num",
    "clean_loss",
)
"""What is null where no sigma costs so little."""

AT_COST = f"""
CREATE VIEW recovery_at_cost AS
WITH sized AS (
    SELECT *, clean_loss <= cost + {ROUNDING} AS cheap, json_merge_patch(defense_params, '{{"sigma": null}}') AS rest
    FROM recovery, (SELECT unnest({list(COSTS)})::DOUBLE AS cost) WHERE sigma IS NOT NULL
),
ranked AS (
    SELECT *, row_number() OVER (PARTITION BY {", ".join(REST)}, cost ORDER BY cheap DESC, sigma DESC) AS place FROM sized
)
SELECT cost, * EXCLUDE (cost, cheap, rest, place) REPLACE (
    {", ".join(f"CASE WHEN cheap THEN {column} END AS {column}" for column in EMPTY)})
FROM ranked WHERE place = 1
ORDER BY grid, data, victim, attack, attack_params, awareness, source, norm, eps, cost, site;
"""

GAP = f"""
CREATE VIEW recovery_gap AS
WITH pairs AS (
    SELECT h.* , i.cell_id AS input_cell, i.sigma AS input_sigma, i.clean_loss AS input_loss
    FROM recovery_at_cost h JOIN recovery_at_cost i
         ON {" AND ".join(f"h.{column} IS NOT DISTINCT FROM i.{column}" for column in (*SAME, "awareness", "cost"))}
    WHERE h.site <> 'input' AND i.site = 'input' AND h.defense = i.defense
),
per_cluster AS (
    SELECT p.grid, p.cell_id, p.input_cell, p.seed, p.cost, a.cluster,
           count_if(a.hit) - count_if(b.hit) AS more, count(*) AS n, count_if(a.hit) AS hidden, count_if(b.hit) AS input
    FROM pairs p
    JOIN raw.recovered a ON a.grid = p.grid AND a.cell_id = p.cell_id AND a.seed IS NOT DISTINCT FROM p.seed
    JOIN raw.recovered b ON b.grid = p.grid AND b.cell_id = p.input_cell AND b.seed IS NOT DISTINCT FROM p.seed
                            AND b.sample_id = a.sample_id
    WHERE a.known AND b.known GROUP BY ALL
),
per_pair AS (
    SELECT grid, cell_id, input_cell, seed, cost, sum(n)::BIGINT AS n, sum(hidden)::BIGINT AS hidden_num,
           sum(input)::BIGINT AS input_num, count(*) AS m,
           sum(more * more) AS squares, sum(more * n) AS crossed, sum(n * n) AS sizes, sum(more) / sum(n) AS gap
    FROM per_cluster GROUP BY ALL
),
spread AS (
    -- of the sum of differences over clusters, which are what is drawn independently
    SELECT *, sqrt(greatest(squares - 2 * gap * crossed + gap * gap * sizes, 0) * m / nullif(m - 1, 0)) / n AS deviation
    FROM per_pair
)
SELECT p.run, p.grid, {", ".join(f"p.{column}" for column in SAME if column != "grid")}, p.awareness, p.defense, p.cost, p.site,
       p.sigma, p.clean_loss, p.input_sigma, p.input_loss, s.n, s.hidden_num, s.input_num, s.gap,
       s.gap - {normal_quantile(0.95)!r} * deviation AS gap_low, s.gap + {normal_quantile(0.95)!r} * deviation AS gap_high,
       p.cell_id, p.input_cell
FROM pairs p JOIN spread s
     ON s.grid = p.grid AND s.cell_id = p.cell_id AND s.input_cell = p.input_cell AND s.seed IS NOT DISTINCT FROM p.seed
        AND s.cost = p.cost
ORDER BY p.grid, p.data, p.victim, p.attack, p.attack_params, p.awareness, p.cost, p.site;
"""

PROFILE = f"""
CREATE VIEW layer_profile AS
WITH places AS (
    SELECT run, grid, cell_id, {CELLS}, status, layer_distance['input'] AS at_input, pair_distance,
           unnest(map_entries(layer_distance)) AS found,
           generate_subscripts(map_entries(layer_distance), 1) AS place
    FROM trials WHERE layer_distance IS NOT NULL
)
SELECT run, grid, cell_id, {CELLS}, status, place, found.key AS layer, count(found.value) AS n,
       median(found.value) AS distance, median(found.value / nullif(at_input, 0)) AS amplification,
       median(pair_distance[found.key]) AS pair, median(found.value / nullif(pair_distance[found.key], 0)) AS of_pair
FROM places GROUP BY ALL ORDER BY grid, cell_id, seed, status, place;
"""

VIEWS = (RECOVERY, AT_COST, GAP, PROFILE)
"""Makes the views, in order. Needs those of views.py."""
