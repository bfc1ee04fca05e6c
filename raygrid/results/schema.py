"""Every table of a results folder: name, type and meaning of each column, in one place.

Files of one table never differ in schema; a modality that has no use for a column leaves it null. Changing a column
means a new SCHEMA_VERSION and a reader that upgrades.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from operator import index
from typing import Any

import pyarrow as pa

from raygrid.errors import did_you_mean

SCHEMA_VERSION = 6

STATUSES = ("robust", "broken", "clean_wrong", "invalid", "error", "timeout", "skipped")
"""What may become of a trial. `clean_wrong`: the goal is met on the clean input already; `invalid`: the example breaks
its constraint; `skipped`: nothing to do, since the target is the true class. An error is never robust."""
CRAFT_STATUSES = ("crafted", "error", "timeout", "inherited")
"""What may become of a craft; `inherited`: the sample was not attacked, its example is that of the unit before. Whether it fools
anyone is said of trials only."""

TYPES = {
    "string": pa.string(),
    "json": pa.string(),
    "int64": pa.int64(),
    "float64": pa.float64(),
    "bool": pa.bool_(),
    "binary": pa.binary(),
    "shape": pa.list_(pa.int64()),
    "distances": pa.map_(pa.string(), pa.float64()),
}


@dataclass(frozen=True)
class Column:
    """One column."""

    name: str
    type: str
    """A key of TYPES."""
    doc: str
    choices: tuple[str, ...] = ()
    """The values it may hold; empty: any."""


@dataclass(frozen=True)
class Table:
    """One table: all its columns are nullable and always there."""

    name: str
    columns: tuple[Column, ...]

    @cached_property
    def arrow(self) -> pa.Schema:
        """The Arrow schema of every file of this table."""
        return pa.schema([(column.name, TYPES[column.type]) for column in self.columns])

    @cached_property
    def docs(self) -> dict[str, str]:
        """Column name -> what it means."""
        return {column.name: column.doc for column in self.columns}


UNIT_KEY = Column("unit_key", "string", "Hash of everything that determines the results of this score unit, hex.")
CRAFT_KEY = Column("craft_key", "string", "Hash of everything that determines the examples that were judged, hex.")
SAMPLE_ID = Column("sample_id", "string", "Stable name of the sample in its dataset.")

PLACE = (
    Column("run", "string", "Id of the run that asked for the unit."),
    Column("grid", "string", "Name of the grid in the job."),
    Column(
        "cell_id",
        "string",
        "Names the cell without digests, versions and shards; runs compare on (cell_id, sample_id).",
    ),
)

CELL = (
    Column("data", "string", "Name of the dataset."),
    Column("victim", "string", "Id of the victim."),
    Column("defense", "string", "Name of the defense; `none` for the bare victim."),
    Column("defense_params", "json", "Parameters of the defense, defaults included."),
    Column("attack", "string", "Name of the attack."),
    Column("attack_params", "json", "Parameters of the attack, defaults included."),
    Column(
        "goal",
        "string",
        "untargeted, targeted, random-target; of faces that are verified: impersonate, dodge; of speech: transcribe, garble.",
    ),
    Column("target", "string", "What a targeted goal asks for."),
    Column("access", "string", "What the attacker may ask: gradient, score, decision, transfer, none."),
    Column(
        "awareness",
        "string",
        "What was averaged over while crafting: none, channel, defense, all that lay before the victim; input, hidden or "
        "input+hidden noise that the attack imagines by itself; or several, joined by +.",
    ),
    Column(
        "source",
        "string",
        "Under transfer: the surrogate that the examples were crafted on; with dropout in it, how much.",
    ),
    Column("info_level", "string", "How much of the defense the attacker knows."),
    Column("channel", "string", "The physical path between the example and the victim."),
    Column("norm", "string", "Norm of the ball: linf, l2, l1, l0; null for an attack that keeps to no ball."),
    Column("eps", "float64", "Radius of the ball, in input units; null where there is none."),
    Column("eot", "int64", "Draws of the victim's randomness that each of the attack's looks averages over."),
    Column(
        "precision",
        "string",
        "In what the attack's gradients were computed: float32, or mixed; verdicts are of float32.",
    ),
    Column(
        "suite", "string", "The suite that the attack is a stage of, such as autoattack; null for an attack of its own."
    ),
    Column(
        "stage", "int64", "Number of the stage, from 1. Each stage attacks what the former left; rows are cumulative."
    ),
    Column("stages", "int64", "How many stages the suite has: the rows of the last one are the suite's verdict."),
    Column("phrase", "string", "Where speech is transcribed: what the attacker wants to be heard."),
    Column("photos", "int64", "Where faces are verified: photos of the person that the attacker had; null elsewhere."),
    Column("combine", "string", "How these made one loss: mean, worst, weighted."),
    Column(
        "far",
        "float64",
        "False accept rate on calibration people that set the threshold; null where nothing is verified.",
    ),
    Column("seed", "int64", "Seed of the job."),
)

RESULT = (
    Column(
        "cluster", "string", "Samples that are not independent (crops of one photo) share it; otherwise the sample id."
    ),
    Column("metadata", "json", "The sample's own further columns, for slices."),
    Column("label", "string", "True label."),
    Column("victim_sha256", "string", "Digest of the victim's weights; null where a fit unit of the run trained it."),
    Column(
        "obtained",
        "string",
        "attacked, or inherited from a smaller eps or an earlier stage: its example, judged afresh.",
        choices=("attacked", "inherited"),
    ),
    Column("status", "string", "What became of the trial.", choices=STATUSES),
    Column("clean_prediction", "string", "What the defended victim answers to the clean input; `abstain`: nothing."),
    Column("clean_correct", "bool", "Whether that is right; no answer is not."),
    Column("prediction", "string", "What it answers to the example as crafted; `abstain`: nothing."),
    Column("confidence", "float64", "Probability of that answer, in [0, 1]; null where there is none."),
    Column(
        "margin", "float64", "Logit gap that still separates the example from success; at most 0 where the goal is met."
    ),
    Column("success", "bool", "Whether the goal is met on the example as crafted (untargeted: the answer is wrong)."),
    Column("success_stored", "bool", "Whether it is met on the copy that a file can hold (8-bit image, 16-bit PCM)."),
    Column("draws", "int64", "Number of fresh draws of the randomness that it was judged by; 1 where there is none."),
    Column("draws_fooled", "int64", "How many of them were fooled."),
    Column(
        "judged",
        "string",
        "Which copy of the example status, success, prediction and the like are about.",
        choices=("crafted", "stored"),
    ),
    Column("attack_claimed", "bool", "Whether the attack itself believed to have succeeded; never the verdict."),
    Column(
        "certified_radius",
        "float64",
        "L2 radius around the clean input within which a certifying defense keeps the true class, in input units; 0 where it "
        "certifies another class or none; null for a defense that certifies nothing, and through a channel.",
    ),
    Column("detected", "bool", "Whether a detecting defense raised the alarm at the example; null without one."),
    Column("clean_detected", "bool", "Whether it did at the clean input: a false alarm."),
    Column(
        "abstained",
        "bool",
        "Whether the defended victim declined to answer on the example; null for one that always answers.",
    ),
    Column("linf", "float64", "L-inf norm of the perturbation, in input units."),
    Column("l2", "float64", "L2 norm of the perturbation, in input units."),
    Column("l1", "float64", "L1 norm of the perturbation, in input units."),
    Column("l0", "float64", "Number of input elements that changed."),
    Column("snr_db", "float64", "Signal to perturbation ratio, dB."),
    Column("psnr_db", "float64", "Peak signal to perturbation ratio, dB; null where nothing changed."),
    Column(
        "ssim",
        "float64",
        "Structural similarity to the clean picture (Wang et al. 2004), at most 1: nothing changed; null below 11 pixels a side.",
    ),
    Column(
        "ms_ssim",
        "float64",
        "The same over five scales (Wang et al. 2003), in [0, 1]; null below 176 pixels a side.",
    ),
    Column(
        "lpips",
        "float64",
        "LPIPS 0.1 with AlexNet (Zhang et al. 2018) from the clean picture, 0 where nothing changed; null unless the grid says "
        "`perceptual: [lpips]`, where its weights can't be had, in gray, and below 64 pixels a side.",
    ),
    Column(
        "snr_band_db",
        "float64",
        "Of sound: signal to perturbation ratio of what both hold from 1 to 4 kHz, dB; null where either holds nothing there.",
    ),
    Column(
        "peak_db",
        "float64",
        "Of sound: peak of the perturbation over that of the clean clip, dB (Carlini & Wagner 2018); null where nothing changed.",
    ),
    Column(
        "loudness_lu",
        "float64",
        "Of sound: loudness of the perturbation less that of the clean clip, LU (ITU-R BS.1770); null where either is below "
        "-70 LUFS, and of clips below 0.4 s.",
    ),
    Column(
        "over_mask_db",
        "float64",
        "Of sound: how far the spectra of the perturbation lie above the masking threshold of the clean clip, dB, the mean over "
        "times and frequencies, 0 where below (MPEG-1's psychoacoustic model 1 as in Qin et al. 2019; loudest value at 96 dB SPL).",
    ),
    Column("over_mask_share", "float64", "Of sound: share of times and frequencies at which it lies above."),
    Column(
        "stoi",
        "float64",
        "Of speech: how well the example is understood beside the clean clip, up to 1 (Taal et al. 2011); null unless the grid "
        "says `perceptual: [stoi]`, without the package pystoi, and of too little speech.",
    ),
    Column(
        "pesq",
        "float64",
        "Of speech: quality of the example beside the clean clip, a mean opinion score from 1 to 4.64 (ITU-T P.862.2 at "
        "16 kHz, P.862.1 at 8 kHz); null unless the grid says `perceptual: [pesq]`, without the package pesq, and where it finds "
        "no utterance.",
    ),
    *(
        Column(name, "float64", f"{what} of the copy that a file can hold, 8-bit, against the clean input as it is.")
        for name, what in (
            ("linf_stored", "L-inf norm"),
            ("l2_stored", "L2 norm"),
            ("l1_stored", "L1 norm"),
            ("l0_stored", "Number of input elements that differ"),
            ("psnr_db_stored", "Peak signal to perturbation ratio, dB (null where nothing differs),"),
            ("ssim_stored", "Structural similarity"),
            ("ms_ssim_stored", "Multi-scale structural similarity"),
            ("lpips_stored", "LPIPS"),
        )
    ),
    Column(
        "layer_distance",
        "distances",
        "Where the grid says judge: {layers: true}: L2 distance between example and original at the input, at every layer of the "
        "bare victim and at the output, as a share of the original's norm there. In order; null where that norm is 0.",
    ),
    Column(
        "pair_distance",
        "distances",
        "The same between two originals: from another sample of the shard, the one before it, to this one. What layer_distance is "
        "to be compared with; null where there is no other.",
    ),
    Column("person", "string", "Whose photo it is, where faces are verified: his own."),
    Column("target_person", "string", "Whom it is compared with: somebody else (impersonate), or himself (dodge)."),
    Column("threshold", "float64", "Similarity from which on the victim sees a match: what `far` means for it."),
    Column(
        "similarity",
        "float64",
        "Similarity of the example to the photos that judge, the mean: cosine, or minus the L2 distance of embeddings, or what "
        "the least of several embedders says, in standard deviations of its impostors. "
        "`draws` has one row for each of these photos, `draws_fooled` counts them, and none of them was known to the attacker.",
    ),
    Column("clean_similarity", "float64", "The same of the clean photo."),
    Column(
        "probe_known",
        "bool",
        "Whether the photos that judge are among those that the attacker had, so that success is probe-dependent: only of listed "
        "pairs (face-pairs) without other photos of the person.",
    ),
    Column(
        "face_found",
        "bool",
        "Where the grid says judge: {detector: true}: whether MTCNN finds the face in the example, as it is before any channel. A "
        "system that looks for faces compares no other.",
    ),
    Column("clean_face_found", "bool", "The same of the clean photo."),
    Column("known_draws", "int64", "Comparisons with the photos that the attacker had: they judge nothing."),
    Column("known_fooled", "int64", "How many of these met the goal: what a probe-dependent evaluation would report."),
    Column(
        "enrollment_key",
        "string",
        "The fit unit with the clean photos' embeddings and the threshold, see `verification`.",
    ),
    Column(
        "edit_distance",
        "float64",
        "Edit distance, in tokens, between what is heard of the example and what the goal is about (the phrase, or what is said): "
        "the mean of all plays. `prediction` is what is heard most often.",
    ),
    Column(
        "seconds",
        "float64",
        "The sample's share of the wall time of judging its unit: answers to the example as crafted and to the copy that a file "
        "can hold, at every draw, and distances. Crafting stands in `crafts`; what units share (loading the victim, answers to "
        "clean inputs, certificates) is not in it.",
    ),
    Column("device", "string", "Device class that judged, such as cpu or the name of a GPU."),
    Column("host", "string", "Machine that judged."),
    Column("error", "string", "Why there is no verdict: the traceback, or what happened to the host."),
)

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


def table(rows: Iterable[Mapping[str, Any]], kind: Table) -> pa.Table:
    """Build an Arrow table from rows. A column that a row lacks is null.

    Raises:
        ValueError: a row has an unknown column, or a value of the wrong type or not among the column's choices.
    """
    rows = list(rows)
    names = {column.name for column in kind.columns}
    for unknown in set().union(*rows) - names:
        raise ValueError(f'{kind.name} has no column "{unknown}"{did_you_mean(unknown, names)}')
    return pa.Table.from_arrays([_array(rows, column, kind) for column in kind.columns], schema=kind.arrow)


def _array(rows: list[Mapping[str, Any]], column: Column, kind: Table) -> pa.Array:
    values = [row.get(column.name) for row in rows]
    if column.choices:
        for wrong in set(values) - {None, *column.choices}:
            raise ValueError(f"{kind.name}.{column.name}: one of {', '.join(column.choices)}, not {wrong!r}")
    try:
        if column.type == "int64":  # Arrow would cut a fraction off without a word
            values = [None if value is None else index(value) for value in values]
        return pa.array(values, TYPES[column.type])
    except (TypeError, ValueError) as error:  # what Arrow raises are such
        raise ValueError(f"{kind.name}.{column.name}: {error}") from error
