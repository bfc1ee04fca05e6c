"""Sounds that have names: labels, lengths, and all that may be wrong with a folder of them."""

import numpy as np
import pytest
import soundfile

from raygrid.assets import cached
from raygrid.audioset import every_name, label_of
from raygrid.data.dataset import pixels
from raygrid.data.pins_sounds import MEANT, NAMED
from raygrid.errors import UsageError

RATE = 16_000


def tone(seconds, hertz=440.0):
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * RATE)) / RATE)).astype(np.float32)


@pytest.fixture
def folder(tmp_path):
    for name, seconds in (("Dog/rex.wav", 0.5), ("Dog/old/bello.wav", 3.0), ("Bark/a.wav", 1.0), ("Glass/b.flac", 1.0)):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(tmp_path / name, tone(seconds), RATE, subtype=None if name.endswith("flac") else "FLOAT")
    return tmp_path


def test_a_folder_of_sounds_has_a_label_a_folder_and_parts_have_that_of_their_family(folder, build):
    dataset = build("sound-folder", path=str(folder))
    assert dataset.table.column("sample_id").to_pylist() == [
        "Bark/a.wav",
        "Dog/old/bello.wav",
        "Glass/b.flac",
        "Dog/rex.wav",
    ]
    labels = dict(zip(*(dataset.table.column(name).to_pylist() for name in ("sample_id", "label")), strict=True))
    assert labels["Bark/a.wav"] == labels["Dog/rex.wav"] != labels["Glass/b.flac"]
    assert dataset.classes == 216
    assert dataset.class_names[labels["Dog/rex.wav"]] == "Dog"
    assert dataset.table.column("sound").to_pylist() == ["Bark", "Dog", "Glass", "Dog"]


def test_all_classes_are_told_apart_where_that_is_asked(folder, build):
    dataset = build("sound-folder", path=str(folder), classes="all")
    assert dataset.table.column("label").to_pylist() == [
        every_name().index(name) for name in ("Bark", "Dog", "Glass", "Dog")
    ]
    assert dataset.classes == 521


@pytest.mark.parametrize(("short", "again"), [("repeat", True), ("fill", False)])
def test_short_sounds_are_repeated_or_filled_up_and_long_ones_cut(folder, build, short, again):
    dataset = build("sound-folder", path=str(folder), short=short)
    x = dict(zip(dataset.table.column("sample_id").to_pylist(), pixels(dataset.table), strict=True))
    assert {len(row) for row in x.values()} == {2 * RATE}
    assert np.array_equal(x["Dog/old/bello.wav"], tone(3.0)[: 2 * RATE])
    assert np.array_equal(x["Dog/rex.wav"][8000:16_000], tone(0.5)) == again
    assert bool(x["Dog/rex.wav"][8000:].any()) == again


def test_a_folder_without_classes_or_with_unknown_ones_is_refused(folder, build):
    (folder / "Dgo").mkdir()
    with pytest.raises(UsageError, match='sub-folder "Dgo": AudioSet knows no class "Dgo"; did you mean "Dog"'):
        build("sound-folder", path=str(folder))
    with pytest.raises(UsageError, match="no sub-folders"):
        build("sound-folder", path=str(folder / "Glass"))


def test_a_class_that_says_nothing_is_refused_but_among_all(folder, build):
    (folder / "Animal").mkdir()
    with pytest.raises(UsageError, match='"Animal" says too little'):
        build("sound-folder", path=str(folder))
    build("sound-folder", path=str(folder), classes="all")


def test_every_name_of_a_packaged_sound_is_a_class_and_an_answer():
    for asset in NAMED:
        assert label_of(MEANT[asset.name], "families", asset.name) >= 0
    assert len({asset.name for asset in NAMED}) == len(NAMED) == 79


@pytest.mark.skipif(any(cached(asset) is None for asset in NAMED), reason="named-sounds is not in the cache (Debian)")
def test_the_first_of_the_named_sounds_are_of_different_classes(build):
    dataset = build("named-sounds", limit=20)
    assert len(set(dataset.table.column("label").to_pylist())) == 20
    assert dataset.shape == (1, 1, 2 * RATE)
    assert dataset.extra["sample_rate"] == RATE
