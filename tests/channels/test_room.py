"""The room channel: convolution, who hears which rooms, and that a play belongs to its sample."""

import numpy as np
import pytest
import torch
from scipy.signal import fftconvolve
from sounds import SMALL, impulses, streams, waves

from raygrid.channels.catalog_audio import Room
from raygrid.channels.room import Rooms, draw_rooms, play, reverberated, room, split_of, told
from raygrid.channels.room_bank import bank, bank_of, kept_bank, recorded
from raygrid.component import resolve
from raygrid.errors import UsageError
from raygrid.job import load_job
from raygrid.registry import find

T = 8000


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAYGRID_CACHE", str(tmp_path_factory.mktemp("cache")))
        kept_bank.cache_clear()
        yield
        kept_bank.cache_clear()


def heard(x, purpose="craft/0/0", rows=None, params=SMALL, seed=0):
    rows = list(range(len(x))) if rows is None else rows
    return room(params, x[rows], streams(len(x), seed), purpose, torch.tensor(rows))


# Convolution


@pytest.mark.parametrize("peak", [True, False])
def test_a_unit_impulse_is_no_room(peak):
    x = waves(2, 1000)
    assert torch.allclose(reverberated(x, torch.ones(2, 1), peak=peak), x, atol=1e-6)
    params = SMALL.model_copy(update={"peak": peak})
    assert torch.allclose(play(params, x, Rooms(impulses(64), torch.tensor([0, 1]))), x, atol=1e-6)


def test_a_room_is_the_convolution_with_its_response():
    x, h = waves(3, 1000).double(), waves(3, 300, seed=1).double()
    for mine, wave, response in zip(reverberated(x, h, peak=False), x, h, strict=True):
        assert np.allclose(mine, fftconvolve(wave, response)[:1000], atol=1e-12)


def test_the_peak_is_kept():
    x, h = waves(3, 1000), waves(3, 300, seed=1)
    assert torch.allclose(reverberated(x, h).abs().amax(1), x.abs().amax(1))


def test_one_carrier_in_several_rooms_is_the_same_as_one_by_one():
    x, h = waves(2, 1000), waves(8, 300, seed=1).view(2, 4, 300)
    together = reverberated(x[:, None], h)
    assert together.shape == (2, 4, 1000)
    for k in range(4):
        assert torch.allclose(together[:, k], reverberated(x, h[:, k]), atol=1e-7)


def test_silence_stays_silence_and_has_a_finite_gradient():
    x = torch.zeros(2, 500, requires_grad=True)
    y = reverberated(x, waves(2, 100))
    (g,) = torch.autograd.grad(y.sum(), x)
    assert not y.any()
    assert torch.isfinite(g).all()


def test_a_response_that_is_empty_or_longer_than_the_clip_is_refused():
    with pytest.raises(ValueError, match="response is empty"):
        reverberated(waves(1, 100), torch.zeros(1, 0))
    with pytest.raises(ValueError, match=r"response of 0\.02 s is longer than the clip of 0\.01 s"):
        reverberated(waves(1, 160), torch.ones(1, 320))
    with pytest.raises(
        ValueError, match=r"room train/\d: an impulse response of 0\.1\d s is longer than the clip of 0\.03 s"
    ):
        heard(waves(1, 400))


def test_only_a_room_that_is_drawn_must_fit_the_clip():
    rooms = bank_of(recorded({"closet": np.ones(10), "hall": np.ones(5000)}, "train"))
    x = waves(2, 1000)
    y = play(SMALL, x, Rooms(rooms, torch.tensor([0, 0])))
    assert torch.allclose(y, reverberated(x, rooms.responses[[0, 0], :10]), atol=1e-6)
    with pytest.raises(ValueError, match="room hall: an impulse response of"):
        play(SMALL, x, Rooms(rooms, torch.tensor([0, 1])))


@pytest.mark.parametrize("peak", [True, False])
def test_the_gradient_is_that_of_finite_differences(peak):
    h = waves(2, 20, seed=1).double()
    assert torch.autograd.gradcheck(
        lambda x: reverberated(x, h, peak=peak), waves(2, 40).double().requires_grad_(), eps=1e-6
    )


# Whose rooms


def test_attacks_never_hear_the_rooms_that_judge():
    x = waves(1, T).expand(40, -1)
    crafted, judged = (
        draw_rooms(SMALL, streams(40), f"{purpose}/0/0", torch.arange(40), x) for purpose in ("craft", "judge")
    )
    mine = {crafted.bank.ids[k] for k in crafted.number.tolist()}
    theirs = {judged.bank.ids[k] for k in judged.number.tolist()}
    assert mine == {f"train/{k}" for k in range(4)}
    assert theirs == {f"judge/{k}" for k in range(3)}
    responses = [row.numpy().tobytes() for rooms in (crafted, judged) for row in rooms.bank.responses[:, :1000]]
    assert len(set(responses)) == 4 + 3


def test_the_first_word_of_a_purpose_says_whose_rooms_they_are():
    assert split_of(SMALL, "craft/3/0") == "train"
    assert split_of(SMALL, "validate/3") == "validation"
    for judged, split in (("rooms", "judge"), ("positions", "positions"), ("measured", "measured")):
        params = SMALL.model_copy(update={"judged": judged})
        assert split_of(params, "judge/5") == split
        assert split_of(params, "craft/5/1") == "train"
    with pytest.raises(ValueError, match='not "look"'):
        heard(waves(1, T), "look")


def test_every_room_is_as_likely():
    x = waves(1, 8).expand(4000, -1)
    drawn = draw_rooms(SMALL, streams(4000), "craft/0/0", torch.arange(4000), x)
    counts = torch.bincount(drawn.number, minlength=4)
    assert (counts - 1000).abs().max() < 130  # 4.7 standard deviations


# The contract


def test_the_entry_builds_the_channel():
    assert resolve(find("channel", "room").build) is room


@pytest.mark.parametrize("purpose", ["craft/0/0", "judge/5"])
def test_a_play_belongs_to_its_sample_whatever_the_batch_and_the_order(purpose):
    x = waves(5, T)
    together = heard(x, purpose)
    for rows in ([4, 1], [2]):
        assert torch.allclose(heard(x, purpose, rows), together[rows], atol=1e-6)


def test_plays_samples_and_seeds_differ():
    x = waves(1, T).expand(12, -1)
    numbers = [
        tuple(draw_rooms(SMALL, streams(12, seed), purpose, torch.arange(12), x).number.tolist())
        for seed, purpose in ((0, "craft/0/0"), (0, "craft/0/1"), (0, "craft/1/0"), (1, "craft/0/0"))
    ]
    assert len(set(numbers)) == 4


def test_a_play_tells_its_room():
    x = waves(3, T)
    plays = draw_rooms(SMALL, streams(3), "judge/0", torch.arange(3), x)
    columns = told(SMALL, plays)
    rooms = bank(SMALL, "judge")
    for k, name in enumerate(columns["room_id"]):
        n = rooms.ids.index(name)
        assert columns["split"][k] == "judge"
        assert columns["rt60"][k] == rooms.rt60[n]
        assert columns["distance"][k] == rooms.distance[n]
    nowhere = Rooms(bank_of(recorded({"a": np.ones(4)}, "measured")), torch.tensor([0]))
    assert told(SMALL, nowhere)["distance"] == [None]


def test_what_is_no_batch_of_waveforms_is_refused():
    for shape in ((3, 1, 100), (100,), (2, 0)):
        with pytest.raises(ValueError, match=r"takes waveforms \[B, T\]"):
            room(SMALL, torch.zeros(shape), streams(3), "craft/0/0", torch.arange(shape[0]))


def test_a_job_says_spans_as_pairs_and_axes_as_lists(tmp_path):
    text = """version: 1
grids:
  g:
    data: mnist-5k
    victims: mnist-cnn
    attacks: {use: pgd, eps: 0.1, channel: {use: room, rt60: [0.2, 0.3], train: [5, 6], judged: positions}}
"""
    (tmp_path / "job.yaml").write_text(text)
    rooms = [attack.channel.params for attack in load_job(tmp_path / "job.yaml").grids[0].attacks]
    assert rooms == [Room(rt60=(0.2, 0.3), train=n, judged="positions") for n in (5, 6)]
    (tmp_path / "job.yaml").write_text(text.replace("[0.2, 0.3]", "[0.3, 0.2]"))
    with pytest.raises(UsageError, match=r"rt60: the least first: \[0\.2, 0\.3\]"):
        load_job(tmp_path / "job.yaml")
