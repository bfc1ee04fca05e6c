"""Grids over sounds that have names: what makes sense of sound, and what is told of what does not."""

import numpy as np
import pytest
import soundfile
from grid_cases import job_of, plan

from raygrid.errors import UsageError
from raygrid.units import ShardRef

PGD = {"use": "pgd", "norm": "linf", "eps": 0.002, "steps": 5}
SOUNDS = {"name": "named-sounds", "shape": (1, 1, 32_000), "classes": 216, "sample_rate": 16_000}


@pytest.fixture
def sounds(tmp_path):
    """Plan a grid over named sounds."""

    def planned(*attacks, victims=("yamnet",), facts=None, **grid):
        words = {"data": "named-sounds", "victims": list(victims), "attacks": list(attacks or [PGD]), **grid}
        return plan(job_of(tmp_path, sounds=words), **{**SOUNDS, **(facts or {})})

    return planned


def messages(planned, *args, **words):
    with pytest.raises(UsageError) as error:
        planned(*args, **words)
    return list(error.value.messages)


def test_files_judge_sound_where_nobody_says_otherwise(sounds):
    (cell, *_) = sounds().cells.values()
    assert cell.judging.stored
    assert "judge=" not in cell.id
    (cell, *_) = sounds(judge={"stored": False}).cells.values()
    assert not cell.judging.stored


@pytest.mark.parametrize(
    "attack",
    [
        PGD,
        {"use": "apgd", "norm": "l2", "eps": 0.5},
        {"use": "square", "norm": "linf", "eps": 0.002},
        {"use": "nes", "norm": "linf", "eps": 0.002},
        {**PGD, "channel": {"use": "noise", "kind": "pink", "snr": 20}, "eot": 2},
        {**PGD, "goal": "targeted", "target": 3},
        {"use": "autoattack", "norm": "linf", "eps": 0.002},
    ],
    ids=str,
)
def test_attacks_and_channels_that_make_sense_of_sound_are_planned(sounds, attack):
    assert sounds(attack).scores


@pytest.mark.parametrize(
    ("attack", "message"),
    [
        ({"use": "insects"}, '"insects" is for pictures'),
        ({"use": "universal-patch"}, '"universal-patch" is for pictures'),
        ({"use": "corruption", "kind": "fog", "severity": 1}, '"corruption" is for pictures'),
        ({"use": "square", "norm": "l2", "eps": 0.5}, '"square" is for pictures in norm l2'),
        (
            {"use": "autoattack", "norm": "l2", "eps": 0.5},
            '"square" (a stage of "autoattack") is for pictures in norm l2',
        ),
        ({**PGD, "channel": "view"}, 'channel "view" is for pictures'),
        ({**PGD, "channel": "lossy"}, 'would look for gradients through channel "lossy"'),
        ({"use": "over-the-air", "channel": "room"}, '"over-the-air" is for speech that is transcribed'),
        ({**PGD, "goal": "impersonate"}, "goal impersonate makes no sense"),
        ({**PGD, "eps": 1e-5}, "less than a level, 1/32768"),
    ],
)
def test_what_makes_no_sense_of_sound_is_refused(sounds, attack, message):
    assert any(message in told for told in messages(sounds, attack, splits={"fit": 4}, facts=None))


def test_defenses_of_pictures_are_refused_and_those_of_sound_are_not(sounds):
    assert any('defense "jpeg" is for pictures' in told for told in messages(sounds, defenses=["jpeg"]))
    assert sounds(defenses=["none", {"use": "quantized", "bits": 8}]).scores


def test_channels_of_sound_are_refused_on_pictures(tmp_path):
    words = {"data": "mnist-5k", "victims": ["mnist-cnn"], "attacks": [{**PGD, "eps": 0.1, "channel": "room"}]}
    assert any('channel "room" is for sound' in told for told in messages(plan, job_of(tmp_path, digits=words)))


def test_a_victim_that_counts_other_classes_is_refused(sounds):
    told = messages(sounds, victims=[{"use": "yamnet", "classes": "all"}])
    assert any("has 521 classes and named-sounds has 216" in message for message in told)


def test_a_victim_of_pictures_is_refused_on_sound_of_a_rate_it_does_not_hear(sounds):
    assert any("mnist-cnn" in told for told in messages(sounds, victims=["mnist-cnn"]))


# Voices


@pytest.fixture
def voices(tmp_path):
    """Plan a grid over voices."""

    def planned(*attacks, facts=None, judge=None, **grid):
        words = {"data": "packaged-voices", "victims": ["resemblyzer"], "attacks": list(attacks or [PGD]), **grid}
        facts = {
            "name": "packaged-voices",
            "shape": (1, 1, 48_000),
            "classes": 13,
            "sample_rate": 16_000,
            "task": "verification",
            "gallery": ShardRef("c" * 32, 104),
            "fit": ShardRef("d" * 32, 48),
            "calibration": 6,
            "known": 3,
            **(facts or {}),
        }
        return plan(job_of(tmp_path, voices={**words, "judge": judge or {"far": 0.1}}), **facts)

    return planned


def test_voices_are_impersonated_or_dodged_through_rooms_too(voices):
    room = {"chain": ["room", {"use": "noise", "snr": 20}]}
    found = voices(PGD, {**PGD, "goal": "dodge"}, {**PGD, "photos": 3, "channel": room, "eot": 4})
    assert {cell.attack.goal for cell in found.cells.values()} == {"impersonate", "dodge"}
    assert all(score.enrolled is not None for score in found.scores)
    assert not any("judge=" in name for name in found.cells)


def test_a_false_accept_rate_that_so_few_people_cannot_tell_is_refused(voices):
    (told, *_) = messages(voices, judge={"stored": True})
    assert "far 0.01 is less than one in the 15 pairs of people that 6 calibration people make" in told


@pytest.mark.parametrize(
    ("attack", "message"),
    [
        ({"use": "sticker", "mask": "glasses"}, '"sticker" is for pictures'),
        ({**PGD, "photos": 4}, "an attacker may have 3"),
        ({**PGD, "goal": "untargeted"}, "goal untargeted makes no sense"),
        ({**PGD, "channel": "view"}, 'channel "view" is for pictures'),
    ],
)
def test_what_makes_no_sense_of_voices_is_refused(voices, attack, message):
    assert any(message in told for told in messages(voices, attack))


def test_no_face_is_looked_for_in_voices(voices):
    judge = {"far": 0.1, "detector": True}
    assert any("judge.detector: is for data whose faces are verified" in told for told in messages(voices, judge=judge))


@pytest.fixture
def speech(tmp_path):
    """Plan a grid over music, in which commands are hidden."""

    def planned(*attacks):
        words = {"data": "music-carriers", "victims": ["hama"], "attacks": list(attacks)}
        facts = {"name": "music-carriers", "shape": (1, 1, 48_000), "classes": 0, "sample_rate": 16_000}
        return plan(job_of(tmp_path, speech=words), task="transcription", **facts)

    return planned


@pytest.fixture
def responses(tmp_path):
    """Write a folder of measured responses: seeds by split."""

    def written(name="rooms", **seeds):
        for split, own in seeds.items():
            (tmp_path / name / split).mkdir(parents=True)
            for seed in own:
                values = np.random.default_rng(seed).standard_normal(200).astype("f4")
                soundfile.write(tmp_path / name / split / f"{seed}.wav", values, 16_000, subtype="FLOAT")
        return str(tmp_path / name)

    return written


def test_measured_rooms_judge_without_training_ones_where_no_attack_looks_through_them(sounds, responses):
    judging = {**PGD, "channel": {"use": "room", "responses": responses(judge=[1, 2])}}
    assert sounds({**judging, "awareness": "none"}).scores
    assert any("none of split train, which attack" in told for told in messages(sounds, judging))
    training = {**PGD, "channel": {"chain": [{"use": "room", "responses": responses("two", train=[1])}, "gain"]}}
    assert any("none of split judge, which judge" in told for told in messages(sounds, training))


def test_whoever_rehearses_in_what_judges_him_is_refused(speech, responses):
    own, judged = responses("own", train=[1, 2], validation=[3]), responses("judged", judge=[4, 5])
    air = {"use": "over-the-air", "phrase": "hello", "responses": own}
    assert speech({**air, "channel": {"use": "room", "responses": judged}}).scores
    known = responses("known", judge=[2, 4])
    told = messages(speech, {**air, "channel": {"use": "room", "responses": known}})
    assert any('"over-the-air" rehearses in 1 of the responses that judge it' in line for line in told)
    lacking = messages(speech, {**air, "responses": responses("half", train=[1])})
    assert any("none of split validation, in which it rehearses" in line for line in lacking)


def test_an_attack_on_simulated_rooms_keeps_its_key(speech, responses):
    from raygrid.attacks.catalog_audio import OverTheAir

    assert OverTheAir().keyed() == OverTheAir().model_dump(mode="json") and "responses" not in OverTheAir().keyed()
    air = {"use": "over-the-air", "phrase": "hello"}
    own = responses("own", train=[1, 2], validation=[3])
    simulated, measured = (set(speech(attack).crafts) for attack in (air, {**air, "responses": own}))
    assert not simulated & measured
