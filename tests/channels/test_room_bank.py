"""The bank of rooms: what is simulated, which split has which rooms, and what is kept on the disk."""

from dataclasses import replace
from math import log

import numpy as np
import pyarrow as pa
import pytest
import torch
from pydantic import ValidationError
from scipy.io import wavfile
from sounds import SMALL

from raygrid.assets import Asset
from raygrid.channels import recordings, room_bank
from raygrid.channels.catalog_audio import WALL, Room
from raygrid.channels.room_bank import SCHEMA, bank, bank_of, kept_bank, make, recorded, simulated
from raygrid.channels.room_simulation import (
    LEAD,
    SPEED,
    Place,
    aligned,
    draw_place,
    hear,
    reverberation_time,
)
from raygrid.errors import UsageError

SPLITS = ("train", "validation", "judge", "positions")
CHAMBER = Place(size=(4, 3, 2.5), rt60=0.2, source=(1, 1, 1.2), microphone=(2, 1.5, 1.3))


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("RAYGRID_CACHE", str(folder))
        kept_bank.cache_clear()
        yield folder
        kept_bank.cache_clear()


@pytest.fixture(scope="module")
def tables(cache):
    return {split: simulated(SMALL, split) for split in SPLITS}


# What is simulated


def test_an_exponential_decay_has_its_reverberation_time():
    n = np.arange(16_000)
    for rt60 in (0.15, 0.4, 0.8):
        decay = np.exp(-3 * log(10) * n / 16_000 / rt60)  # 60 dB in amplitude
        assert reverberation_time(decay) == pytest.approx(rt60, rel=0.01)
    assert reverberation_time(np.eye(1, 100)[0]) == 0
    assert reverberation_time(np.zeros(10)) == 0


@pytest.mark.parametrize("rt60", [0.15, 0.25, 0.4])
def test_a_room_reverberates_as_long_as_asked(rt60):
    heard = hear(replace(CHAMBER, rt60=rt60))
    assert heard.rt60 == pytest.approx(rt60, rel=0.05)
    assert 0 < heard.absorption < 1


def test_the_simulators_own_measure_of_the_reverberation_time_agrees():
    from pyroomacoustics.experimental import measure_rt60

    response = hear(CHAMBER).response
    assert reverberation_time(response) == pytest.approx(measure_rt60(response, fs=16_000, decay_db=30), rel=0.03)


def test_walls_that_take_everything_leave_one_arrival_at_the_distance():
    place = replace(CHAMBER, microphone=(1 + 0.02 * SPEED / 4, 1, 1.2))
    response = hear(place, absorption=0.999999).response
    assert abs(int(np.abs(response).argmax()) - LEAD) <= 1
    assert np.abs(response[LEAD + 45 :]).max() < 0.01 * np.abs(response).max()


def test_first_reflections_arrive_when_and_as_loud_as_images_say():
    """Loudspeaker 1 m above the floor of a hall, the microphone 2 m away at the same height: the floor's image is at 2.83 m."""
    hall = Place(size=(30, 30, 20), rt60=0.4, source=(15, 14, 1), microphone=(15, 16, 1))
    absorption = 0.36
    response = hear(hall, absorption).response
    later = round((8**0.5 - 2) / SPEED * 16_000)
    direct = np.abs(response[: LEAD + 15]).max()
    reflected = np.abs(response[LEAD + later - 10 : LEAD + later + 10]).max()
    assert reflected / direct == pytest.approx((1 - absorption) ** 0.5 * 2 / 8**0.5, rel=0.15)


def test_a_place_is_inside_its_room_at_the_distance_and_drawn_by_its_names_alone():
    for k in range(50):
        place = draw_place(Room(), f"train/{k}", f"train/{k}")
        size = np.array(place.size)
        for point in (place.source, place.microphone):
            assert (np.array(point) >= WALL).all()
            assert (np.array(point) <= size - WALL).all()
        assert 0.5 <= np.linalg.norm(np.subtract(place.source, place.microphone)) <= 2
        assert 0.15 <= place.rt60 <= 0.4
    assert draw_place(Room(), "train/7", "train/7") == draw_place(Room(train=9), "train/7", "train/7")
    assert draw_place(Room(bank=1), "train/7", "train/7") != draw_place(Room(), "train/7", "train/7")


def test_a_response_begins_before_its_direct_sound_and_has_energy_1():
    late = np.concatenate([np.zeros(500), [0.05], np.zeros(9), [1.0, -0.5], np.zeros(100)])
    kept = aligned(late)
    assert int(np.abs(kept).argmax()) == LEAD
    assert np.square(kept).sum() == pytest.approx(1, abs=1e-6)
    for nothing in (np.zeros(0), np.zeros(9), np.array([1.0, np.nan])):
        with pytest.raises(ValueError, match="something besides silence"):
            aligned(nothing)


# Splits


def test_no_two_splits_share_a_room(tables):
    sizes = [
        (tuple(row["size"]), row["rt60_asked"])
        for split in ("train", "validation", "judge")
        for row in tables[split].to_pylist()
    ]
    assert len(set(sizes)) == len(sizes) == 4 + 2 + 3
    assert len({size for size, _ in sizes}) == len({rt60 for _, rt60 in sizes}) == len(sizes)


def test_other_positions_are_in_the_same_rooms_with_the_same_walls(tables):
    for there, here in zip(tables["train"].to_pylist(), tables["positions"].to_pylist(), strict=True):
        for same in ("size", "absorption", "rt60_asked"):
            assert there[same] == here[same]
        assert there["source"] != here["source"]
        assert there["room_id"] != here["room_id"]


def test_a_table_says_what_was_asked_and_what_came_out(tables):
    for split, table in tables.items():
        assert table.schema == SCHEMA
        for row in table.to_pylist():
            assert row["split"] == split
            assert row["rate"] == 16_000
            assert row["rt60"] == pytest.approx(row["rt60_asked"], rel=0.05 if split != "positions" else 0.3)
            assert row["distance"] == pytest.approx(np.linalg.norm(np.subtract(row["source"], row["microphone"])))
            assert np.square(row["response"]).sum() == pytest.approx(1, abs=1e-5)


def test_a_room_is_the_same_however_many_there_are(tables):
    fewer = make(SMALL.model_copy(update={"train": 2}), "train")
    assert fewer == tables["train"].slice(0, 2)


# What is kept


def test_a_bank_is_made_once_and_read_back_bit_for_bit(tables, monkeypatch):
    made = make(SMALL, "judge")
    monkeypatch.setattr(room_bank, "make", None)
    assert simulated(SMALL, "judge") == made
    assert simulated(SMALL.model_copy(update={"judged": "measured", "peak": False}), "judge") == made


def test_other_parameters_have_a_bank_of_their_own(cache, tables):
    before = set(cache.glob("*.parquet"))
    simulated(SMALL.model_copy(update={"bank": 1}), "validation")
    assert len(set(cache.glob("*.parquet")) - before) == 1


def test_a_damaged_file_is_made_again(cache, tables):
    (kept,) = (path for path in cache.glob("rooms-judge-*.parquet"))
    kept.write_bytes(b"no Parquet")
    assert simulated(SMALL, "judge") == tables["judge"]
    assert kept.stat().st_size > 1000


def test_a_cache_that_can_not_be_written_costs_only_time(tmp_path, tables, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("RAYGRID_CACHE", str(tmp_path / "file"))
    assert simulated(SMALL, "validation") == tables["validation"]


# Bad responses and recorded ones


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rate": 8000}, "room a: its impulse response is at 8000 Hz, and must be at 16000 Hz"),
        ({"response": []}, "room a: its impulse response is empty"),
    ],
)
def test_a_bank_refuses_what_it_can_not_play(change, message):
    row = {"room_id": "a", "split": "train", "rate": 16_000, "response": [1.0]} | change
    with pytest.raises(ValueError, match=message):
        bank_of(pa.Table.from_pylist([row], SCHEMA))


def test_a_bank_of_no_rooms_is_refused():
    with pytest.raises(ValueError, match="no rooms"):
        bank_of(SCHEMA.empty_table())


def test_responses_of_different_length_are_padded():
    rooms = bank_of(recorded({"a": np.ones(3), "b": np.ones(5)}, "train"))
    assert rooms.responses.shape == (2, 5)
    assert rooms.responses[0, 3:].tolist() == [0, 0]
    assert torch.isnan(rooms.distance).all()
    with pytest.raises(ValueError, match="b: an impulse response must hold"):
        recorded({"a": np.ones(3), "b": np.zeros(5)}, "train")


def test_measured_rooms_come_from_pinned_files_at_our_rate(tmp_path, monkeypatch):
    """A decay at 48 kHz, in the place of the packaged ones, has the same decay at 16 kHz."""
    n = np.arange(24_000)
    noise = np.random.default_rng(0).standard_normal((len(n), 2))
    decay = noise * np.exp(-3 * log(10) * n / 48_000 / 0.3)[:, None]
    wavfile.write(tmp_path / "hall.wav", 48_000, (decay / np.abs(decay).max()).astype(np.float32))
    asset = Asset("hall.wav", "pypi", "halls", "1", "hall.wav", "0" * 64, 1)
    monkeypatch.setattr(room_bank, "RESPONSES", (asset,))
    monkeypatch.setattr(recordings, "ASSETS", {asset.name: asset})
    monkeypatch.setattr(recordings, "fetch", lambda asset: tmp_path / asset.name)
    rooms = bank(SMALL, "measured")
    assert rooms.ids == ("hall.wav",)
    assert rooms.split == "measured"
    assert rooms.rt60.item() == pytest.approx(0.3, rel=0.08)
    with pytest.raises(UsageError, match=r'unknown recording "hal\.wav"; did you mean "hall\.wav"'):
        recordings.pinned("hal.wav")
    recordings.pinned.cache_clear()


@pytest.mark.parametrize(
    ("values", "dtype"),
    [([0, 16384, -32768], np.int16), ([0, 1 << 30, -(1 << 31)], np.int32), ([0, 0.5, -1], np.float64)],
)
def test_a_wav_file_is_read_at_full_scale_1(tmp_path, values, dtype):
    wavfile.write(tmp_path / "a.wav", 8000, np.array(values, dtype=dtype))
    waveform, rate = recordings.read_wav(tmp_path / "a.wav")
    assert waveform.tolist() == [0, 0.5, -1]
    assert rate == 8000


def test_what_is_no_wav_file_is_told(tmp_path):
    for name, contents in (("page.wav", b"<html>"), ("empty.wav", b"")):
        (tmp_path / name).write_bytes(contents)
        with pytest.raises(UsageError, match=f"{name}: not a WAV file"):
            recordings.read_wav(tmp_path / name)
    wavfile.write(tmp_path / "bytes.wav", 8000, np.zeros(9, np.uint8))
    with pytest.raises(UsageError, match="uint8 values"):
        recordings.read_wav(tmp_path / "bytes.wav")


def test_a_lower_rate_keeps_a_tone_and_drops_what_it_can_not_hold():
    t = np.arange(44_100) / 44_100
    for hertz, kept in ((1000, 1.0), (12_000, 0.0)):
        tone = np.sin(2 * np.pi * hertz * t).astype(np.float32)
        converted = recordings.to_rate(tone, 44_100)
        assert len(converted) == 16_000
        assert np.abs(converted[1000:-1000]).max() == pytest.approx(kept, abs=0.02)
    with pytest.raises(ValueError, match="positive"):
        recordings.to_rate(tone, 0)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"rt60": (0.4, 0.2)}, "the least first"),
        ({"distance": (0.5, 4)}, "does not fit into the smallest room"),
        ({"height": (0.5, 2)}, "larger than 0.8 m"),
        ({"train": 0}, "greater than or equal to 1"),
    ],
)
def test_rooms_that_can_not_be_are_refused(fields, message):
    with pytest.raises(ValidationError, match=message):
        Room(**fields)


def test_a_room_that_no_walls_make_so_dead_gets_the_most_absorbing_ones():
    heard = hear(Place(size=(30, 30, 20), rt60=0.1, source=(15, 15, 10), microphone=(16, 15, 10)))
    assert heard.absorption == 0.99
