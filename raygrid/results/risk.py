"""Risk: not how often an attack succeeds, but what its errors cost, and what they cost the attacker.

`risk` has one line a cell: the expected cost of an answer, errors that a defense detects left out, beside the share of wrong
answers and what an attacker spends. The costs are those that the job says, `costs` of a grid; what it does not say costs 1. Only
samples with an answer count; the others are told as unknown. Effort is shown beside the risk and not multiplied in.
"""

COSTS = """
CREATE VIEW raw.costs AS
SELECT run, unnest(from_json(manifest -> '$.costs',
                             '[{"grid": "VARCHAR", "label": "VARCHAR", "prediction": "VARCHAR", "cost": "DOUBLE"}]'),
                   recursive := true)
FROM raw.runs;
"""

RISK = """
CREATE VIEW risk AS
WITH answered AS (
    SELECT t.*,
           CASE WHEN t.prediction = t.label THEN 0 ELSE coalesce(c.cost, 1) END AS cost,
           CASE WHEN t.clean_prediction = t.label THEN 0 ELSE coalesce(d.cost, 1) END AS clean_cost
    FROM trials t
    LEFT JOIN raw.costs c ON c.run = t.run AND c.grid = t.grid AND c.label = t.label AND c.prediction = t.prediction
    LEFT JOIN raw.costs d ON d.run = t.run AND d.grid = t.grid AND d.label = t.label AND d.prediction = t.clean_prediction
    WHERE t.goal = 'untargeted' AND t.stage IS NOT DISTINCT FROM t.stages  -- of a suite its last stage, its verdict
),
spent AS (
    SELECT a.grid, a.cell_id, a.seed, avg(k.queries) AS queries, avg(k.seconds) AS seconds
    FROM answered a JOIN crafts k USING (craft_key, sample_id) WHERE a.obtained = 'attacked' GROUP BY ALL
),
cell AS (
    SELECT grid, cell_id, seed, any_value(data) AS data, any_value(victim) AS victim, any_value(defense) AS defense,
           any_value(defense_params) AS defense_params, any_value(attack) AS attack, any_value(access) AS access,
           any_value(awareness) AS awareness, any_value(norm) AS norm, any_value(eps) AS eps,
           count_if(prediction IS NOT NULL) AS den,
           count_if(prediction IS NULL AND status <> 'skipped') AS unknown,
           coalesce(sum(cost) FILTER (prediction IS NOT NULL AND NOT coalesce(detected, false)), 0) AS num,
           coalesce(sum(clean_cost) FILTER (prediction IS NOT NULL AND NOT coalesce(clean_detected, false)), 0) AS clean_num,
           max(cost) FILTER (prediction IS NOT NULL AND NOT coalesce(detected, false)) AS worst_error,
           count_if(status IN ('broken', 'clean_wrong')) AS wrong,
           count_if(detected) AS detected
    FROM answered GROUP BY grid, cell_id, seed
)
SELECT c.* EXCLUDE (num, clean_num),
       num / nullif(den, 0) AS risk, num AS risk_num, den AS risk_den, clean_num / nullif(den, 0) AS clean_risk,
       wrong / nullif(den, 0) AS error_rate, s.queries, s.seconds,
       rank() OVER (PARTITION BY grid, data, victim, defense, defense_params, seed ORDER BY num / nullif(den, 0) DESC NULLS LAST)
           AS by_risk,
       rank() OVER (PARTITION BY grid, data, victim, defense, defense_params, seed ORDER BY wrong / nullif(den, 0) DESC NULLS LAST)
           AS by_error_rate
FROM cell c LEFT JOIN spent s USING (grid, cell_id, seed)
ORDER BY grid, data, victim, defense, seed, by_risk, cell_id;
"""

VIEWS = (COSTS, RISK)
