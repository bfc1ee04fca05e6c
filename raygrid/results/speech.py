"""Views over attacks on speech recognizers: what was heard, play by play, and how loud the perturbation was.

`plays` has one row a play: what was heard of the example and of the clean clip, the edits between that and what the goal is about
(or what is truly said), in tokens, in phonemes whatever the words, and in words; and where it was played, as far as the channel
says: room, split, RT60 in s, distance in m, noise, its SNR, codec.
`speech_attacks` has one line a cell: `play_rate` is the share of plays that met the goal, with a 95 % interval over clips (Wilson,
on the effective number of plays); `clean_rate` the share in which clean speech counts as garbled already; `error_rate` edits over
tokens of all plays, `clean_error_rate` the recognizer's own, of the clean clips through the same channel; `phoneme_error_rate` and
`word_error_rate` likewise, beside `phonemes_right_rate`, the share of plays with every phoneme right, whatever the words.
`snr_db` is the median of the clips' power over the perturbation's, `snr_band_db` that from 1 to 4 kHz, `peak_db` and `loudness_lu`
how far the perturbation's peak and loudness lie above the clip's, `over_mask_db` and `over_mask_share` by how much and where ears
may hear it. A cell of which nothing was judged has a line without rates.
`listeners` has one row a play of an example that was crafted on one recognizer (`source`, `access: transfer`) and played to another
(`victim`, or behind a defense), in the same room and noise: what each of them heard.
`best_snr` has, for each clip and phrase, the quietest perturbation of all cells that differ in nothing but eps and parameters of
the attack which every play heard (100 %), and which at least half of them did (as Yakura & Sakuma, IJCAI 2019, lay out tables).
`plays_gain` says what one parameter of an attack buys: cells that differ in nothing else are compared, the one with `after` less
the one with `before`, over the same (clip, phrase) pairs, with a 95 % interval over these pairs (Student's; null where they all
differ alike). `rest` is what else varies in the grid, as it was for this line; null: the mean over all of that.
"""
# ruff: noqa: S608 - the SQL is put together from constants only

from raygrid.results.faces import STUDENT
from raygrid.results.trial_columns import CELL

KEY = "run, grid, cell_id, seed"

PLAYS = """
CREATE VIEW plays AS
SELECT t.run, t.grid, t.cell_id, t.seed, t.victim, t.defense, t.attack, t.source, t.goal, t.phrase, t.channel, t.snr_db,
       t.sample_id, t.cluster, t.craft_key, d.draw, d.fooled, d.prediction AS heard, d.clean_prediction AS clean_heard,
       d.edits, d.edits_of,
       d.clean_edits, d.clean_edits_of, d.phoneme_edits, d.phoneme_edits_of, d.word_edits, d.word_edits_of,
       d.play ->> '$."room.room_id"' AS room_id, d.play ->> '$."room.split"' AS split,
       (d.play ->> '$."room.rt60"')::DOUBLE AS rt60, (d.play ->> '$."room.distance"')::DOUBLE AS distance,
       d.play ->> '$."noise.kind"' AS noise, (d.play ->> '$."noise.snr_db"')::DOUBLE AS noise_snr_db,
       d.play ->> '$."lossy.codec"' AS codec, d.play
FROM trials t JOIN main.draws d USING (run, grid, cell_id, unit_key, sample_id)
WHERE d.edits IS NOT NULL;
"""

PARTS = ("phoneme", "word")
"""What edits are counted in, besides tokens."""
LOUD = ("snr_db", "snr_band_db", "peak_db", "loudness_lu", "over_mask_db", "over_mask_share")
"""How a perturbation stands out of its clip; see schema.py."""


def _errors(part: str) -> str:
    num, den = f"sum({part}_edits)", f"sum({part}_edits_of)"
    name = f"{part}_error_rate"
    return f"{num} / nullif({den}, 0) AS {name}, {num}::BIGINT AS {name}_num, {den}::BIGINT AS {name}_den"


ATTACKS = f"""
CREATE VIEW raw.speech_clips AS
SELECT {KEY}, sample_id, any_value(cluster) AS cluster, any_value(snr_db) AS snr_db, count_if(fooled) AS hits, count(*) AS plays,
       count_if(goal = 'garble' AND 2 * clean_edits >= clean_edits_of) AS clean_hits, sum(edits) AS edits,
       sum(edits_of) AS edits_of, sum(clean_edits) AS clean_edits, sum(clean_edits_of) AS clean_edits_of,
       count(phoneme_edits) AS phoneme_plays, count_if(phoneme_edits = 0) AS phonemes_right,
       {", ".join(f"sum({part}_{what}) AS {part}_{what}" for part in PARTS for what in ("edits", "edits_of"))}
FROM plays GROUP BY {KEY}, sample_id;

CREATE VIEW speech_attacks AS
WITH clusters AS (
    SELECT {KEY}, cluster, sum(hits) AS k, sum(plays) AS n FROM raw.speech_clips GROUP BY {KEY}, cluster
),
spread AS (
    SELECT {KEY}, sum(k)::BIGINT AS num, sum(n)::BIGINT AS den,
           sum(n) / design_effect(sum(k), sum(n), count(*), sum(k * k), sum(k * n), sum(n * n)) AS effective
    FROM clusters GROUP BY {KEY}
),
clips AS (
    SELECT {KEY}, count(*) AS judged, sum(edits) / sum(edits_of) AS error_rate,
           CASE WHEN bool_or(clean_edits_of > 0) THEN sum(clean_hits) / sum(plays) END AS clean_rate,
           sum(edits)::BIGINT AS error_rate_num, sum(edits_of)::BIGINT AS error_rate_den,
           sum(clean_edits) / nullif(sum(clean_edits_of), 0) AS clean_error_rate,
           sum(clean_edits)::BIGINT AS clean_error_rate_num, sum(clean_edits_of)::BIGINT AS clean_error_rate_den,
           sum(phonemes_right) / nullif(sum(phoneme_plays), 0) AS phonemes_right_rate,
           sum(phonemes_right)::BIGINT AS phonemes_right_rate_num, sum(phoneme_plays)::BIGINT AS phonemes_right_rate_den,
           {", ".join(map(_errors, PARTS))}
    FROM raw.speech_clips GROUP BY {KEY}
),
loud AS (
    SELECT {KEY}, {", ".join(f"median({column}) AS {column}" for column in LOUD)}
    FROM trials WHERE prediction IS NOT NULL GROUP BY {KEY}
)
SELECT c.*, coalesce(judged, 0) AS judged, num / den AS play_rate, num AS play_rate_num, den AS play_rate_den,
       wilson_low(num / den * effective, effective) AS play_rate_low,
       wilson_high(num / den * effective, effective) AS play_rate_high,
       -- clips without a verdict count for the attack, and against it
       coalesce(num / den * judged + planned - judged, planned) / planned AS play_rate_worst,
       coalesce(num / den * judged, 0) / planned AS play_rate_best, clips.* EXCLUDE ({KEY}, judged),
       {", ".join(LOUD)}
FROM cells c LEFT JOIN spread USING ({KEY}) LEFT JOIN clips USING ({KEY}) LEFT JOIN loud USING ({KEY})
WHERE c.goal IN ('transcribe', 'garble')
ORDER BY c.grid, c.data, c.victim, c.defense, c.goal, c.phrase, c.attack, c.norm, c.eps, c.seed, c.cell_id;
"""

VARIES = ("attack_params", "eps", "suite", "stage", "stages")
"""Columns of a cell that may differ among those of which the quietest counts."""
SAME = ("run", "grid", *(column.name for column in CELL if column.name not in VARIES))

BEST = f"""
CREATE VIEW best_snr AS
SELECT {", ".join(f"c.{column}" for column in SAME)}, s.sample_id,
       max(s.snr_db) FILTER (s.hits = s.plays) AS snr_db_all_plays,
       max(s.snr_db) FILTER (2 * s.hits >= s.plays) AS snr_db_half_of_plays,
       arg_max(s.hits / s.plays, s.snr_db) FILTER (2 * s.hits >= s.plays) AS play_rate_at_half,
       max(s.plays) AS plays, count(*) AS tried
FROM raw.speech_clips s JOIN cells c USING ({KEY})
GROUP BY {", ".join(f"c.{column}" for column in SAME)}, s.sample_id ORDER BY ALL;
"""

LISTENERS = """
CREATE VIEW listeners AS
SELECT o.run, o.grid, o.seed, o.attack, o.goal, o.phrase, o.channel, o.snr_db, o.sample_id, o.draw, o.room_id, o.noise_snr_db,
       o.codec, o.source, s.heard AS source_heard, s.fooled AS source_fooled, o.victim, o.defense, o.heard, o.fooled, o.clean_heard,
       o.word_edits, o.word_edits_of
FROM plays o JOIN plays s ON s.run = o.run AND s.grid = o.grid AND s.seed IS NOT DISTINCT FROM o.seed AND s.craft_key = o.craft_key
     AND s.channel IS NOT DISTINCT FROM o.channel AND s.sample_id = o.sample_id AND s.draw = o.draw
WHERE s.victim = o.source AND s.defense = 'none' AND NOT (o.victim = s.victim AND o.defense = s.defense)
QUALIFY row_number() OVER (PARTITION BY o.run, o.cell_id, o.seed, o.sample_id, o.draw ORDER BY s.cell_id) = 1 -- of several cells
ORDER BY o.grid, o.sample_id, o.phrase, o.attack, o.victim, o.defense, o.draw;
"""

ALIKE = ("run", "grid", *(column.name for column in CELL if column.name not in ("attack_params", "phrase")))
"""Columns in which two cells must agree whose attacks are compared."""
ROUNDING = 1e-9
"""Half width of an interval below which all pairs differ alike, but for rounding."""

GAIN = f"""
CREATE VIEW plays_gain AS
WITH variants AS (
    SELECT DISTINCT md5(row({", ".join(ALIKE)})::VARCHAR) AS kind, attack_params FROM cells WHERE goal IN ('transcribe', 'garble')
),
said AS (
    SELECT v.kind, v.attack_params, p.key AS parameter, p.value::VARCHAR AS value FROM variants v, json_each(v.attack_params) p
),
-- parameters that some attacks leave out are null there
given AS (
    SELECT v.kind, v.attack_params, n.parameter, coalesce(s.value, 'null') AS value,
           count(DISTINCT coalesce(s.value, 'null')) OVER (PARTITION BY v.kind, n.parameter) > 1 AS varies
    FROM variants v JOIN (SELECT DISTINCT kind, parameter FROM said) n USING (kind)
         LEFT JOIN said s ON s.kind = v.kind AND s.attack_params = v.attack_params AND s.parameter = n.parameter
),
setting AS (
    SELECT g.kind, g.attack_params, g.parameter, g.value,
           coalesce(string_agg(r.parameter || '=' || r.value, ' ' ORDER BY r.parameter), '') AS rest
    FROM given g LEFT JOIN given r
         ON r.varies AND r.kind = g.kind AND r.attack_params = g.attack_params AND r.parameter <> g.parameter
    WHERE g.varies GROUP BY ALL
),
-- a parameter grows: nothing, no, yes; numbers; words
steps AS (
    SELECT b.kind, b.parameter, b.value AS before, a.value AS after, b.rest, b.attack_params AS less, a.attack_params AS more
    FROM setting b JOIN setting a ON a.kind = b.kind AND a.parameter = b.parameter AND a.rest = b.rest
    WHERE row(b.value <> 'null', coalesce(TRY_CAST(b.value AS DOUBLE), 'inf'), b.value)
          < row(a.value <> 'null', coalesce(TRY_CAST(a.value AS DOUBLE), 'inf'), a.value)
),
rates AS (
    SELECT md5(row({", ".join(f"c.{column}" for column in ALIKE)})::VARCHAR) AS kind, c.*, coalesce(s.cluster, s.sample_id) AS clip,
           s.sample_id, s.hits / s.plays AS rate
    FROM raw.speech_clips s JOIN cells c USING ({KEY})
),
pairs AS (
    SELECT {", ".join(f"m.{column}" for column in ALIKE)}, t.parameter, t.before, t.after, t.rest, m.clip, m.phrase,
           avg(f.rate) AS rate_before, avg(m.rate) AS rate_after
    FROM steps t JOIN rates f ON f.kind = t.kind AND f.attack_params = t.less
                 JOIN rates m ON m.kind = t.kind AND m.attack_params = t.more
                              AND m.sample_id = f.sample_id AND m.phrase IS NOT DISTINCT FROM f.phrase
    GROUP BY ALL
),
all_pairs AS (
    FROM pairs
    UNION ALL BY NAME
    SELECT * EXCLUDE (rest, rate_before, rate_after), NULL AS rest, avg(rate_before) AS rate_before, avg(rate_after) AS rate_after
    FROM pairs GROUP BY ALL HAVING count(*) > 1
),
spread AS (
    SELECT {", ".join(ALIKE)}, parameter, before, after, rest, count(*) AS pairs, avg(rate_before) AS rate_before,
           avg(rate_after) AS rate_after, avg(rate_after - rate_before) AS gain,
           {STUDENT} * stddev_samp(rate_after - rate_before) / sqrt(count(*)) AS half
    FROM all_pairs GROUP BY ALL
)
SELECT * EXCLUDE (half), CASE WHEN half > {ROUNDING} THEN greatest(gain - half, -1) END AS gain_low,
       CASE WHEN half > {ROUNDING} THEN least(gain + half, 1) END AS gain_high
FROM spread ORDER BY {", ".join(ALIKE)}, parameter, before, after, rest;
"""

VIEWS = (PLAYS, ATTACKS, BEST, LISTENERS, GAIN)
