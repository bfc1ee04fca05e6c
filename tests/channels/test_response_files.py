"""Impulse responses that somebody brings: what is read, what is refused, and who hears which."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
import torch
from pydantic import ValidationError
from sounds import streams, waves

from raygrid.attacks.catalog_audio import OverTheAir
from raygrid.chain import channel_chain
from raygrid.channels.catalog_audio import Room
from raygrid.channels.response_files import read_responses
from raygrid.channels.room import draw_rooms, room, told
from raygrid.channels.room_bank import bank
from raygrid.errors import UsageError
from raygrid.registry import find
from raygrid.spec import ChannelSpec

COUNTS = {"train": 3, "validation": 2, "judge": 4}
RATE = 16_000


def decay(seed, rate=RATE, rt60=0.2):
    n = np.arange(round(rt60 * rate))
    values = np.random.default_rng(seed).standard_normal(len(n)) * 10 ** (-3 * n / rate / rt60)
    return (values / np.abs(values).max()).astype(np.float32)


def write(folder, counts=COUNTS, seed=0, rate=RATE):
    for number, split in enumerate(counts):
        (folder / split).mkdir(parents=True, exist_ok=True)
        for k in range(counts[split]):
            soundfile.write(
                folder / split / f"{k}.wav", decay(100 * seed + 10 * number + k, rate), rate, subtype="FLOAT"
            )
    return folder


@pytest.fixture
def folder(tmp_path):
    return write(tmp_path / "rooms")


def test_each_split_has_the_rooms_of_its_subfolder(folder):
    params = Room(responses=str(folder))
    for number, (split, count) in enumerate(COUNTS.items()):
        rooms = bank(params, split)
        assert rooms.ids == tuple(f"{split}/{k}.wav" for k in range(count)) and rooms.split == split
        for k, response in enumerate(rooms.responses):
            mine = decay(10 * number + k)
            assert torch.corrcoef(torch.stack([response, torch.from_numpy(mine)]))[0, 1] > 0.999
        assert rooms.rt60.tolist() == pytest.approx([0.2] * count, rel=0.2)
        assert rooms.distance.isnan().all()


def test_a_table_is_read_as_the_folder_is_with_the_distances_that_it_has(folder, tmp_path):
    rows = [
        {"room_id": m.room_id, "split": split, "rate": m.rate, "response": m.response.tolist(), "distance": 1.5}
        for split, some in read_responses(str(folder), resample=False).by_split.items()
        for m in some
    ]
    pq.write_table(pa.Table.from_pylist(rows[::-1]), tmp_path / "rooms.parquet")
    for split in COUNTS:
        a, b = (bank(Room(responses=str(path)), split) for path in (folder, tmp_path / "rooms.parquet"))
        assert a.ids == b.ids and torch.equal(a.responses, b.responses)
        assert set(b.distance.tolist()) == {1.5}


def test_attacks_are_never_played_the_responses_that_judge(folder):
    params, x = Room(responses=str(folder)), waves(6, 8000)
    heard = {}
    for user in ("craft", "validate", "judge"):
        ids = set()
        for play in range(12):
            drawn = draw_rooms(params, streams(6), f"{user}/{play}", torch.arange(6), x)
            ids |= set(told(params, drawn)["room_id"])
        heard[user] = ids
    assert {user: {name.split("/")[0] for name in ids} for user, ids in heard.items()} == {
        "craft": {"train"}, "validate": {"validation"}, "judge": {"judge"},
    }  # fmt: skip
    assert [len(heard[user]) for user in heard] == list(COUNTS.values())  # all of them come
    assert room(params, x, streams(6), "judge/0", torch.arange(6)).abs().amax(1).tolist() == pytest.approx(
        x.abs().amax(1).tolist()
    )


def test_other_rates_are_brought_to_ours_where_that_is_said_and_refused_else(tmp_path):
    folder = write(tmp_path / "rooms", rate=48_000)
    with pytest.raises(UsageError, match=r"train/0\.wav is at 48000 Hz.*resample_responses: true"):
        bank(Room(responses=str(folder)), "judge")
    rooms = bank(Room(responses=str(folder), resample_responses=True), "judge")
    assert rooms.lengths.tolist() == pytest.approx([0.2 * RATE] * 4, abs=60)
    assert rooms.rt60.tolist() == pytest.approx([0.2] * 4, rel=0.3)


def put(name, values, rate=RATE):
    def write(folder):
        file = folder / name
        file.parent.mkdir(exist_ok=True)
        if isinstance(values, bytes):
            file.write_bytes(values)
        else:
            soundfile.write(file, np.asarray(values, dtype=np.float32), rate, subtype="FLOAT")

    return write


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (put("judge/e.wav", np.zeros(0)), r"judge/e\.wav is empty"),
        (put("judge/e.wav", np.zeros(100)), r"judge/e\.wav is silent"),
        (put("judge/e.wav", [1.0, np.nan]), r"judge/e\.wav holds values that are not finite"),
        (put("judge/e.wav", np.ones((9, 2))), r"judge/e\.wav has 2 channels"),
        (put("judge/e.wav", b"<html>"), r"judge/e\.wav can't be read"),
        (put("judged/e.wav", decay(77)), r"judged/e\.wav lies in none of the subfolders train, validation, judge"),
        (put("e.wav", decay(77)), r"e\.wav lies in none of the subfolders"),
        (put("judge/e.wav", decay(1)), r"judge/e\.wav of judge and train/1\.wav of train are the same"),
    ],
)
def test_what_can_not_be_played_is_told_by_name(folder, spoil, message):
    spoil(folder)
    with pytest.raises(UsageError, match=message):
        read_responses(str(folder), resample=False)


def test_where_there_is_nothing_that_is_told(tmp_path):
    (tmp_path / "none").mkdir()
    for path, message in (("none", "there are none"), ("nowhere", "no such folder or Parquet file")):
        with pytest.raises(UsageError, match=message):
            read_responses(str(tmp_path / path), resample=False)
    (tmp_path / "page.parquet").write_bytes(b"<html>")
    with pytest.raises(UsageError, match="is no Parquet file"):
        read_responses(str(tmp_path / "page.parquet"), resample=False)
    row = {"room_id": "a", "rate": RATE, "response": [1.0]}
    for more, message in (({}, "lacks the column split"), ({"split": "dev"}, '"dev", none of train')):
        pq.write_table(pa.Table.from_pylist([row | more]), tmp_path / "rooms.parquet")
        with pytest.raises(UsageError, match=message):
            read_responses(str(tmp_path / "rooms.parquet"), resample=False)


def test_a_response_longer_than_the_clip_is_told(folder):
    with pytest.raises(ValueError, match=r"impulse response of 0\.\d+ s is longer than the clip of 0\.06 s"):
        room(Room(responses=str(folder)), waves(1, 1000), streams(1), "judge/0", torch.arange(1))


# What is said of them


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"rt60": (0.2, 0.3)}, "rt60: says which rooms are simulated"),
        ({"judged": "positions"}, "judged: says which rooms are simulated"),
        ({"responses": None, "resample_responses": True}, "there are no responses"),
    ],
)
def test_what_has_no_meaning_beside_them_is_refused(fields, message):
    with pytest.raises(ValidationError, match=message):
        Room(**{"responses": "rooms", **fields})


def in_a_chain(params):
    spec = ChannelSpec(find("channel", "room"), params)
    return channel_chain([spec, ChannelSpec(find("channel", "gain"), find("channel", "gain").params())]).params


@pytest.mark.parametrize("of", [lambda params: params, in_a_chain], ids=["alone", "in a chain"])
def test_keys_go_by_what_files_hold_and_not_by_where_they_lie(folder, tmp_path, of):
    assert of(Room()).keyed() == of(Room()).model_dump(mode="json")
    assert "responses" not in str(of(Room()).keyed())  # what was computed before there were any is found
    before = of(Room(responses=str(folder))).keyed()
    assert of(Room(responses=str(write(tmp_path / "moved")))).keyed() == before
    assert of(Room(responses=str(write(tmp_path / "other", seed=1)))).keyed() != before
    soundfile.write(folder / "judge" / "3.wav", decay(99), RATE, subtype="FLOAT")
    assert of(Room(responses=str(folder))).keyed() != before
    assert of(Room(responses=str(folder), peak=False)).keyed() != of(Room(responses=str(folder))).keyed()


def test_responses_that_changed_after_the_job_was_planned_are_refused_wherever_they_are_read(folder):
    planned, attack = Room(responses=str(folder)), OverTheAir(responses=str(folder), rooms=2)
    again = Room.model_validate_json(planned.model_dump_json())
    assert again == planned and len(bank(again, "judge")) == COUNTS["judge"]
    soundfile.write(folder / "judge" / "more.wav", decay(99), RATE, subtype="FLOAT")
    for asked in (
        lambda: bank(planned, "judge"),
        lambda: bank(again, "train"),
        attack.keyed,
        lambda: bank(Room(responses=attack.responses), "train"),
    ):
        with pytest.raises(UsageError, match="is not what was there when the job was planned"):
            asked()
    assert len(bank(Room(responses=str(folder)), "judge")) == COUNTS["judge"] + 1


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"room_id": ["hall", "hall"]}, "two of train are called hall"),
        ({"room_id": ["hall", None]}, "one of train has no room_id"),
        ({"rate": [16_000, 0]}, "the rate of b is 0"),
        ({"rate": [16_000.0, None]}, "the rate of b is None"),
        ({"response": ["loud", "soft"]}, "the column response holds string"),
    ],
)
def test_a_table_that_makes_no_sense_is_told_by_name(tmp_path, columns, message):
    values = {
        "room_id": ["a", "b"],
        "split": ["train"] * 2,
        "rate": [RATE] * 2,
        "response": [decay(0), decay(1)],
    } | columns
    pq.write_table(pa.table(values), tmp_path / "rooms.parquet")
    with pytest.raises(UsageError, match=message):
        read_responses(str(tmp_path / "rooms.parquet"), resample=True)


def test_what_an_operating_system_leaves_in_folders_is_passed_over(folder):
    (folder / "judge" / "._0.wav").write_bytes(b"Mac OS X")
    (folder / "judge" / "folder.wav").mkdir()
    assert len(bank(Room(responses=str(folder)), "judge").ids) == COUNTS["judge"]
