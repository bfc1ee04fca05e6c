"""Whisper as a judge of what is heard, and the container that its weights come in."""

import struct

import numpy as np
import pytest
import torch

from raygrid.component import resolve
from raygrid.data.dataset import pixels
from raygrid.errors import UsageError
from raygrid.metrics.transcription import plain, word_errors
from raygrid.registry import find
from raygrid.victims.check import check_victim
from raygrid.victims.ctranslate2 import read_ct2
from raygrid.victims.whisper import Whisper, byte_of_sign


@pytest.fixture(scope="module")
def victim() -> Whisper:
    component = find("victim", "whisper-tiny.en")
    info = resolve(component.identify)(component.params(), "judge")
    return resolve(component.build)(component.params(), info)


@pytest.fixture(scope="module")
def cards() -> tuple[torch.Tensor, list[str]]:
    """Four short utterances [4, T] and what is said."""
    component = find("data", "pocketsphinx-speech")
    table = resolve(component.build)(component.params(seconds=2.0), None).table.slice(5, 4)
    return torch.tensor(pixels(table)), table.column("transcript").to_pylist()


@pytest.fixture(scope="module")
def heard(victim, cards) -> list[str]:
    return victim.transcribe(cards[0])


def test_short_commands_are_heard_but_for_one_word(heard, cards):
    errors = [word_errors(said, plain(text)) for said, text in zip(cards[1], heard, strict=True)]
    assert [error.edits for error in errors] == [0, 1, 0, 0]
    assert heard[0] == "10 of clubs."


def test_a_batch_is_heard_as_its_clips_one_by_one(victim, cards, heard):
    assert victim.transcribe(cards[0][2:3]) == heard[2:3]


def test_the_net_is_the_one_of_the_package(victim):
    assert sum(p.numel() for p in victim.parameters()) == 37_764_864
    assert len(victim.vocabulary) == victim.info.classes
    assert victim.info.access == "decision"


def test_it_passes_the_preflight(victim, cards):
    assert check_victim(victim, cards[0][:1], torch.zeros(1, dtype=torch.long), 1) == []


def test_it_cannot_be_cut_into_layers(victim):
    with pytest.raises(UsageError, match="one token after another"):
        victim.layers.all()


@pytest.mark.parametrize("shape", [(1, 1, 16_000), (1, 100)])
def test_what_is_no_batch_of_waveforms_is_refused(victim, shape):
    with pytest.raises(UsageError, match="takes waveforms"):
        victim(torch.zeros(shape))


def test_every_byte_has_its_sign():
    assert sorted(byte_of_sign().values()) == list(range(256))
    assert byte_of_sign()["Ġ"] == ord(" ")
    assert byte_of_sign()["A"] == ord("A")


def container(version=6, cut=0):
    def text(value):
        return struct.pack("<H", len(value) + 1) + value.encode() + b"\0"

    values = np.arange(6, dtype=np.float16).reshape(2, 3)
    variable = text("a/weight") + struct.pack("<BIIBI", 2, 2, 3, 4, values.nbytes) + values.tobytes()
    whole = struct.pack("<I", version) + text("Spec") + struct.pack("<II", 3, 1) + variable
    whole += struct.pack("<I", 1) + text("alias") + text("a/weight")
    return whole[: len(whole) - cut]


def test_variables_and_aliases_come_out_of_the_container(tmp_path):
    (tmp_path / "model.bin").write_bytes(container())
    found = read_ct2(tmp_path / "model.bin")
    assert list(found) == ["a/weight", "alias"]
    assert found["alias"].dtype == np.float32
    assert np.array_equal(found["a/weight"], np.arange(6.0).reshape(2, 3))


@pytest.mark.parametrize(("data", "message"), [(container(5), "version 5"), (container(cut=25), "only the beginning")])
def test_another_container_is_refused(tmp_path, data, message):
    (tmp_path / "model.bin").write_bytes(data)
    with pytest.raises(UsageError, match=message):
        read_ct2(tmp_path / "model.bin")
