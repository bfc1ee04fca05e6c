"""The noise channel: its strength and color, who hears which part of a recording, and that it belongs to its sample."""

import numpy as np
import pytest
import torch
from scipy.io import wavfile
from sounds import streams, waves

from raygrid.assets import Asset
from raygrid.channels import noise as module
from raygrid.channels import recordings
from raygrid.channels.catalog_audio import Noise
from raygrid.channels.noise import Noises, add, added, draw_noise, noise, takes, told
from raygrid.component import resolve
from raygrid.errors import UsageError
from raygrid.registry import find

T = 4000


@pytest.fixture
def ramp(tmp_path, monkeypatch):
    """A recording of 4 s whose values say where they are, in the place of the pinned one."""
    values = np.linspace(0.001, 1, 64_000).astype(np.float32)
    wavfile.write(tmp_path / "ramp.wav", 16_000, values)
    asset = Asset("ramp.wav", "pypi", "ramps", "1", "ramp.wav", "0" * 64, 1)
    monkeypatch.setattr(recordings, "ASSETS", {asset.name: asset})
    monkeypatch.setattr(recordings, "fetch", lambda asset: tmp_path / asset.name)
    recordings.pinned.cache_clear()
    yield torch.from_numpy(values)
    recordings.pinned.cache_clear()


def heard(params, x, purpose="craft/0/0", rows=None, seed=0):
    rows = list(range(len(x))) if rows is None else rows
    return noise(params, x[rows], streams(len(x), seed), purpose, torch.tensor(rows))


def drawn(params, samples=3, length=T, purpose="craft/0/0"):
    return draw_noise(params, streams(samples), purpose, torch.arange(samples), torch.empty(samples, length))


def octaves(values):
    """Power of 0.25-0.5, 0.5-1, 1-2, 2-4 and 4-8 kHz, in dB over that of the first."""
    power = torch.fft.rfft(values).abs().square().sum(0)
    f = torch.fft.rfftfreq(values.shape[1], 1 / 16_000)
    sums = torch.stack([power[(f >= low) & (f < 2 * low)].sum() for low in (250, 500, 1000, 2000, 4000)])
    return 10 * torch.log10(sums / sums[0])


@pytest.mark.parametrize("kind", ["white", "pink"])
def test_the_snr_is_that_of_the_powers(kind):
    x = waves(3, T, size=0.05)
    for snr in (5.0, 20.0, 40.0):
        delta = heard(Noise(kind=kind, snr=snr), x) - x
        ratio = 10 * torch.log10(x.square().mean(1) / delta.square().mean(1))
        assert torch.allclose(ratio, torch.tensor(snr), atol=0.02)


def test_an_absolute_level_does_not_ask_how_loud_the_signal_is():
    for x in (waves(2, T), torch.zeros(2, T)):
        delta = heard(Noise(level=-40), x) - x
        assert torch.allclose(20 * torch.log10(delta.square().mean(1).sqrt()), torch.tensor(-40.0), atol=0.02)


def test_silence_is_refused_where_noise_is_relative_to_it():
    x = waves(3, T)
    x[1] = 0
    with pytest.raises(ValueError, match=r'waveform 1 of the batch is silent.*give "level"'):
        heard(Noise(snr=20), x)


def test_the_spread_reaches_both_ends():
    plays = drawn(Noise(snr=20, spread=5), samples=300, length=8)
    assert 15 <= plays.db.min() < 15.3
    assert 24.7 < plays.db.max() <= 25


def test_octaves_of_white_noise_double_in_power_and_those_of_pink_noise_are_alike():
    white, pink = (octaves(drawn(Noise(kind=kind), 20, 16_000).noise) for kind in ("white", "pink"))
    assert torch.allclose(white, 3.01 * torch.arange(5.0), atol=0.2)
    assert torch.allclose(pink, torch.zeros(5), atol=0.2)


def test_what_is_heard_stays_in_the_box():
    loud = heard(Noise(snr=-20), waves(3, T, size=0.5))
    assert loud.abs().max() == 1


def test_the_judge_may_hear_another_kind():
    params = Noise(kind="white", judged="pink")
    assert [drawn(params, purpose=p).kind for p in ("craft/0/0", "validate/0", "judge/0")] == ["white", "white", "pink"]
    assert drawn(Noise(kind="pink"), purpose="judge/0").kind == "pink"
    with pytest.raises(ValueError, match="purpose of a play"):
        drawn(params, purpose="look")


# Recordings


@pytest.mark.parametrize("kind", ["recorded", "babble"])
def test_each_hears_its_own_part_of_a_recording(ramp, monkeypatch, kind):
    seen = {}

    def noted(parts, which, where, length):
        seen[user] = parts
        return takes(parts, which, where, length)

    monkeypatch.setattr(module, "takes", noted)
    params = Noise(kind=kind, recordings=("ramp.wav",))
    for user in ("craft", "validate", "judge"):
        assert drawn(params, purpose=f"{user}/0").noise.shape == (3, T)
    parts = [set(seen[user][0].tolist()) for user in ("craft", "validate", "judge")]
    assert [len(part) for part in parts] == [32_000, 12_800, 19_200]
    assert not (parts[0] & parts[1] or parts[0] & parts[2] or parts[1] & parts[2])


def test_a_stretch_is_part_of_its_recording_at_root_mean_square_1():
    recording = torch.arange(1.0, 101)
    (stretch,) = takes([recording], torch.tensor([[0.3]]), torch.tensor([[0.5]]), 10)[0]
    assert stretch.square().mean().item() == pytest.approx(1)
    begin = int(0.5 * 91)
    expected = recording[begin : begin + 10]
    assert torch.allclose(stretch / stretch[0], expected / expected[0])
    (again,) = takes([recording], torch.tensor([[0.0]]), torch.tensor([[0.0]]), 250)[0]
    assert torch.equal(again[:100], again[100:200])
    assert not takes([torch.zeros(50)], torch.tensor([[0.0]]), torch.tensor([[0.0]]), 10).any()
    for nothing in ([], [torch.zeros(0)]):
        with pytest.raises(ValueError, match="recordings that hold something"):
            takes(nothing, torch.tensor([[0.0]]), torch.tensor([[0.0]]), 10)


def test_babble_is_several_voices_at_once(ramp):
    one = drawn(Noise(kind="recorded", recordings=("ramp.wav",)), 20).noise
    many = drawn(Noise(kind="babble", recordings=("ramp.wav",), voices=50), 20).noise
    assert one.std(0).mean() > 3 * many.std(0).mean()


def test_a_recording_too_short_to_share_out_and_one_that_is_unknown_are_told(ramp, monkeypatch):
    with pytest.raises(UsageError, match=r'unknown recording "rmp\.wav"; did you mean "ramp\.wav"'):
        drawn(Noise(kind="recorded", recordings=("rmp.wav",)))
    monkeypatch.setattr(module, "pinned", lambda name: torch.ones(2400))
    with pytest.raises(ValueError, match=r"recording ramp.wav: 0\.15 s are too short"):
        drawn(Noise(kind="recorded", recordings=("ramp.wav",)))


# The contract


def test_the_entry_builds_the_channel():
    assert resolve(find("channel", "noise").build) is noise


@pytest.mark.parametrize("kind", ["white", "pink", "babble", "recorded"])
def test_noise_belongs_to_its_sample_whatever_the_batch_and_the_order(ramp, kind):
    x, params = waves(5, T), Noise(kind=kind, recordings=("ramp.wav",), spread=3)
    together = heard(params, x)
    for rows in ([4, 1], [2]):
        assert torch.allclose(heard(params, x, rows=rows), together[rows], atol=1e-6)


@pytest.mark.parametrize("kind", ["white", "pink", "babble", "recorded"])
def test_noises_of_plays_samples_and_seeds_differ(ramp, kind):
    x, params = waves(1, T).expand(3, -1), Noise(kind=kind, recordings=("ramp.wav",))
    plays = [heard(params, x), heard(params, x, "craft/0/1"), heard(params, x, seed=1)]
    assert len(torch.cat(plays).unique(dim=0)) == 9


@pytest.mark.parametrize("level", [None, -20])
def test_the_gradient_is_that_of_finite_differences(level):
    params = Noise(snr=10, level=level)
    assert torch.autograd.gradcheck(lambda x: heard(params, x), waves(2, 30).double().requires_grad_(), eps=1e-6)


def test_a_play_tells_its_noise():
    plays = Noises("pink", torch.zeros(2, 4), torch.tensor([10.0, 20.0]))
    assert told(Noise(), plays) == {"kind": ["pink"] * 2, "snr_db": [10, 20], "level_db": [None, None]}
    assert told(Noise(level=-30), plays)["level_db"] == [10, 20]


def test_a_search_may_say_the_strength_itself():
    x, plays = waves(2, T), drawn(Noise(), 2)
    assert torch.allclose((added(x, plays.noise, torch.tensor(0.01)) - x).square().mean(1).sqrt(), torch.tensor(0.01))
    assert torch.equal(added(x, plays.noise, torch.zeros(2, 1)), x)
    assert add(Noise(), x[:0], Noises("white", plays.noise[:0], plays.db[:0])).shape == (0, T)
