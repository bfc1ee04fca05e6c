"""The masking checks: signs that a robust accuracy is too high because the attack failed, not because the victim is robust.

Each is a row of the view `checks`: what was counted among how many samples, the threshold, and whether it is flagged. They look at
untargeted trials. Inherited rows raise no flag: a success taken over from a smaller eps counts for the attack that a sign speaks
against, and never for the sign. Sources: Athalye et al., ICML 2018; Carlini et al., 2019 (arXiv 1902.06705); Croce & Hein's own
checks in AutoAttack.
"""
# ruff: noqa: S608 - the SQL is put together from constants only

from dataclasses import dataclass

from raygrid.results import schema

VICTIM = ("grid", "data", "victim", "defense", "defense_params", "channel")
"""What a flag is about: masking is a property of a victim, not of the attack that showed it."""
BALL = (*VICTIM, "seed", "norm", "eps")
LEARNED = "'universal', 'universal-patch'"
"""Attacks that are learned on other samples, and so may fail where the victim has done nothing for it."""
NOISE = "attack IN ('uniform-noise', 'gaussian-noise')"


@dataclass(frozen=True)
class Check:
    """One sign of masking."""

    name: str
    threshold: float
    """The share num / den above which it is flagged."""
    meaning: str
    sql: str
    """Rows of (BALL, cell_id, num, den); more than `threshold` of den is flagged, and one at least."""


CHECKS = (
    Check(
        "score-beats-gradient",
        0.01,
        "samples that an attack on scores or decisions broke and no gradient attack at this eps did",
        f"""
        WITH s AS (
            SELECT {", ".join(BALL)}, sample_id,
                   bool_or(access = 'gradient' AND status = 'broken') AS by_gradient,
                   bool_or(access = 'gradient') AS tried,
                   bool_or(access IN ('score', 'decision') AND NOT {NOISE} AND status = 'broken'
                           AND obtained = 'attacked') AS by_query,
                   bool_or(access IN ('score', 'decision') AND NOT {NOISE}) AS queried
            FROM judged GROUP BY ALL)
        SELECT {", ".join(BALL)}, NULL AS cell_id, count_if(by_query AND NOT by_gradient) AS num, count(*) AS den
        FROM s WHERE tried AND queried GROUP BY ALL
        """,
    ),
    Check(
        "noise-does-as-well",
        0.9,
        "samples broken by random noise, among those that a gradient attack of the same size broke while others stood",
        f"""
        WITH c AS (
            SELECT {", ".join(BALL)}, cell_id, any_value({NOISE}) AS noise, any_value(access = 'gradient') AS gradient,
                   any_value(attack = 'first-order') AS one_step,
                   count_if(status = 'broken') AS broken, count_if(status = 'robust') AS robust,
                   count_if(status = 'broken' AND obtained = 'attacked') AS broken_here
            FROM judged GROUP BY ALL),
        n AS (SELECT {", ".join(BALL)}, max(broken_here) AS by_noise FROM c WHERE noise GROUP BY ALL)
        SELECT {", ".join(f"c.{column}" for column in BALL)}, c.cell_id, by_noise AS num, broken AS den
        FROM c JOIN n ON {" AND ".join(f"c.{column} IS NOT DISTINCT FROM n.{column}" for column in BALL)}
        WHERE gradient AND robust > 0 AND NOT one_step
        """,
    ),
    Check(
        "zero-gradients",
        0.05,
        "backward passes at which a sample's gradient was zero throughout",
        f"""
        SELECT {", ".join(BALL)}, cell_id, sum(c.zero_gradients)::BIGINT AS num, sum(c.backwards)::BIGINT AS den
        FROM judged j JOIN raw.crafts c USING (craft_key, sample_id)
        WHERE c.backwards > 0 GROUP BY ALL
        """,
    ),
    Check(
        "gradients-mislead",
        0.25,
        "samples that stand after every gradient attack and whose gradients did not foretell what steps brought",
        f"""
        WITH s AS (
            SELECT {", ".join(BALL)}, sample_id, bool_or(access = 'gradient' AND j.status = 'broken') AS broken,
                   bool_or(attack = 'first-order' AND c.backwards > 0) AS asked,
                   bool_or(attack = 'first-order' AND c.false_gradients > 0) AS misled
            FROM judged j JOIN raw.crafts c USING (craft_key, sample_id) GROUP BY ALL)
        SELECT {", ".join(BALL)}, NULL AS cell_id, count_if(misled AND NOT broken) AS num, count(*) AS den
        FROM s WHERE asked GROUP BY ALL
        """,
    ),
    Check(
        "large-eps-survived",
        0.05,
        "samples that stand after every gradient attack in an L-inf ball of half the input range, which holds a gray image",
        f"""
        WITH s AS (
            SELECT {", ".join(BALL)}, sample_id, bool_or(status = 'broken') AS broken
            FROM judged WHERE access = 'gradient' AND norm = 'linf' AND eps >= 0.5 GROUP BY ALL)
        SELECT {", ".join(BALL)}, NULL AS cell_id, count_if(NOT broken) AS num, count(*) AS den FROM s GROUP BY ALL
        """,
    ),
    Check(
        "more-steps-break-less",
        0.02,
        "samples by which an attack with more steps breaks fewer than the same attack with fewer",
        f"""
        WITH c AS (
            SELECT {", ".join(BALL)}, cell_id, attack, precision, json_merge_patch(attack_params, '{{"steps": null}}') AS rest,
                   any_value((attack_params ->> 'steps')::BIGINT) AS steps,
                   count_if(status = 'broken') AS broken, count(*) AS n
            FROM judged WHERE access = 'gradient' AND suite IS NULL AND attack_params ->> 'steps' IS NOT NULL GROUP BY ALL)
        SELECT {", ".join(f"a.{column}" for column in BALL)}, a.cell_id,
               max(greatest(b.broken - a.broken, 0)) AS num, any_value(a.n) AS den
        FROM c a JOIN c b ON a.attack = b.attack AND a.rest = b.rest AND a.steps > b.steps
             AND a.precision IS NOT DISTINCT FROM b.precision
             AND {" AND ".join(f"a.{column} IS NOT DISTINCT FROM b.{column}" for column in BALL)}
        GROUP BY ALL
        """,
    ),
    Check(
        "starts-disagree",
        0.1,
        "samples that the same gradient attack broke with one seed and not with another",
        f"""
        WITH s AS (
            SELECT {", ".join(column for column in BALL if column != "seed")}, cell_id, sample_id, count(DISTINCT seed) AS seeds,
                   bool_or(status = 'broken') AND bool_or(status = 'robust') AS disagree
            FROM (SELECT * REPLACE (regexp_replace(cell_id, ' seed=\\S+', '') AS cell_id) FROM judged)
            WHERE access = 'gradient' AND obtained = 'attacked' GROUP BY ALL HAVING seeds > 1)
        SELECT {", ".join("NULL::BIGINT AS seed" if column == "seed" else column for column in BALL)}, cell_id,
               count_if(disagree) AS num, count(*) AS den FROM s GROUP BY ALL
        """,
    ),
    Check(
        "clean-differs-from-eps-0",
        0.0,
        "samples answered differently when nothing was changed",
        f"""
        SELECT {", ".join(BALL)}, cell_id, count_if(prediction <> clean_prediction OR status = 'broken') AS num, count(*) AS den
        FROM judged WHERE eps = 0 GROUP BY ALL
        """,
    ),
    Check(
        "random-and-not-averaged",
        0.0,
        "samples of a victim that answers at random, attacked by gradients of single draws",
        f"""
        SELECT {", ".join(BALL)}, cell_id, count_if(draws > 1 AND eot = 1) AS num, count(*) AS den
        FROM judged WHERE access = 'gradient' GROUP BY ALL
        HAVING num > 0 AND coalesce(bool_or(draws_fooled NOT IN (0, draws)), true) -- draws that all agree are of no random victim
        """,
    ),
)

JUDGED = f"""
SELECT {", ".join(BALL)}, cell_id, craft_key, sample_id, attack, attack_params, precision, access, suite, eot, obtained, status,
       draws, draws_fooled, prediction, clean_prediction
FROM trials
WHERE goal = 'untargeted' AND access NOT IN ('transfer', 'none') AND attack NOT IN ({LEARNED}) AND status IN ('robust', 'broken')
  AND (defense = 'none' OR awareness IS NULL OR awareness LIKE '%defense%' OR awareness LIKE 'all%')
"""
"""What the checks look at, read once for all of them: attacks of each sample by those who know of all that defends it."""


def _row(check: Check) -> str:
    return f"""
    SELECT {", ".join(BALL)}, cell_id, '{check.name}' AS sign,
           num::BIGINT AS num, den::BIGINT AS den, num / nullif(den, 0) AS share, {check.threshold}::DOUBLE AS threshold,
           num > 0 AND num > {check.threshold} * den AS flagged, {_quoted(check.meaning)} AS meaning
    FROM ({check.sql})"""


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


COLUMNS = ", ".join(f'"{column.name}"' for column in schema.CHECKS.columns)
ROWS = " UNION ALL BY NAME ".join(_row(check) for check in CHECKS)
VIEW = f"CREATE VIEW checks AS WITH judged AS MATERIALIZED ({JUDGED}) SELECT {COLUMNS} FROM ({ROWS});"
"""Needs `trials` and `raw.crafts`."""

FLAGS = f"""
CREATE VIEW raw.flags AS
SELECT {", ".join(VICTIM)}, string_agg(DISTINCT sign, ', ' ORDER BY sign) AS flags
FROM checks WHERE flagged GROUP BY ALL;
"""
"""What `summary` shows of the checks."""
