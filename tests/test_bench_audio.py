"""What `raygrid bench audio` times, never how long it takes."""

import pytest
import torch

from raygrid import bench_audio
from raygrid.bench_audio import bare, command, recognizer, step_table, time_stages, time_step
from raygrid.errors import UsageError
from raygrid.metrics.signal import snr_db

FEW = {"plays": 2, "steps": 3, "every": 3, "validation": 1, "rooms": 4}


def ran(taken):
    """Time nothing, but do the work."""

    def seconds(work, _):
        work()
        return taken

    return seconds


@pytest.fixture(scope="module")
def task():
    """One carrier."""
    return command("hama", "hello", 1, "cpu", **FEW)


def test_the_floor_runs_the_very_passes_of_the_attack_and_nothing_else(task, monkeypatch):
    heard = []
    handle = task.victim.register_forward_pre_hook(lambda module, inputs: heard.append(inputs[0].detach().clone()))
    pieces = []

    def watch(work, _):
        del heard[:]
        work()
        pieces.append(list(heard))
        return 6.0 if len(pieces) % 2 else 3.0

    monkeypatch.setattr(bench_audio, "seconds", watch)
    cost = time_step(task, 2)
    handle.remove()
    assert [len(piece) for piece in pieces] == [4] * 4  # three steps, and the last point's validation
    for attack, floor in (pieces[:2], pieces[2:]):
        assert all(torch.equal(a, b) for a, b in zip(attack, floor, strict=True))
    assert [len(x) for x in pieces[0]] == [2, 2, 2, 1]
    assert cost.ratio == 2 and cost.seconds == 2 and cost.floor_seconds == 1 and cost.passes == (2, 48_000)


def test_every_stage_of_a_step_is_timed(task, monkeypatch):
    monkeypatch.setattr(bench_audio, "seconds", ran(2.0))
    shares = {name: share for name, (_, share) in time_stages(task, 1).items()}
    assert len(shares) == 5 and set(shares.values()) == {1.0}


def test_the_attack_that_is_timed_keeps_to_its_snr(task):
    assert snr_db(task.run(), task.x) >= 9


def test_a_bare_pass_leaves_the_waveforms_as_they_are(task):
    bare(task.victim, task.x)
    assert not task.x.requires_grad


def test_the_table_has_a_line_for_the_step_its_floor_and_each_stage(monkeypatch):
    monkeypatch.setattr(bench_audio, "seconds", ran(1.0))
    table = step_table(["hama"], "hello", 1, 1, 2, 1, "cpu")
    assert len(table.rows) == 7


@pytest.mark.parametrize(
    ("victim", "phrase", "samples", "said"),
    [
        ("mnist-cnn", "hello", 1, 'victim "mnist-cnn" does classification'),
        ("hama", "911", 1, "write numbers as words"),
        ("hama", "hello", 13, "music-carriers has 12 carriers, not 13"),
    ],
)
def test_what_can_not_be_timed_is_said(victim, phrase, samples, said):
    with pytest.raises(UsageError, match=said):
        command(victim, phrase, samples, "cpu")


def test_recognizers_are_built_by_name():
    assert recognizer("hama", "cpu").info.task == "transcription"
