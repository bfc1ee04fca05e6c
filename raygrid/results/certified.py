"""The SQL of certificates: how many clean inputs a certifying defense vouches for, and how far the examples are that break it.

`certified` has one line a victim, defense and radius, in steps of 0.1 up to where nothing is certified any more, and
`certified_at([0.25, 0.5])` other radii. An input counts where the radius certified for its true class is larger, since a
certificate speaks of what lies nearer than its radius (Cohen et al., ICML 2019); no answer, another class and an error count
against. `certified_distance` has one line a cell, and sets the radii beside the L2 distances of the examples that break:
`refuted_num` of them lie within the radius and got a wrong answer, which alpha of the certificates may do.
"""
# ruff: noqa: S608 - the SQL is put together from constants only

DEFENDED = ("grid", "data", "victim", "defense", "defense_params", "seed")
"""What a certificate belongs to, besides the sample: no attack."""
_SAME = " AND ".join(f"c.{column} IS NOT DISTINCT FROM t.{column}" for column in DEFENDED)
_DEFENDED = ", ".join(DEFENDED)

# Rows of cells that certify: of one without a single radius nothing is known, and mostly there is nothing to know.
CERTIFICATES = f"""
CREATE VIEW raw.certificates AS
WITH planned AS (SELECT {_DEFENDED}, max(planned) AS planned FROM cells WHERE channel IS NULL GROUP BY ALL),
found AS (
    SELECT {_DEFENDED}, sample_id, any_value(coalesce(cluster, sample_id)) AS cluster, max(certified_radius) AS radius
    FROM trials WHERE channel IS NULL GROUP BY ALL
)
SELECT t.*, c.planned, max(radius) OVER (PARTITION BY {", ".join(f"t.{column}" for column in DEFENDED)}) AS largest
FROM found t JOIN planned c ON {_SAME} QUALIFY largest IS NOT NULL;
"""

AT = f"""
CREATE MACRO certified_at(radii) AS TABLE
WITH per_cluster AS (
    SELECT {_DEFENDED}, planned, r.radius AS radius, cluster,
           count_if(coalesce(c.radius, 0) > r.radius) AS num, count(*) AS den, count_if(c.radius IS NULL) AS errors
    FROM raw.certificates c CROSS JOIN (SELECT DISTINCT unnest(radii)::DOUBLE AS radius) r GROUP BY ALL
),
counted AS (
    SELECT {_DEFENDED}, planned, radius, sum(num)::BIGINT AS num, sum(den)::BIGINT AS den, sum(errors)::BIGINT AS errors,
           count(*) AS clusters, sum(num * num) AS num_num, sum(num * den) AS num_den, sum(den * den) AS den_den
    FROM per_cluster GROUP BY ALL
),
derived AS (
    SELECT *, planned - den AS missing, den / design_effect(num, den, clusters, num_num, num_den, den_den) AS n_eff
    FROM counted
)
SELECT {_DEFENDED}, radius,
       CASE WHEN missing = 0 THEN num / den END AS certified_accuracy,
       num AS certified_accuracy_num, den AS certified_accuracy_den,
       CASE WHEN missing = 0 THEN wilson_low(num * n_eff / den, n_eff) END AS certified_accuracy_low,
       CASE WHEN missing = 0 THEN wilson_high(num * n_eff / den, n_eff) END AS certified_accuracy_high,
       errors, missing, clusters, n_eff
FROM derived ORDER BY {_DEFENDED}, radius;
"""

CERTIFIED = """
CREATE VIEW certified AS
FROM certified_at((SELECT list_transform(range(0, coalesce(ceil(max(radius) * 10), -1)::BIGINT + 1), lambda i: i / 10)
                   FROM raw.certificates));
"""

DISTANCE = """
CREATE VIEW certified_distance AS
SELECT grid, cell_id, seed, any_value(victim) AS victim, any_value(defense) AS defense,
       any_value(defense_params) AS defense_params, any_value(attack) AS attack, any_value(norm) AS norm, any_value(eps) AS eps,
       any_value(awareness) AS awareness, count(*) AS broken, count_if(certified_radius > 0)::BIGINT AS certified,
       median(certified_radius) AS median_radius, median(l2) AS median_l2, min(l2) AS least_l2,
       count_if(l2 < certified_radius AND NOT abstained)::BIGINT AS refuted_num, count(*) AS refuted_den
FROM trials WHERE status = 'broken' AND goal = 'untargeted' AND certified_radius IS NOT NULL
GROUP BY grid, cell_id, seed ORDER BY grid, cell_id, seed;
"""

VIEWS = (CERTIFICATES, AT, CERTIFIED, DISTANCE)
"""Makes the views, in order. Needs `trials`, `cells` and the macros of views.py."""
