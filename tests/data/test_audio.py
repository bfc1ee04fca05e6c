"""Data that is heard: built-in recordings, audio folders, and all that may be wrong with a file."""

import math

import numpy as np
import pyarrow as pa
import pytest
import soundfile

from raygrid.data.audio import resampled
from raygrid.data.check import check
from raygrid.data.dataset import Dataset, make_table, pixels
from raygrid.errors import UsageError

RATE = 16_000


def tone(seconds=0.5, rate=RATE, hertz=440.0, peak=0.5):
    return (peak * np.sin(2 * math.pi * hertz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "ann").mkdir()
    soundfile.write(tmp_path / "ann" / "a.wav", tone(0.5), RATE, subtype="FLOAT")
    soundfile.write(tmp_path / "ann" / "b.flac", tone(0.3), RATE)
    soundfile.write(tmp_path / "c.wav", tone(0.4, 8000), 8000, subtype="FLOAT")
    (tmp_path / "notes.txt").write_text("no audio")
    return tmp_path


def test_files_come_sorted_with_their_own_rates_and_lengths_written_down(folder, build):
    dataset = build("audio-folder", path=str(folder))
    table = dataset.table
    assert table.column("sample_id").to_pylist() == ["ann/a.wav", "ann/b.flac", "c.wav"]
    assert table.column("source_rate").to_pylist() == [16_000, 16_000, 8000]
    assert table.column("samples").to_pylist() == [8000, 4800, 6400]
    assert table.column("seconds").to_pylist() == [0.5, 0.3, 0.4]
    assert table.column("transcript").to_pylist() == [None] * 3
    assert dataset.shape == (1, 1, 8000)
    assert dataset.extra["sample_rate"] == RATE


def test_short_recordings_are_filled_up_with_zeros_and_long_ones_cut(folder, build):
    x = pixels(build("audio-folder", path=str(folder), seconds=0.4).table)
    assert x.shape == (3, 6400)
    assert x.dtype == np.float32
    assert np.array_equal(x[0], tone(0.5)[:6400])
    assert not x[1, 4800:].any()
    assert x[1, :4800].any()


def test_a_tone_keeps_its_pitch_and_loudness_when_its_rate_is_converted(folder, build):
    x = pixels(build("audio-folder", path=str(folder)).table)[2, :6400]
    middle = slice(1600, 4800)  # away from the ends, where the filter starts and stops
    assert np.abs(x[middle] - tone(0.4)[middle]).max() < 2e-3


@pytest.mark.parametrize(("source", "target"), [(44_100, 16_000), (48_000, 16_000), (8000, 16_000)])
def test_conversion_keeps_the_length_in_seconds_and_lets_nothing_above_the_new_band_through(source, target):
    assert len(resampled(tone(1.0, source), source, target)) == target
    if source > target:
        assert np.abs(resampled(tone(1.0, source, hertz=12_000.0), source, target)[500:-500]).max() < 1e-2


def test_peaks_that_conversion_would_push_over_one_are_turned_down(tmp_path, build):
    square = np.sign(tone(0.5, 44_100, peak=1.0))
    soundfile.write(tmp_path / "square.wav", square, 44_100, subtype="FLOAT")
    table = build("audio-folder", path=str(tmp_path)).table
    assert 0.5 < table.column("gain")[0].as_py() < 1
    assert np.abs(pixels(table)).max() == pytest.approx(1, abs=1e-6)


def test_a_table_says_what_is_said_and_which_files_are_read(folder, build):
    table = folder / "said.csv"
    table.write_text("cluster,file,transcript\nann,ann/b.flac,open the door\nann,ann/a.wav, stop \n")
    rows = build("audio-folder", path=str(folder), transcripts=str(table)).table
    assert rows.column("sample_id").to_pylist() == ["ann/b.flac", "ann/a.wav"]
    assert rows.column("transcript").to_pylist() == ["open the door", "stop"]
    assert rows.column("cluster").to_pylist() == ["ann", "ann"]


WRONG_TABLES = {
    "no such file": ("file,transcript\nann/z.wav,stop\n", 'line 2: there is no file "ann/z.wav"'),
    "no column": ("file,transcripts\nann/a.wav,stop\n", "no column `transcript`; did you mean"),
    "nothing said": ("file,transcript\nann/a.wav,\n", 'nothing is said in "ann/a.wav"'),
}


@pytest.mark.parametrize(("text", "message"), WRONG_TABLES.values(), ids=WRONG_TABLES)
def test_a_wrong_table_is_told_with_its_line(folder, build, text, message):
    (folder / "said.csv").write_text(text)
    with pytest.raises(UsageError, match=message):
        build("audio-folder", path=str(folder), transcripts=str(folder / "said.csv"))


NAN = tone()
NAN[7] = np.nan
WRONG_FILES = {
    "silence": (np.zeros(8000, np.float32), "is silent"),
    "less than one step of 16 bits": (tone(peak=2e-5), "is silent"),
    "NaN": (NAN, "holds NaN or infinite values in 1 places"),
    "stereo": (np.stack([tone(), tone()], axis=1), "has 2 channels.*mix: true"),
    "too short": (tone(0.05), "is 50 ms long; at least 100 ms"),
    "no samples": (np.zeros(0, np.float32), "is 0 ms long"),
    "integers as floats": (32_768 * tone(), "reaches 16384; waveforms stay in"),
}


@pytest.mark.parametrize(("samples", "message"), WRONG_FILES.values(), ids=WRONG_FILES)
def test_a_file_that_cannot_be_heard_is_refused_by_name(tmp_path, build, samples, message):
    soundfile.write(tmp_path / "bad.wav", samples, RATE, subtype="FLOAT")
    with pytest.raises(UsageError, match=rf"bad\.wav: {message}"):
        build("audio-folder", path=str(tmp_path))


def test_a_file_that_is_no_audio_is_refused(tmp_path, build):
    (tmp_path / "page.wav").write_text("<html>")
    with pytest.raises(UsageError, match="is no audio that can be read"):
        build("audio-folder", path=str(tmp_path))


def test_stereo_is_mixed_down_on_request(tmp_path, build):
    soundfile.write(tmp_path / "two.wav", np.stack([tone(), 0 * tone()], axis=1), RATE, subtype="FLOAT")
    x = pixels(build("audio-folder", path=str(tmp_path), mix=True).table)
    assert np.allclose(x[0], tone() / 2)


def test_an_empty_folder_is_refused(tmp_path, build):
    with pytest.raises(UsageError, match="is empty"):
        build("audio-folder", path=str(tmp_path))


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.full((1, 100), np.nan, np.float32), "nan"),
        (np.full((1, 100), 1.5, np.float32), "reaches 1.5"),
        (np.zeros((1, 100), np.float32), "is silent"),
        (np.full((1, 100), 9, np.uint8), "waveform .T. of float32"),
    ],
)
def test_brought_waveforms_are_held_to_the_contract(x, message):
    with pytest.raises(UsageError, match=message):
        check(Dataset("mine", make_table(["a"], x, np.zeros(1)), classes=1))


def test_a_file_of_16_bits_holds_a_waveform_to_half_a_step():
    x = np.array([[-1.0, 1.0, 0.3, 1 / 65_536, -0.2]], np.float32)
    stored = pixels(Dataset("mine", make_table(["a"], x, np.zeros(1)), classes=1).on_file().table)
    assert stored.dtype == np.float32
    assert np.array_equal(stored * 32_768, np.rint(stored * 32_768))
    assert np.abs(stored - x)[0, [0, 2, 3, 4]].max() <= 0.5 / 32_768
    assert stored[0, 1] == np.float32(32_767 / 32_768)


def test_ten_utterances_come_with_what_is_said(build):
    dataset = build("pocketsphinx-speech")
    table = dataset.table
    assert dataset.shape == (1, 1, 113_600)
    assert table.num_rows == 10
    assert table.column("transcript")[1].as_py() == "he was not an ill disposed young man"
    assert table.column("transcript")[8].as_py() == "five five"
    assert set(table.column("source_rate").to_pylist()) == {16_000}
    assert sorted(set(table.column("cluster").to_pylist())) == ["cards", "librivox"]


def test_music_is_three_seconds_at_the_rate_of_the_victims(build):
    dataset = build("music-carriers", limit=3)
    assert dataset.shape == (1, 1, 48_000)
    assert dataset.table.column("sample_id").to_pylist() == ["guit_em9", "guit_e_fifths", "loop_garzul"]
    assert set(dataset.table.column("source_rate").to_pylist()) == {44_100}
    assert build("music-carriers", limit=1, rate=8000, seconds=1.5).shape == (1, 1, 12_000)


def test_read_recordings_are_cut_into_clips_that_share_a_cluster(build):
    dataset = build("moonshine-speech")
    clusters = dataset.table.column("cluster").to_pylist()
    assert (clusters.count("beckett"), clusters.count("two_cities")) == (3, 14)
    assert dataset.table.column("sample_id")[4].as_py() == "two_cities/01"
    with pytest.raises(UsageError, match=r"beckett is 10\.0 s long"):
        build("moonshine-speech", seconds=20)


def test_the_key_of_a_shard_follows_from_the_sound_and_from_what_is_said(folder, build):
    plain = next(build("audio-folder", path=str(folder)).shards(8)).key
    assert plain == next(build("audio-folder", path=str(folder)).shards(8)).key
    table = build("audio-folder", path=str(folder)).table
    place = table.schema.get_field_index("transcript")
    said = table.set_column(place, "transcript", pa.array(["stop"] * 3))
    assert next(Dataset("mine", said, classes=1).shards(8)).key != plain
