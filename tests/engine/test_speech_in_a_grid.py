"""A recognizer through the whole grid: what was heard at each play, in rows, views and the table, and what is refused."""

import json

import numpy as np
import pytest
import soundfile
from PIL import Image
from small_jobs import load, parts, run_here, shown, table

from raygrid.data.dataset import pixels
from raygrid.engine.inputs import read_inputs
from raygrid.engine.replay import replay
from raygrid.engine.result_tables import result_tables
from raygrid.errors import UsageError
from raygrid.job import load_job
from raygrid.results.open import open_results
from raygrid.victims.hama_text import hama_text

PHRASE = "go on"
CLIPS = {"use": "music-carriers", "seconds": 1.5, "limit": 2, "shard": 2}
AIR = {"chain": [{"use": "room", "train": 4, "held_out": 5}, {"use": "noise", "snr": 30}]}
DIGITAL = {"use": "pgd", "norm": "linf", "eps": 0.02, "steps": 40, "phrase": PHRASE}
JOB = {"data": CLIPS, "victims": ["hama"], "attacks": [DIGITAL, {**DIGITAL, "steps": 2, "eot": 1, "channel": AIR}]}


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    job = load(tmp_path_factory.mktemp("speech"), **JOB, judge={"draws": 5})
    assert run_here(job).state == "complete"
    return job


def rows_of(job, view):
    return open_results(job.results).query(f"FROM {view}").to_pylist()


def test_the_phrase_is_heard_in_the_very_file(job):
    rows = [row for row in table(job.results) if row["channel"] is None]
    said = hama_text().written(hama_text().spell(PHRASE))
    assert {(row["goal"], row["phrase"], row["judged"], row["status"], row["prediction"]) for row in rows} == {
        ("transcribe", PHRASE, "stored", "broken", said)
    }
    assert all(row["linf_stored"] <= row["linf"] <= 0.02 + 1e-6 and row["edit_distance"] == 0 for row in rows)
    assert all(row["psnr_db"] is None and row["snr_db"] > 0 for row in rows)


def test_each_play_tells_its_room_and_what_was_heard_there(job):
    plays = [row for row in rows_of(job, "plays") if row["channel"]]
    assert len(plays) == 2 * 5
    for clip in {row["sample_id"] for row in plays}:
        assert len({row["room_id"] for row in plays if row["sample_id"] == clip}) == 5
    assert {(row["split"], row["noise_snr_db"]) for row in plays} == {("judge", 30.0)}
    assert all(0.1 < row["rt60"] < 0.6 and 0.4 < row["distance"] < 2.1 for row in plays)
    for row in plays:
        assert row["fooled"] is (row["edits"] == 0)
        assert row["edits_of"] == len(hama_text().spell(PHRASE))


def test_each_trial_tells_how_its_perturbation_stands_out_of_the_clip(job):
    clips = {
        name: x
        for shard in read_inputs(job).shards.values()
        for name, x in zip(shard["sample_id"].to_pylist(), pixels(shard), strict=True)
    }
    for row in table(job.results):
        peak = np.abs(clips[row["sample_id"]]).max()
        assert 0 < row["snr_band_db"] < row["snr_db"]  # music is low, and what is added is not
        assert row["loudness_lu"] < 0 and row["peak_db"] == pytest.approx(20 * np.log10(row["linf"] / peak))
        assert row["stoi"] is row["pesq"] is None
        assert 0 < row["over_mask_share"] < 1 and row["over_mask_db"] > 0


def joined(words):
    return [phoneme for word in words for phoneme in word]


def test_words_and_phonemes_stand_beside_tokens(job):
    text, plays = hama_text(), rows_of(job, "plays")
    wanted = text.words(text.spell(PHRASE))
    for row in plays:
        heard = [word.split() for word in row["heard"].split(" | ")] if row["heard"] else []
        assert row["word_edits_of"] == len(wanted) == 2
        assert row["phoneme_edits_of"] == sum(map(len, wanted)) == row["edits_of"] - 1
        assert (row["phoneme_edits"] == 0) is (joined(heard) == joined(wanted))
        assert (row["word_edits"] == 0) is (heard == wanted)
    for cell in rows_of(job, "speech_attacks"):
        own = [row for row in plays if row["cell_id"] == cell["cell_id"]]
        assert cell["phonemes_right_rate"] == sum(row["phoneme_edits"] == 0 for row in own) / len(own)
        assert cell["word_error_rate"] == sum(row["word_edits"] for row in own) / sum(r["word_edits_of"] for r in own)


def test_what_another_recognizer_hears_stands_beside_what_it_was_made_for_and_is_crafted_once(tmp_path):
    direct = {**DIGITAL, "steps": 10, "channel": AIR}
    job = load(
        tmp_path,
        data=CLIPS,
        victims=["hama"],
        defenses=["none", "lower-rate"],
        attacks=[direct, {**direct, "access": "transfer", "source": ["hama"]}],
        exclude=[{"defense": "lower-rate", "access": "gradient"}, {"defense": "none", "access": "transfer"}],
        judge={"draws": 3},
    )
    assert run_here(job).state == "complete"
    assert len(parts(job.results, "crafts")) == 1
    both = rows_of(job, "listeners")
    assert len(both) == 2 * 3 and {(row["source"], row["defense"]) for row in both} == {("hama", "lower-rate")}
    plays = {(row["defense"], row["sample_id"], row["draw"]): row for row in rows_of(job, "plays")}
    for row in both:
        own, other = (plays[defense, row["sample_id"], row["draw"]] for defense in ("none", "lower-rate"))
        assert own["room_id"] == other["room_id"] == row["room_id"]
        assert (row["source_heard"], row["heard"]) == (own["heard"], other["heard"])


def test_a_lossy_file_judges_whoever_does_not_look_through_it_or_takes_it_for_nothing(tmp_path):
    attacks = [
        {**DIGITAL, "channel": {"use": "lossy", "codec": "vorbis"}, "awareness": "none"},
        {**DIGITAL, "steps": 2, "channel": {"use": "lossy", "codec": "opus", "straight_through": True}},
    ]
    job = load(tmp_path, data={**CLIPS, "limit": 1}, victims=["hama"], attacks=attacks, judge={"draws": 1})
    assert run_here(job).state == "complete"
    plays = {row["codec"]: row for row in rows_of(job, "plays")}
    assert plays.keys() == {"vorbis", "opus"} and json.loads(plays["opus"]["play"])["lossy.compression"] == 0.5
    assert {row["awareness"] for row in table(job.results)} == {"none", "channel"}


def test_a_cell_of_which_nothing_was_judged_has_a_line(tmp_path):
    late = {**DIGITAL, "steps": 1, "channel": {"use": "offset", "most": 5}}  # leaves nothing of clips of 1.5 s
    job = load(tmp_path, data=CLIPS, victims=["hama"], attacks=[late])
    run_here(job)
    (cell,) = rows_of(job, "speech_attacks")
    assert (cell["planned"], cell["judged"], cell["play_rate"]) == (2, 0, None)
    assert (cell["play_rate_best"], cell["play_rate_worst"]) == (0, 1)
    assert "none judged" in shown(*result_tables(job.results))


def test_views_count_what_the_plays_say(job):
    plays = rows_of(job, "plays")
    for cell in rows_of(job, "speech_attacks"):
        own = [row for row in plays if row["cell_id"] == cell["cell_id"]]
        assert (cell["play_rate_num"], cell["play_rate_den"]) == (sum(r["fooled"] for r in own), len(own))
        assert cell["error_rate"] == pytest.approx(sum(r["edits"] for r in own) / sum(r["edits_of"] for r in own))
        assert cell["play_rate_low"] <= cell["play_rate"] <= cell["play_rate_high"]
    best = {row["sample_id"]: row for row in rows_of(job, "best_snr") if row["channel"] is None}
    snr = {row["sample_id"]: row["snr_db"] for row in table(job.results) if row["channel"] is None}
    assert {clip: row["snr_db_all_plays"] for clip, row in best.items()} == snr


def test_the_table_shows_plays_errors_and_how_loud_it_is(job):
    (told,) = result_tables(job.results)
    text = shown(told)
    assert "plays in which exactly the phrase was heard" in text
    assert "100.0 %" in text and "dB" in text and f'"{PHRASE}"' in text


def test_a_replay_is_bit_for_bit_and_saves_what_can_be_played(job, tmp_path):
    row = next(row for row in table(job.results) if row["channel"] is None)
    same, _ = replay(job.results, row["unit_key"], row["sample_id"], tmp_path)
    assert same
    clean, adversarial = (soundfile.read(tmp_path / f"{name}.wav", dtype="int16") for name in ("clean", "adversarial"))
    assert clean[1] == adversarial[1] == 16_000
    gap = np.abs(clean[0].astype(int) - adversarial[0]).max() / 32768
    assert gap == pytest.approx(row["linf_stored"], abs=1e-6)
    assert Image.open(tmp_path / "spectrograms.png").size[0] > 900
    (example,) = (
        e for e in open_results(job.results).examples("channel IS NULL") if e.trial["sample_id"] == row["sample_id"]
    )
    assert (example.stored == adversarial[0]).all()


def test_the_same_job_again_computes_nothing(job):
    outcome = run_here(job)
    assert (outcome.computed, outcome.reused) == (0, 2)


def test_speech_is_garbled_and_stands_beside_what_is_heard_clean(tmp_path):
    data = {"use": "pocketsphinx-speech", "limit": 1, "shard": 1}
    pgd = {"use": "pgd", "norm": "linf", "eps": [5e-5, 0.01], "steps": 8, "ladder": False}
    job = load(tmp_path, data=data, victims=["hama"], attacks=[pgd])
    assert run_here(job).state == "complete"
    none, some = sorted(table(job.results), key=lambda row: row["eps"])
    assert {row["goal"] for row in (none, some)} == {"garble"}
    assert none["clean_prediction"] == some["clean_prediction"]
    assert some["edit_distance"] > none["edit_distance"]
    small, large = sorted(rows_of(job, "speech_attacks"), key=lambda row: row["eps"])
    assert small["clean_error_rate"] == large["clean_error_rate"] < 0.3
    assert small["clean_error_rate"] <= small["error_rate"] < large["error_rate"]
    assert small["clean_error_rate_den"] == small["error_rate_den"]


WRONG = {
    "a goal of pictures": (
        {"attacks": [{**DIGITAL, "phrase": None, "goal": "untargeted"}]},
        "goals transcribe, garble",
    ),
    "no transcript": ({"attacks": [{**DIGITAL, "phrase": None}]}, "has no transcripts"),
    "a channel of pictures": ({"attacks": [{**DIGITAL, "channel": "view"}]}, 'channel "view" is for pictures'),
    "an attack of pictures": ({"attacks": [{"use": "simba", "eps": 0.02, "phrase": PHRASE}]}, "is for pictures"),
    "a suite": (
        {"attacks": [{"use": "autoattack", "eps": 0.02, "phrase": PHRASE}]},
        "is a suite of attacks on classifiers",
    ),
    "a phrase to garble": (
        {"attacks": [{**DIGITAL, "goal": "untargeted", "phrase": None}]},
        "goals transcribe, garble",
    ),
    "LPIPS": ({"perceptual": ["lpips", "stoi"]}, "perceptual: lpips is of pictures"),
    "a cut transcript": (
        {"data": {"use": "pocketsphinx-speech", "seconds": 1}, "attacks": [{**DIGITAL, "phrase": None}]},
        "cuts recordings short",
    ),
    "a victim of pictures": ({"victims": ["mnist-cnn"]}, "does classification"),
    "another rate": ({"data": {**CLIPS, "rate": 8000}}, "hears 16000 samples a second and music-carriers has 8000"),
    "votes for classes": ({"defenses": [{"use": "smoothing", "sigma": 0.1}]}, "scores of classes"),
    "gradients through a codec": (
        {"attacks": [{**DIGITAL, "channel": {"chain": ["gain", "lossy"]}}]},
        'gradients through channel "gain+lossy", which has none: say straight_through: true',
    ),
    "a mean of what is text": (
        {
            "victims": ["hama", "whisper-tiny.en"],
            "attacks": [{**DIGITAL, "access": "transfer", "source": ["hama"]}],
            "defenses": [{"use": "noise", "sigma": 0.01, "votes": 3, "vote": "mean"}],
        },
        'takes the mean of several answers, and victim "whisper-tiny.en" writes text',
    ),
    "less than a level": ({"attacks": [{**DIGITAL, "eps": 1e-6}]}, "less than a level, 1/32768"),
}


@pytest.mark.parametrize(("change", "message"), WRONG.values(), ids=WRONG.keys())
def test_what_makes_no_sense_is_refused_before_any_work(change, message, tmp_path):
    job = load(tmp_path, **{**JOB, **change})
    with pytest.raises(UsageError) as caught:
        run_here(job)
    assert any(message in told for told in caught.value.messages), caught.value


def test_a_chain_of_channels_is_read_as_one_of_defenses_is(tmp_path):
    file = tmp_path / "job.yaml"
    for chain, message in (
        (AIR["chain"][0], "must be a list of channels"),
        ([AIR], "of channels, not of chains"),
        (["room", "view"], 'channel "view" is for pictures'),
    ):
        attack = {**DIGITAL, "channel": {"chain": chain}}
        grid = {"data": CLIPS, "victims": ["hama"], "attacks": [attack]}
        file.write_text(json.dumps({"version": 1, "grids": {"a": grid}}))
        with pytest.raises(UsageError, match=message):
            load_job(file)


def test_an_unspeakable_phrase_is_a_message(tmp_path):
    for phrase, message in (("911", "write numbers as words"), ("go on " * 30, "takes .* s at least to say it")):
        job = load(tmp_path, **{**JOB, "attacks": [{**DIGITAL, "phrase": phrase}]})
        with pytest.raises(UsageError, match=message):
            run_here(job)
