"""Columns of a trial: where it stands, what was attempted (a cell) and what came of it."""

from raygrid.results.columns import Column

STATUSES = ("robust", "broken", "clean_wrong", "invalid", "error", "timeout", "skipped")
"""What may become of a trial. `clean_wrong`: the goal is met on the clean input already; `invalid`: the example breaks
its constraint; `skipped`: nothing to do, since the target is the true class. An error is never robust."""
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
