"""Natural-sounding additions: never louder than their limit, the same whatever the batch, and where the scores say they fool."""

import pytest
import torch
from cases import Case, batch_of, run, statuses
from models import numbers
from torch import nn

from raygrid.assets import cached
from raygrid.attacks import natural_sounds as module
from raygrid.attacks.natural_sounds import mixed
from raygrid.attacks.placements import Placed
from raygrid.channels.natural_bank import BANKS, Sounds, natural_sounds_of
from raygrid.pins import ASSETS
from raygrid.registry import find, parse
from raygrid.spec import Budget

T = 4000
NATURAL = Case("natural-sounds", "", {"queries": 41, "sounds": 2})
INFINITY = float("inf")


def tones(hertz, length=1600):
    t = torch.arange(length) / 16_000
    return 2**0.5 * torch.sin(2 * torch.pi * torch.tensor(hertz)[:, None] * t)


@pytest.fixture(autouse=True)
def bank(monkeypatch):
    """Four tones of a tenth of a second."""
    x = torch.zeros(4, 2000)
    x[:, :1600] = tones([300.0, 600.0, 1200.0, 2400.0])
    found = Sounds(("a", "b", "c", "d"), x, torch.full((4,), 1600))
    monkeypatch.setattr(module, "natural_sounds_of", lambda _: found)
    return found


class Ear(nn.Module):
    """Class 1 where there is about as much of 1200 Hz in the second half of a clip as of 100 Hz in all of it."""

    def forward(self, x):
        t = torch.arange(x.shape[1]) / 16_000
        power = [
            sum((x * wave(2 * torch.pi * hertz * t))[:, part].mean(1).square() for wave in (torch.sin, torch.cos))
            for hertz, part in ((100.0, slice(None)), (1200.0, slice(T // 2, None)))
        ]
        return 1e3 * torch.stack([power[0], 3 * power[1]], dim=1)


def clips(n=6):
    x = 0.2 * torch.sin(2 * torch.pi * 100 * torch.arange(T) / 16_000).expand(n, -1) + 0.001 * numbers(n, T)
    return batch_of(x, torch.zeros(n, dtype=torch.long), 2)


def snr_db(made, batch):
    return 10 * (batch.x.double().square().sum(1) / (made.x_adv.double() - batch.x).square().sum(1)).log10()


@pytest.mark.parametrize("search", ["random", "pgpe"])
@pytest.mark.parametrize("limit", [3.0, 20.0])
def test_what_is_added_is_never_louder_than_the_limit(search, limit):
    batch = clips()
    made, verdicts = run(Ear(), batch, NATURAL.spec(INFINITY, search=search, snr_db=limit, queries=41, pitch=12))
    assert not made.failures
    assert (snr_db(made, batch) >= limit).all()
    assert "invalid" not in statuses(verdicts)


def test_neither_is_it_where_many_are_added_to_clips_at_the_edge_of_the_range():
    batch = batch_of(numbers(4, T).sign(), torch.zeros(4, dtype=torch.long), 2)
    made, _ = run(Ear(), batch, NATURAL.spec(INFINITY, sounds=12, snr_db=0.0, queries=5))
    assert (snr_db(made, batch) >= 0).all()
    assert float(made.x_adv.abs().max()) <= 1


@pytest.mark.parametrize("search", ["random", "pgpe"])
def test_the_sound_that_fools_is_found_at_the_time_at_which_it_does(search):
    batch = clips()
    made, verdicts = run(
        Ear(), batch, NATURAL.spec(INFINITY, search=search, snr_db=3.0, queries=101, sounds=1, pitch=0)
    )
    broken = torch.tensor([status == "broken" for status in statuses(verdicts)])
    assert broken.sum() >= 4  # one sound of four, half of the time
    power = (made.x_adv - batch.x)[broken].square()
    assert (power[:, T // 2 :].sum(1) > 0.5 * power.sum(1)).all()


def test_too_soft_an_addition_fools_nobody():
    batch = clips()
    _, verdicts = run(Ear(), batch, NATURAL.spec(INFINITY, snr_db=60.0, queries=41))
    assert statuses(verdicts) == ["robust"] * 6


def test_more_looks_at_quieter_limits_help_no_less():
    batch, told = clips(), []
    for queries in (3, 41, 201):
        _, verdicts = run(Ear(), batch, NATURAL.spec(INFINITY, snr_db=6.0, queries=queries, pitch=0))
        told.append(statuses(verdicts).count("broken"))
    assert told == sorted(told)
    assert told[0] < 4 <= told[-1]


@pytest.mark.parametrize("search", ["random", "pgpe"])
def test_a_clip_gets_the_same_sounds_whatever_the_batch(search):
    spec = NATURAL.spec(INFINITY, search=search, snr_db=12.0, queries=21)
    batch = clips()
    together, _ = run(Ear(), batch, spec)
    for i in (0, 4):
        alone, _ = run(Ear(), batch.take([i]), spec)
        assert torch.allclose(alone.x_adv[0], together.x_adv[i], atol=1e-6)
        assert alone.forwards[0] == together.forwards[i]


def test_looks_stay_within_parameters_and_budget():
    batch = clips()
    made, _ = run(Ear(), batch, NATURAL.spec(INFINITY, snr_db=60.0, queries=30))
    params = parse(find("attack", "natural-sounds"), {"queries": 30})
    assert set(made.forwards) == {params.passes()[0]} == {29}
    made, _ = run(Ear(), batch, NATURAL.spec(INFINITY, snr_db=60.0, queries=30, budget=Budget(queries=7)))
    assert set(made.forwards) == {7}


def test_pictures_are_refused_with_what_was_expected():
    batch = batch_of(torch.rand(2, 3, 8, 8), torch.zeros(2, dtype=torch.long), 2)
    made, _ = run(
        lambda x: torch.stack([x.flatten(1).sum(1), 0 * x.flatten(1).sum(1)], 1), batch, NATURAL.spec(INFINITY)
    )
    assert "natural sounds are added to waveforms" in made.failures[0]


# What is played


def at(when, high=0.5, loud=1.0):
    return Placed(torch.tensor([[1]]), torch.tensor([[when, high, loud]]))


def test_a_sound_at_its_own_pitch_is_the_recording_shifted(bank):
    heard = mixed(bank, at(0.5), T, 4.0)[0]
    start = T // 2 - 800
    shape = bank.x[1, :1600]
    assert torch.allclose(heard[start : start + 1600] / heard.abs().max() * shape.abs().max(), shape, atol=1e-3)
    assert not heard[: start - 1].any()
    assert not heard[start + 1601 :].any()


def test_a_sound_an_octave_higher_is_half_as_long(bank):
    low, high = (mixed(bank, at(0.5, high), T, 12.0)[0] for high in (0.5, 1.0))
    assert abs(int((high != 0).sum()) / int((low != 0).sum()) - 0.5) < 0.01
    assert abs(peak(high) / peak(low) - 2) < 0.02


def peak(x):
    return int(torch.fft.rfft(x, 1 << 16).abs().argmax())


def test_the_loudest_sound_has_all_the_power_there_is_and_the_softest_20_db_less(bank):
    loud, soft = (mixed(bank, at(0.5, loud=share), T, 4.0)[0].square().mean().sqrt() for share in (1.0, 0.0))
    assert loud == pytest.approx(1.0, rel=1e-2)
    assert soft == pytest.approx(0.1, rel=1e-2)


def test_sounds_at_the_edges_of_a_clip_are_cut(bank):
    for when, side in ((0.0, slice(0, 800)), (1.0, slice(T - 800, T))):
        heard = mixed(bank, at(when), T, 4.0)[0]
        assert heard[side].any()
        heard[side] = 0
        assert not heard.any()


@pytest.mark.skipif(
    any(cached(ASSETS[name]) is None for name in BANKS["both"]),
    reason="the bank of sounds is not in the cache (Debian)",
)
def test_the_real_bank_is_as_loud_throughout():
    found = natural_sounds_of("both")
    assert len(found.names) == 16
    for x, samples in zip(found.x, found.samples, strict=True):
        assert x[: int(samples)].square().mean() == pytest.approx(1.0, rel=1e-3)
        assert not x[int(samples) :].any()
