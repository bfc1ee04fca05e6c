"""What loudspeakers, microphones and wires do: band, rate, codec, gain, clipping, offset."""

from math import log10, pi

import pytest
import torch
from pydantic import ValidationError
from scipy.signal import butter
from sounds import streams, waves

from raygrid.channels import device
from raygrid.channels.catalog_audio import Band, Clip, Codec, Gain, Offset, Resample
from raygrid.channels.device import band_mask, butterworth, mu_law
from raygrid.component import resolve
from raygrid.metrics.signal import outside_share
from raygrid.registry import find

T = 4000
ALL = {
    "band": Band(spread=0.2),
    "resample": Resample(),
    "codec": Codec(bits=6),
    "gain": Gain(),
    "clip": Clip(level=0.05),
    "offset": Offset(),
}
NEUTRAL = {
    "resample": Resample(rate=16_000),
    "gain": Gain(least=0, most=0),
    "clip": Clip(level=1),
    "offset": Offset(most=0),
}


def heard(name, params, x, purpose="craft/0/0", rows=None):
    rows = list(range(len(x))) if rows is None else rows
    return getattr(device, name)(params, x[rows], streams(len(x)), purpose, torch.tensor(rows))


def tone(hertz, length=T, size=0.5):
    return (size * torch.sin(2 * pi * hertz * torch.arange(length, dtype=torch.float64) / 16_000))[None].float()


# The contract


@pytest.mark.parametrize("name", ALL)
def test_the_entry_builds_the_channel(name):
    component = find("channel", name)
    assert resolve(component.build) is getattr(device, name)
    assert component.params is type(ALL[name])


@pytest.mark.parametrize("name", ALL)
def test_each_changes_the_sound_and_keeps_its_length_and_box(name):
    x = waves(4, T, size=0.4)
    y = heard(name, ALL[name], x)
    assert y.shape == x.shape
    assert y.abs().max() <= 1
    assert ((y - x).abs().amax(1) > 1e-3).all()


@pytest.mark.parametrize("name", NEUTRAL)
def test_without_strength_nothing_changes(name):
    x = waves(2, T)
    assert torch.equal(heard(name, NEUTRAL[name], x), x)


@pytest.mark.parametrize("name", ALL)
def test_a_play_belongs_to_its_sample_whatever_the_batch_and_the_order(name):
    x = waves(5, T)
    together = heard(name, ALL[name], x)
    for rows in ([4, 1], [2]):
        assert torch.allclose(heard(name, ALL[name], x, rows=rows), together[rows], atol=1e-6)


@pytest.mark.parametrize("name", ["band", "gain", "offset"])
def test_plays_and_samples_differ(name):
    x = waves(1, T).expand(4, -1)
    plays = torch.cat([heard(name, ALL[name], x), heard(name, ALL[name], x, "judge/0")])
    assert len(plays.unique(dim=0)) == 8


@pytest.mark.parametrize("name", [name for name in ALL if name != "codec"])
def test_the_gradient_is_that_of_finite_differences(name):
    params = {"offset": Offset(most=0.0005)}.get(name, ALL[name])
    x = waves(2, 40).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: heard(name, params, x), x, eps=1e-7)


@pytest.mark.parametrize("name", ALL)
def test_a_play_tells_what_was_drawn(name):
    sound, x = getattr(device, name), waves(3, T)
    plays = sound.draw(ALL[name], streams(3), "judge/0", torch.arange(3), x)
    columns = sound.told(ALL[name], plays)
    assert columns
    assert all(len(values) == 3 for values in columns.values())
    assert torch.equal(sound.apply(ALL[name], x, plays), heard(name, ALL[name], x, "judge/0"))


# Band


def test_the_mask_leaves_nothing_outside_its_band():
    y = heard("band", Band(low=1000, high=4000, shape="mask"), waves(3, T, size=0.3))
    assert outside_share(y, 16_000, 1000, 4000).max() < 1e-6


def test_a_mask_of_all_that_a_waveform_has_is_the_waveform():
    x = waves(2, T)
    assert torch.allclose(band_mask(x, -1, 9000), x, atol=1e-6)
    inside = tone(2000)
    assert torch.allclose(band_mask(inside, 1000, 4000), inside, atol=1e-6)
    assert band_mask(tone(4000), 1000, 4000).abs().max() < 1e-6  # the ends do not belong to the band


def test_each_waveform_may_have_a_band_of_its_own():
    x = tone(1000).repeat(2, 1)
    y = band_mask(x, torch.tensor([500.0, 1500.0]), 3000)
    assert torch.allclose(y[0], x[0], atol=1e-6)
    assert y[1].abs().max() < 1e-6


@pytest.mark.parametrize("hertz", [150, 300, 1000, 3000, 5000])
def test_a_butterworth_response_is_that_of_the_analog_filters(hertz):
    """Low and high pass of order 3; SciPy's, in series."""
    gain = 1.0
    for corner, kind in ((300, "high"), (3000, "low")):
        b, a = butter(3, 2 * pi * corner, kind, analog=True)
        s = 2j * pi * hertz
        gain *= abs(sum(c * s**k for k, c in enumerate(b[::-1])) / sum(c * s**k for k, c in enumerate(a[::-1])))
    x = tone(hertz, 32_000)
    y = butterworth(x, 300, 3000, order=3)
    inner = slice(8000, 24_000)
    assert y[0, inner].std().item() / x[0, inner].std().item() == pytest.approx(gain, rel=0.01)


def test_a_butterworth_filter_does_not_delay_nor_wrap():
    click = torch.zeros(1, T)
    click[0, 2000] = 1
    assert butterworth(click, 100, 7000, 4).abs().argmax() == 2000
    end = torch.zeros(1, T)
    end[0, -1] = 1
    assert butterworth(end, 100, 7000, 4)[0, : T // 2].abs().max() < 1e-3
    assert torch.isfinite(butterworth(waves(1, T), 0, 8000, 20)).all()


# The rest


def test_a_lower_rate_keeps_low_tones_and_drops_high_ones():
    inner = slice(500, -500)
    low, high = heard("resample", Resample(), tone(1000)), heard("resample", Resample(), tone(5000))
    assert torch.allclose(low[:, inner], tone(1000)[:, inner], atol=0.01)
    assert high[:, inner].abs().max() < 0.01
    assert heard("resample", Resample(rate=7900), waves(1, 997)).shape == (1, 997)


def test_mu_law_has_so_many_levels_evenly_on_its_scale():
    x = torch.linspace(-1, 1, 20_001)
    levels = mu_law(x, 4).unique()
    assert len(levels) == 2**4 - 1
    scale = torch.log1p(15 * levels.abs()) * levels.sign() / torch.log1p(torch.tensor(15.0))
    assert torch.allclose(scale.diff(), torch.tensor(1 / 7), atol=1e-5)
    assert torch.allclose(mu_law(levels, 4), levels, atol=1e-6)
    assert mu_law(torch.zeros(1), 8) == 0


def test_eight_bits_of_mu_law_keep_some_38_db():
    """The known figure of companding for signals over a wide range of levels (Jayant & Noll 1984)."""
    for size in (0.3, 0.03):
        x = waves(1, T, size=size)
        snr = 10 * log10((x.square().sum() / (mu_law(x, 8) - x).square().sum()).item())
        assert snr == pytest.approx(38 if size > 0.1 else 35, abs=2)


def test_the_codec_has_the_gradient_of_the_identity():
    x = waves(2, 50).requires_grad_()
    weights = waves(2, 50, seed=1)
    (g,) = torch.autograd.grad((weights * heard("codec", Codec(), x)).sum(), x)
    assert torch.equal(g, weights)
    assert torch.allclose(heard("codec", Codec(), x), mu_law(x.detach(), 8), atol=1e-7)


def test_gains_keep_to_their_range_and_reach_both_ends():
    gains = device.draw_gain(Gain(least=-10, most=2), streams(400), "judge/0", torch.arange(400), torch.empty(400, 1))
    assert -10 <= gains.min() < -9.9
    assert 1.9 < gains.max() <= 2
    y = heard("gain", Gain(least=-20, most=-20), tone(500))
    assert torch.allclose(y, tone(500) / 10)


def test_clipping_cuts_off():
    assert heard("clip", Clip(level=0.2), tone(500)).abs().max() == pytest.approx(0.2)


def test_an_offset_moves_the_clip_and_lets_silence_in():
    x = waves(200, 400)
    params = Offset(most=0.005)
    later = device.offset.draw(params, streams(200), "craft/0/0", torch.arange(200), x)
    assert -80 <= later.min() < -75
    assert 75 < later.max() <= 80
    for row, moved, by in zip(x, device.shifted(params, x, later), later.tolist(), strict=True):
        assert torch.equal(moved[max(by, 0) : 400 + min(by, 0)], row[max(-by, 0) : 400 - max(by, 0)])
        assert not moved[: max(by, 0)].any()
        assert not moved[400 + min(by, 0) :].any()


def test_an_offset_that_leaves_nothing_is_refused():
    with pytest.raises(ValueError, match=r"offset of up to 0\.05 s leaves nothing of a clip of 0\.05 s"):
        heard("offset", Offset(), waves(1, 800))


@pytest.mark.parametrize(
    ("params", "fields", "message"),
    [
        (Band, {"low": 4000, "high": 1000}, "low must stay below high"),
        (Band, {"low": 900, "high": 1000, "spread": 0.2}, "also with the spread"),
        (Band, {"high": 9000}, "less than or equal to 8000"),
        (Gain, {"least": 3, "most": -3}, "least must not be above most"),
        (Resample, {"rate": 7919}, "multiple of 100"),
        (Resample, {"rate": 44_100}, "less than or equal to 16000"),
    ],
)
def test_what_can_not_be_is_refused(params, fields, message):
    with pytest.raises(ValidationError, match=message):
        params(**fields)
