"""People told apart by voices: who is who, how recordings become clips, and all that may be wrong with a folder of them."""

import numpy as np
import pytest
import soundfile

from raygrid.assets import cached
from raygrid.data.dataset import pixels
from raygrid.data.pairs import make_trials
from raygrid.data.pins_voices import PINS, VOICES
from raygrid.errors import UsageError

RATE = 16_000


@pytest.fixture
def folder(tmp_path):
    """Four people with three recordings each: tones that tell the person and the recording."""
    for person, hertz in (("ann", 200), ("bob", 300), ("cem", 400), ("dan", 500)):
        (tmp_path / person).mkdir()
        for n in (1, 2, 3):
            x = 0.3 * np.sin(2 * np.pi * (hertz + n) * np.arange(n * RATE) / RATE)
            soundfile.write(tmp_path / person / f"{n}.wav", x.astype(np.float32), RATE, subtype="FLOAT")
    return tmp_path


def test_a_folder_of_voices_has_a_person_a_sub_folder(folder, build):
    dataset = build("speaker-folder", path=str(folder), seconds=2, known=1, judged=1)
    ids = dataset.table.column("sample_id").to_pylist()
    assert ids[:5] == ["ann/1.wav", "bob/1.wav", "cem/1.wav", "dan/1.wav", "ann/2.wav"]
    assert dataset.table.column("person").to_pylist() == dataset.table.column("cluster").to_pylist()
    assert dataset.table.column("person").to_pylist()[:4] == list(dataset.class_names) == ["ann", "bob", "cem", "dan"]
    assert dataset.people == (1, 1)
    x = pixels(dataset.table)
    assert x.shape == (12, 2 * RATE)
    assert np.array_equal(x[0][:RATE], x[0][RATE:])  # one second, twice


def test_trials_never_show_the_attacker_what_judges_him(folder, build):
    trials, _, _ = make_trials(build("speaker-folder", path=str(folder), known=1, judged=1), 0, 1, 1)
    assert trials.table.num_rows == 2 * 3  # two people are left to attack
    for row in trials.table.drop_columns(["x"]).to_pylist():
        used = [row["sample_id"], *row["target_known"], *row["target_judged"], *row["own_known"], *row["own_judged"]]
        assert len(used) == len(set(used)) == 5


def test_too_few_recordings_of_a_person_are_named(folder, build):
    with pytest.raises(UsageError, match=r"have fewer than 4 .*ann \(3\)"):
        make_trials(build("speaker-folder", path=str(folder), known=2, judged=1), 0, 2, 1)


def test_a_folder_without_people_is_refused(folder, build):
    with pytest.raises(UsageError, match="no sub-folders; put the recordings of each person"):
        build("speaker-folder", path=str(folder / "ann"))


def test_stereo_is_refused_or_mixed(folder, build):
    soundfile.write(folder / "ann" / "4.wav", np.full((RATE, 2), 0.1, dtype=np.float32), RATE, subtype="FLOAT")
    with pytest.raises(UsageError, match="has 2 channels"):
        build("speaker-folder", path=str(folder))
    assert build("speaker-folder", path=str(folder), mix=True).table.num_rows == 13


def test_lossy_files_may_overshoot_the_full_scale_and_others_may_not(tmp_path, build):
    square = np.sign(np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE)).astype(np.float32)
    (tmp_path / "ann").mkdir()
    soundfile.write(tmp_path / "ann" / "a.ogg", square, RATE)
    assert np.abs(soundfile.read(tmp_path / "ann" / "a.ogg")[0]).max() > 1.001
    row = build("speaker-folder", path=str(tmp_path)).table.slice(0, 1)
    assert np.abs(pixels(row)).max() == pytest.approx(1.0)
    assert row.column("gain").to_pylist()[0] < 1
    soundfile.write(tmp_path / "ann" / "b.wav", 1.2 * square, RATE, subtype="FLOAT")
    with pytest.raises(UsageError, match=r"b.wav: reaches 1\.2"):
        build("speaker-folder", path=str(tmp_path))


@pytest.mark.skipif(any(cached(asset) is None for asset in PINS), reason="packaged-voices is not in the cache (Debian)")
def test_packaged_voices_have_eight_clips_each_that_share_nothing(build):
    dataset = build("packaged-voices")
    assert dataset.table.num_rows == 8 * len(VOICES) == 104
    x = pixels(dataset.table)
    assert x.shape == (104, 3 * RATE)
    assert len({row.tobytes() for row in x}) == 104
    assert (np.abs(x).max(1) > 0.01).all()
    with pytest.raises(UsageError, match="8 clips of 5 s are asked for"):
        build("packaged-voices", seconds=5)
