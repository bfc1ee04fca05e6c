"""Every table of a results folder: name, type and meaning of each column, in one place.

Files of one table never differ in schema; a modality that has no use for a column leaves it null. Changing a column
means a new SCHEMA_VERSION and a reader that upgrades.
"""

from raygrid.results.columns import Column, Table
from raygrid.results.trial_columns import CELL, CRAFT_KEY, PLACE, RESULT, SAMPLE_ID, UNIT_KEY

SCHEMA_VERSION = 7

CRAFT_STATUSES = ("crafted", "error", "timeout", "inherited")
"""What may become of a craft; `inherited`: the sample was not attacked, its example is that of the unit before. Whether it fools
anyone is said of trials only."""

TRIALS = Table("trials", (UNIT_KEY, CRAFT_KEY, SAMPLE_ID, *CELL, *RESULT))
"""One row: one sample through one score unit. Content only; run, grid and cell are joined from the index."""

DRAWS = Table(
    "draws",
    (
        UNIT_KEY,
        SAMPLE_ID,
        Column(
            "draw",
            "int64",
            "Number of the draw, from 0: the same numbers for the clean input and for every example of it.",
        ),
        Column("fooled", "bool", "Whether the example met the goal at this draw."),
        Column("prediction", "string", "What the defended victim answered to the example, in the words of trials."),
        Column(
            "margin", "float64", "Logit gap that separated the example from success; at most 0 where the goal is met."
        ),
        Column("clean_prediction", "string", "What it answered to the clean input at the same draw."),
        Column("photo", "string", "Where faces are verified: the photo that it was compared with at this draw."),
        Column("photo_known", "bool", "Whether the attacker had that photo; such draws judge nothing."),
        Column("similarity", "float64", "Similarity of the example to that photo."),
        Column("clean_similarity", "float64", "That of the clean photo."),
        Column(
            "edits",
            "int64",
            "Where speech is transcribed: insertions, deletions and substitutions of tokens between what the goal is about (the "
            "phrase, or what is said) and what was heard of the example.",
        ),
        Column("edits_of", "int64", "How many tokens that is about: edits / edits_of is the error rate."),
        Column(
            "clean_edits",
            "int64",
            "The same between what is said and what was heard of the clean clip; null of no transcript.",
        ),
        Column("clean_edits_of", "int64", "How many tokens are said."),
        Column(
            "phoneme_edits",
            "int64",
            "Like `edits`, of phonemes alone, whatever the words they make; null for a recognizer that writes none.",
        ),
        Column("phoneme_edits_of", "int64", "How many phonemes that is about."),
        Column("word_edits", "int64", "Like `edits`, of whole words: one whose sounds are not all right is wrong."),
        Column("word_edits_of", "int64", "How many words that is about."),
        Column(
            "play", "json", "What the channel of sound drew: room.room_id, room.rt60, room.distance, noise.snr_db, ..."
        ),
    ),
)
"""Each judgement of a trial that was judged by several draws, one row a draw."""

CRAFTS = Table(
    "crafts",
    (
        CRAFT_KEY,
        SAMPLE_ID,
        Column("status", "string", "What became of the crafting.", choices=CRAFT_STATUSES),
        Column("error", "string", "Why there is no example: the traceback, or what happened to the host."),
        Column("forwards", "int64", "Forward passes spent on the sample, counting every draw of an expectation."),
        Column("backwards", "int64", "Backward passes spent on the sample."),
        Column("queries", "int64", "Answers of the victim that the attack saw; what a query budget limits."),
        Column("zero_gradients", "int64", "Backward passes at which the sample's gradient was zero throughout."),
        Column(
            "false_gradients",
            "int64",
            "1 where gradients did not foretell what steps bring, else 0, of attacks that compare the two: first-order.",
        ),
        Column("seconds", "float64", "The sample's share of the wall time of crafting."),
        Column("attack_claimed", "bool", "Whether the attack itself believed to have succeeded; never the verdict."),
        Column("parent_key", "string", "The score unit that successes were inherited from; null where none were."),
        Column("fit_key", "string", "The fit unit whose finding the attack used; null where it used none."),
    ),
)
"""What crafting cost, one row a sample."""

FIT_KEY = Column("fit_key", "string", "Hash of everything that determines what is fitted, hex.")

FITS = Table(
    "fits",
    (
        FIT_KEY,
        Column(
            "kind",
            "string",
            "attack, defense, enrollment or victim.",
            choices=("attack", "defense", "enrollment", "victim"),
        ),
        Column(
            "name",
            "string",
            "Name of what is fitted: an attack, a defense, a victim (its weights); `enrollment`: of clean photos of faces.",
        ),
        Column("params", "json", "Its parameters, defaults included."),
        Column("victim", "string", "Id of the victim that it is fitted on."),
        Column("defense", "string", "Name of the defense of that victim; `none` for the bare one."),
        Column("norm", "string", "Norm of the ball of an attack."),
        Column("eps", "float64", "Radius of the ball of an attack, in input units."),
        Column("seed", "int64", "Seed of the job; 0 for a defense, whatever the seed."),
        Column("samples", "int64", "Number of samples that it was fitted on."),
        Column("forwards", "int64", "Forward passes spent on each of them, on average; null for a defense."),
        Column("backwards", "int64", "Backward passes likewise."),
        Column("seconds", "float64", "Wall time."),
        Column("artifact", "string", "File of the results folder that holds what was found: tensors as safetensors."),
        Column("artifact_sha256", "string", "Digest of that file."),
        Column("device", "string", "Device class that fitted."),
        Column("host", "string", "Machine that fitted."),
    ),
)
"""What was fitted once for many units, one row a fit unit."""

VERIFICATION = Table(
    "verification",
    (
        FIT_KEY,
        Column("victim", "string", "Id of the victim."),
        Column("defense", "string", "Name of its defense; `none` for the bare victim."),
        Column("defense_params", "json", "Parameters of the defense, defaults included."),
        Column(
            "people_are",
            "string",
            "Whose pairs of photos are counted: those that thresholds are set on, or the others.",
            choices=("calibration", "judged"),
        ),
        Column("people", "int64", "How many people they are."),
        Column("photos", "int64", "How many photos of them there are."),
        Column("pairs_of_people", "int64", "What a false accept rate can be resolved by."),
        Column("far_asked", "float64", "False accept rate on calibration people that set the threshold."),
        Column("threshold", "float64", "That threshold: pairs as similar as this, or more, are accepted."),
        *(
            Column(f"{rate}{suffix}", kind, f"{what}{more}.")
            for rate, what in (
                ("far", "False accept rate: share of pairs of two people that are accepted"),
                (
                    "frr",
                    "False reject rate: share of pairs of one person that are rejected; 1 - frr is TAR at this FAR",
                ),
            )
            for suffix, kind, more in (
                ("", "float64", ""),
                ("_num", "int64", ", numerator"),
                ("_den", "int64", ", denominator"),
                ("_low", "float64", ", low end of its 95 % interval over people"),
                ("_high", "float64", ", high end of it"),
            )
        ),
        Column("eer", "float64", "Equal error rate of these people, whatever the threshold: where FAR and FRR meet."),
        Column("eer_low", "float64", "Low end of its 95 % interval over people."),
        Column("eer_high", "float64", "High end of it."),
        Column("auc", "float64", "Probability that a pair of one person is more similar than a pair of two."),
    ),
)
"""How well victims verify faces without any attack: one row a victim, group of people and threshold, which makes a DET curve."""

PAIR = (
    "data",
    "victim",
    "attack",
    "attack_params",
    "goal",
    "access",
    "awareness",
    "source",
    "norm",
    "eps",
    "seed",
)
"""Columns of a cell that say of an example by which attack it broke which bare victim."""

GEOMETRY = Table(
    "geometry",
    (
        Column("geometry_key", "string", "Hash of the examples that were looked at and of how, hex: names the file."),
        UNIT_KEY,
        CRAFT_KEY,
        SAMPLE_ID,
        RESULT[0],
        *(column for column in CELL if column.name in PAIR),
        Column("original_class", "string", "What the bare victim answers to the original."),
        Column("example_class", "string", "What it answers to the example."),
        Column("site", "string", "Where the directions are drawn: input, or the name of a layer of the victim."),
        Column("place", "int64", "Number of the site: 0 for the input, then the layers from 1."),
        Column("original_norm", "float64", "L2 norm of the original there, in input units or those of the layer."),
        Column(
            "radius_unit",
            "string",
            "What radius and distance are measured in: original_norm, or the units of the site as they are.",
            choices=("norm", "absolute"),
        ),
        Column("distance", "float64", "L2 distance between example and original there."),
        Column("center", "string", "Around which of the two.", choices=("original", "example")),
        Column("radius", "float64", "L2 length of the steps away from it."),
        Column("class", "string", "The victim's answer there; null where its outputs are not finite."),
        Column("count", "int64", "How many of the directions lead to that answer; answers of none have no row."),
        Column("draws", "int64", "Number of random directions."),
    ),
)
"""What a bare victim answers around examples and their originals: one row a class seen at a radius around a center."""

EXAMPLES = Table(
    "examples",
    (
        CRAFT_KEY,
        SAMPLE_ID,
        Column("shape", "shape", "Shape of the example, such as [C, H, W]."),
        Column("dtype", "string", "Data type of the clean input as the dataset holds it."),
        Column("x_adv", "binary", "The example as crafted: float32, little endian, C order, in input units."),
        Column(
            "x_stored",
            "binary",
            "The same as a file can hold it: pictures uint8, sound int16 (little endian), C order.",
        ),
    ),
)
"""The adversarial examples, one row a sample."""

INDEX = Table(
    "index",
    (
        *PLACE,
        *CELL,
        UNIT_KEY,
        CRAFT_KEY,
        Column("samples", "int64", "Number of samples planned in the unit."),
        Column("reused", "bool", "Whether an earlier run had already computed the unit."),
    ),
)
"""What a run asked for, written when it starts: one row a cell and score unit."""

CHECKED = ("grid", "data", "victim", "defense", "defense_params", "channel", "norm", "eps", "seed")
"""Columns that say what a masking check is about."""

RUNS = Table(
    "runs",
    (
        PLACE[0],
        Column("started", "string", "When the run started, ISO 8601."),
        Column("finished", "string", "When it ended, ISO 8601."),
        Column("state", "string", "running, finished, stopped, ..."),
        Column("manifest", "json", "All that is known of the run: job, versions, git revision, hardware, licenses."),
    ),
)
"""The runs of a folder, from their manifests."""

CHECKS = Table(
    "checks",
    (
        *(column for column in (*PLACE[1:2], *CELL) if column.name in CHECKED),
        PLACE[2],
        Column("sign", "string", "Name of the sign of masking, see results/checks.py."),
        Column("num", "int64", "How many show it."),
        Column("den", "int64", "Among how many."),
        Column("share", "float64", "num / den; null of none."),
        Column("threshold", "float64", "The share above which it is flagged."),
        Column(
            "flagged",
            "bool",
            "Whether it is: the robust accuracy is then not to be trusted before somebody has looked.",
        ),
        Column("meaning", "string", "What was counted among what."),
    ),
)
"""Signs of masking, as published: one row a check and cell, or ball."""

PLACED_TRIALS = Table("trials", (*PLACE, INDEX.columns[-1], *TRIALS.columns))
"""Trials joined with the index: what the view `trials` and a snapshot hold."""
