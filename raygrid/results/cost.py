"""The view `defense_cost`: what an answer costs behind each defense, beside what the defense is worth.

One line a victim, defense, channel and device, and a worst case of its own (goal, norm, eps; null where there is no untargeted
attack). `seconds_per_answer` is the median over trials of `seconds` by answers: each draw asks for two, to the example as crafted
and as a file holds it. It has the sample's distances in it and, with a detecting defense, the alarm, so that the `ratio` to the
bare victim, in the same run and on the same kind of device, is nearer to 1 than that of the answers alone, which
`raygrid bench defenses` measures. Null where the bare victim is not in the grid. How busy the machine was nobody knows.
"""
# ruff: noqa: S608 - the SQL is put together from constants only

ANSWERS = 2
"""Answers of a draw: to the example as crafted, and to the copy that a file can hold."""
VICTIM = ("grid", "data", "victim", "channel", "seed")
"""What a defended victim and its bare one share."""
DEFENSE = ("defense", "defense_params")


def _same(columns: tuple[str, ...], left: str, right: str) -> str:
    return " AND ".join(f"{left}.{column} IS NOT DISTINCT FROM {right}.{column}" for column in columns)


VIEW = f"""
CREATE VIEW defense_cost AS
WITH cost AS (
    SELECT run, {", ".join((*VICTIM, *DEFENSE))}, device, count(*) AS trials, max(draws) AS draws,
           median(seconds / (draws * {ANSWERS})) AS seconds_per_answer
    FROM trials WHERE status IN ('robust', 'broken', 'clean_wrong') AND seconds IS NOT NULL AND draws > 0
    GROUP BY ALL
)
SELECT c.run, {", ".join(f"c.{column}" for column in (*VICTIM, *DEFENSE))}, c.device, c.trials, c.draws, c.seconds_per_answer,
       b.seconds_per_answer AS bare_seconds_per_answer, c.seconds_per_answer / nullif(b.seconds_per_answer, 0) AS ratio,
       w.goal, w.norm, w.eps, w.attacks, w.clean_accuracy, w.robust_accuracy, w.robust_accuracy_num, w.robust_accuracy_den,
       w.robust_accuracy_low, w.robust_accuracy_high, w.robust_accuracy_worst, w.robust_accuracy_best
FROM cost c
LEFT JOIN cost b ON b.defense = 'none' AND {_same((*VICTIM, "device"), "c", "b")}
LEFT JOIN worst_case w ON {_same((*VICTIM, *DEFENSE), "c", "w")}
ORDER BY {", ".join(f"c.{column}" for column in VICTIM)}, w.goal, w.norm, w.eps, c.device, c.seconds_per_answer,
         {", ".join(f"c.{column}" for column in DEFENSE)};
"""
"""Needs `trials` and the views of views.py."""
