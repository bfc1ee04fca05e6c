"""The view `detection`: what a detecting defense catches, one line a cell behind one.

A sample is lost where its clean input is answered wrong or raises a false alarm, or where the example is answered wrong and
raises none (Tramèr, ICML 2022). Rows without a verdict are unknown, and count against the victim. Wilson intervals take samples as
independent.
"""

VIEW = """
CREATE VIEW detection AS
WITH counted AS (
    SELECT run, grid, cell_id, seed,
           count(*) AS n,
           count_if(clean_correct) AS clean_correct,
           count_if(clean_detected) AS false_alarms,
           count_if(clean_detected IS NOT NULL) AS clean_n,
           count_if(status = 'broken') AS broken,
           count_if(status = 'broken' AND detected) AS broken_detected,
           count_if(clean_correct AND NOT clean_detected AND (status = 'robust' OR (status = 'broken' AND detected))) AS held
    FROM trials GROUP BY run, grid, cell_id, seed HAVING bool_or(clean_detected IS NOT NULL)
)
SELECT c.*, k.* EXCLUDE (run, grid, cell_id, seed, held),
       false_alarms / nullif(clean_n, 0) AS false_alarm_rate,
       wilson_low(false_alarms, clean_n) AS false_alarm_rate_low, wilson_high(false_alarms, clean_n) AS false_alarm_rate_high,
       broken_detected / nullif(broken, 0) AS detection_rate,
       wilson_low(broken_detected, broken) AS detection_rate_low, wilson_high(broken_detected, broken) AS detection_rate_high,
       held / planned AS robust_accuracy_with_detection, held AS robust_accuracy_with_detection_num,
       planned AS robust_accuracy_with_detection_den,
       wilson_low(held, planned) AS robust_accuracy_with_detection_low,
       wilson_high(held, planned) AS robust_accuracy_with_detection_high
FROM counted k JOIN cells c USING (run, grid, cell_id, seed)
WHERE c.goal = 'untargeted'
ORDER BY c.grid, c.data, c.victim, c.defense, c.norm, c.eps, c.seed, c.cell_id;
"""
