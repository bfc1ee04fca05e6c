"""What `raygrid bench audio` times, never how long it takes."""

from dataclasses import replace

import pytest
import torch

from raygrid import bench_audio, bench_audio_peer
from raygrid.bench_audio import StepCost, bare, command, recognizer, step_table, time_stages, time_step
from raygrid.bench_audio_peer import Outcome, attempt, peer_table, side_by_side, within
from raygrid.errors import UsageError
from raygrid.metrics.signal import snr_db
from raygrid.registry import find, parse

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


# Beside the peer


def test_what_is_judged_is_the_file_in_judged_rooms_with_and_without_noise(task, monkeypatch):
    asked = []
    real = bench_audio_peer.room.draw
    monkeypatch.setattr(
        bench_audio_peer,
        "room",
        replace(bench_audio_peer.room, draw=lambda *a: asked.append(a[2]) or real(*a)),
    )
    monkeypatch.setattr(bench_audio_peer, "PLAYS", 2)
    outcome = attempt(task, "nobody", lambda: (task.x + 0.01 * task.x.roll(1000, 1)).clamp(-1, 1))
    assert outcome.rooms == outcome.noisy == 0 and outcome.passes == 0
    assert outcome.snr_db == pytest.approx(40, abs=0.1)
    assert asked == ["judge/0", "judge/1"] * 2


def test_ours_gets_as_many_steps_as_fit(task, monkeypatch):
    monkeypatch.setattr(bench_audio_peer, "time_step", lambda task, repeats: StepCost(0.1, 0.1, 1.0, (1, 1)))
    assert within(task, 11).params.steps == 100
    assert within(task, 0.1).params.steps == 2


def test_without_the_peer_ours_stands_alone_at_its_own_limit(monkeypatch):
    monkeypatch.setattr(bench_audio_peer, "installed", lambda: False)
    monkeypatch.setattr(bench_audio_peer, "PLAYS", 1)
    monkeypatch.setattr(bench_audio_peer, "within", lambda task, allowed: replace(task, params=parse_few()))
    table = peer_table("hama", "hello", 1, 1.0, "cpu")
    assert [list(column.cells) for column in table.columns][1] == ["raygrid"]
    assert "is not installed" in table.caption


def test_ours_gets_no_more_time_than_the_peer_took_and_its_snr(task, monkeypatch):
    given = []
    theirs = Outcome("anyone", 7.0, 1, 20.0, 0, 0)
    monkeypatch.setattr(bench_audio_peer, "installed", lambda: True)
    monkeypatch.setattr(bench_audio_peer, "version", lambda name: "0")
    monkeypatch.setattr(bench_audio_peer, "attempt", lambda task, who, craft: replace(theirs, who=who))
    monkeypatch.setattr(bench_audio_peer, "within", lambda task, seconds: given.append((task.params, seconds)) or task)
    assert [outcome.who for outcome in side_by_side(task, 9.0)] == ["asr-attacks 0", "raygrid"]
    ((params, allowed),) = given
    assert allowed == 7.0
    assert (params.snr_db, params.noise, params.band) == (20.0, False, None)


def parse_few():
    return parse(find("attack", "over-the-air"), FEW)


def test_the_peer_ends_within_its_time_in_our_training_rooms(task):
    if not bench_audio_peer.installed():
        pytest.skip("asr-attacks is not installed")
    outcome = attempt(task, "peer", lambda: bench_audio_peer.peer(task, 1.0))
    assert outcome.passes > 40 and outcome.snr_db > 10
