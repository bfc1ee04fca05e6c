"""What a sound hides: the threshold of one tone in closed form, and what lies above it."""

from math import log10, pi

import numpy as np
import pytest
import torch

from raygrid.metrics.masking import FRAME, HOP, LOUDEST, bark, in_quiet, maskers, masking, spectra, threshold

HERTZ = torch.fft.rfftfreq(FRAME, 1 / 16_000, dtype=torch.float64)
INNER = slice(FRAME // HOP, -FRAME // HOP)
"""Frames that hold nothing but the clip."""


def tone(k, size=0.5, length=16_384):
    """A tone in the middle of frequency number k."""
    return (size * torch.cos(2 * pi * k * torch.arange(length, dtype=torch.float64) / FRAME))[None]


def decibels(power):
    return 10 * torch.log10(power)


def hidden_by(k, loud):
    """Qin et al.'s two slopes around a tone of so many dB in frequency number k, and the threshold in quiet."""
    away = bark(HERTZ) - bark(HERTZ)[k]
    slope = torch.where(away > 0, -27 + 0.37 * max(loud - 40, 0), 27)
    spread = loud - 6.025 - 0.275 * bark(HERTZ)[k] + slope * away
    return decibels(10 ** (in_quiet(HERTZ) / 10) + 10 ** (spread / 10))


def test_a_tone_has_its_power_at_its_frequency_and_a_quarter_beside():
    power = spectra(tone(128))[0, INNER]
    assert torch.allclose(power[:, 128], torch.tensor(0.5**2 / 6, dtype=torch.float64))
    assert torch.allclose(power[:, [127, 129]], power[:, [128]] / 4)
    assert power[:, 140:].max() < 1e-20


def test_every_value_is_in_as_many_frames():
    for length in (FRAME, 5000, 100):
        x = torch.ones(1, length)
        assert spectra(x).shape == (1, (FRAME - HOP + -(-length // HOP) * HOP) // HOP, FRAME // 2 + 1)
    frames = torch.stack([spectra(torch.eye(3000)[[i]]).sum() for i in (0, 1500, 2999)])
    assert torch.allclose(frames, frames[0].expand(3), rtol=1e-4)


@pytest.mark.parametrize("k", [64, 128, 400])
def test_the_threshold_of_a_pure_tone_is_in_closed_form(k):
    x = tone(k)
    found = masking(x, 16_000).power[0, INNER]
    level = LOUDEST + decibels(found / spectra(x).max())
    expected = hidden_by(k, LOUDEST + 10 * log10(1.5))  # the tone and what leaks beside it
    assert torch.allclose(level, expected.expand_as(level), atol=1e-6)


def test_it_follows_the_loudness_of_the_clip_and_the_clip_alone():
    x = torch.cat([tone(64), tone(300, 0.01)])
    both, louder = masking(x, 16_000), masking(2 * x, 16_000)
    assert torch.equal(both.at(torch.tensor([1])).power, masking(x[[1]], 16_000).power)
    assert torch.allclose(louder.power, 4 * both.power, rtol=1e-9)


def test_nothing_hides_in_silence():
    x = torch.zeros(1, 4000)
    assert masking(x, 16_000).power.max() == 0
    assert masking(x, 16_000).above(1e-4 * torch.ones(1, 4000)).mean() > 50


def test_a_louder_tone_nearby_takes_the_place_of_a_weaker_one():
    level = torch.full((FRAME // 2 + 1,), -50.0, dtype=torch.float64)
    level[[100, 104, 300]] = torch.tensor([60.0, 70.0, 40.0], dtype=torch.float64)
    assert maskers(level, HERTZ).tolist() == [104, 300]
    level[300] = float(in_quiet(HERTZ)[300]) - 1
    assert maskers(level, HERTZ).tolist() == [104]


def test_the_threshold_in_quiet_is_lowest_where_ears_are_keenest():
    assert 2500 < HERTZ[in_quiet(HERTZ).argmin()] < 4000
    assert torch.allclose(threshold(torch.full_like(HERTZ, -90), HERTZ), in_quiet(HERTZ))


def test_what_lies_below_is_not_above_and_ten_times_the_size_is_twenty_decibels_more():
    x, added = tone(64), tone(70, 1.0)
    mask = masking(x, 16_000)
    room = float((mask.power[0, INNER, 69:72] / spectra(added)[0, INNER, 69:72]).min()) ** 0.5
    inside = mask.above(0.99 * room * added)[0, INNER, 60:80]
    assert inside.max() == 0
    once, ten = (mask.above(size * room * added)[0, INNER, 70] for size in (2, 20))
    assert (once > 0).all() and torch.allclose(ten - once, torch.full_like(ten, 20))
    assert mask.above(0 * x).max() == 0


def test_what_is_above_has_the_slope_of_its_decibels():
    x, delta = tone(64, length=4096), 0.01 * torch.randn(1, 4096, generator=torch.Generator().manual_seed(0)).double()
    mask = masking(x, 16_000)
    at = delta.clone().requires_grad_(True)
    (slope,) = torch.autograd.grad(mask.above(at).mean(), at)
    step = 1e-6 * torch.randn(1, 4096, generator=torch.Generator().manual_seed(1)).double()
    gained = mask.above(delta + step).mean() - mask.above(delta - step).mean()
    assert float(gained) == pytest.approx(2 * float((slope * step).sum()), rel=1e-4)


def test_the_spread_of_maskers_is_that_of_the_adversarial_robustness_toolbox():
    peer = pytest.importorskip(
        "art.attacks.evasion.imperceptible_asr.imperceptible_asr", reason="the peer is not installed"
    ).PsychoacousticMasker()
    noise = torch.randn(1, 4 * FRAME, generator=torch.Generator().manual_seed(0)).double()
    power = spectra(noise + tone(200, 3.0, 4 * FRAME) + tone(420, 2.0, 4 * FRAME))[0, FRAME // HOP]
    level = LOUDEST + decibels(power / power.max())
    tones = maskers(level, HERTZ).numpy()
    loud = 10 * np.log10(sum(10 ** (level.numpy()[tones + i] / 10) for i in (-1, 0, 1)))
    theirs = peer.calculate_global_threshold(peer.calculate_individual_threshold(loud, tones))
    above_20_hz = slice(3, None)  # below, theirs is minus infinity
    assert len(tones) > 5
    assert np.allclose(threshold(level, HERTZ).numpy()[above_20_hz], theirs[above_20_hz], atol=1e-6)
