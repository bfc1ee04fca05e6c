"""Sounds and voices through the whole grid: rows, plays, thresholds and files."""

import json

import numpy as np
import pytest
import soundfile
from small_jobs import load, run_here, shown, table

from raygrid.engine.replay import replay
from raygrid.engine.result_tables import result_tables
from raygrid.results.open import open_results

RATE = 16_000
AIR = {"chain": [{"use": "room", "train": 4, "held_out": 5}, {"use": "noise", "snr": 30}]}


def write(folder, name, hertz, seconds=1.0):
    t = np.arange(round(seconds * RATE)) / RATE
    x = sum(0.2 / k * np.sin(2 * np.pi * k * hertz * t) for k in (1, 2, 3)) * (0.6 + 0.4 * np.sin(2 * np.pi * 3 * t))
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(folder / name, x.astype(np.float32), RATE, subtype="FLOAT")


@pytest.fixture(scope="module")
def voices(tmp_path_factory):
    folder = tmp_path_factory.mktemp("voices")
    for person, hertz in (("ann", 110), ("bob", 180), ("cem", 260), ("dan", 340), ("eve", 420), ("fay", 510)):
        for n in range(4):
            write(folder / "people", f"{person}/{n}.wav", hertz + 3 * n, 1.6)
    job = load(
        folder,
        data={
            "use": "speaker-folder",
            "path": str(folder / "people"),
            "seconds": 1.6,
            "known": 1,
            "judged": 2,
            "limit": 2,
        },
        victims=["resemblyzer"],
        judge={"far": 0.4, "draws": 3},
        attacks=[
            {"use": "pgd", "norm": "linf", "eps": 0.01, "steps": 3},
            {"use": "pgd", "norm": "linf", "eps": 0.01, "steps": 2, "goal": "dodge", "channel": AIR},
        ],
    )
    assert run_here(job).state == "complete"
    return job


def test_each_play_of_a_voice_is_compared_with_every_recording_that_judges(voices):
    rows = [row for row in open_results(voices.results).query("FROM main.draws").to_pylist() if row["play"]]
    for sample in {row["sample_id"] for row in rows}:
        own = [row for row in rows if row["sample_id"] == sample]
        judged = [row for row in own if not row["photo_known"]]
        assert len(judged) == 3 * 2
        by_room = {}
        for row in own:
            by_room.setdefault(json.loads(row["play"])["room.room_id"], []).append(row["photo"])
        assert all(len(set(photos)) == len(photos) == 3 for photos in by_room.values())


def test_files_of_16_bits_are_judged_and_can_be_heard(voices, tmp_path):
    row = next(row for row in table(voices.results) if row["channel"] is None)
    assert row["judged"] == "stored"
    assert row["linf_stored"] <= 0.01 + 1e-6
    same, _ = replay(voices.results, row["unit_key"], row["sample_id"], tmp_path)
    assert same
    assert soundfile.info(tmp_path / "adversarial.wav").samplerate == RATE


def test_a_tables_title_says_what_was_compared(voices):
    text = " ".join(shown(next(iter(result_tables(voices.results))), 200).split())
    assert "success on recordings that the attacker never had, at FAR 0.4" in text
    assert "recording" in text and "photo" not in text and ",stored" not in text
    (row, *_) = open_results(voices.results).query("FROM verification WHERE people_are = 'calibration'").to_pylist()
    assert (row["people"], row["pairs_of_people"]) == (3, 3)


def test_sounds_are_named_through_rooms_play_by_play(tmp_path):
    for name, hertz in (("Dog/a.wav", 300), ("Bell/b.wav", 900)):
        write(tmp_path / "sounds", name, hertz)
    job = load(
        tmp_path,
        data={"use": "sound-folder", "path": str(tmp_path / "sounds"), "seconds": 1},
        victims=["yamnet"],
        judge={"draws": 4},
        attacks=[
            {"use": "pgd", "norm": "linf", "eps": 0.01, "steps": 1, "channel": AIR, "goal": "targeted", "target": 3}
        ],
    )
    assert run_here(job).state == "complete"
    rows = open_results(job.results).query("FROM main.draws").to_pylist()
    assert len(rows) == 2 * 4
    plays = [json.loads(row["play"]) for row in rows]
    assert {play["room.split"] for play in plays} == {"judge"}
    assert {play["noise.snr_db"] for play in plays} == {30.0}
    assert {row["judged"] for row in table(job.results)} == {"stored"}
