"""Power ratios, levels and loudness of waveforms, against their definitions."""

from math import inf, log10, pi

import pytest
import torch

from raygrid.metrics.signal import band_snr_db, level_db, loudness, outside_share, peak, peak_db, snr_db


def tone(hertz, size, rate=16_000, seconds=1.0):
    return (size * torch.sin(2 * pi * hertz * torch.arange(int(rate * seconds), dtype=torch.float64) / rate))[None]


def test_snr_is_ten_logs_of_the_ratio_of_powers():
    x, delta = tone(440, 0.5), tone(3000, 0.05)
    assert snr_db(x + delta, x).item() == pytest.approx(20)
    quiet = tone(3000, 1e-6)
    assert snr_db((x + quiet).float(), x.float()).item() == pytest.approx(20 * log10(0.5 / 1e-6), abs=0.1)


def test_snr_without_signal_or_noise():
    x, silence = tone(440, 0.5), torch.zeros(1, 16_000)
    assert snr_db(x, x).item() == inf
    assert snr_db(x, silence).item() == -inf
    assert snr_db(silence, silence).isnan()


def test_a_band_counts_what_lies_in_it():
    x = tone(500, 0.4) + tone(2000, 0.2)
    delta = tone(600, 0.3) + tone(2100, 0.02)
    assert band_snr_db(x + delta, x, 16_000, 1000, 4000).item() == pytest.approx(20)
    assert band_snr_db(x + delta, x, 16_000, 0, 1000).item() == pytest.approx(20 * log10(4 / 3))


@pytest.mark.parametrize("length", [15_999, 16_000])
def test_the_whole_band_is_the_whole_power(length):
    generator = torch.Generator().manual_seed(0)
    x, delta = (torch.randn(3, length, generator=generator) for _ in range(2))
    whole = band_snr_db(x + delta, x, 16_000, 0, 8000)
    assert torch.allclose(whole, snr_db(x + delta, x))


def test_a_band_that_is_none_is_refused():
    x = tone(440, 0.5)
    for low, high in ((4000, 1000), (0, 9000), (-1, 10)):
        with pytest.raises(ValueError, match=r"lies in \[0, 8000\] Hz"):
            band_snr_db(x, x, 16_000, low, high)


def test_the_share_outside_of_a_band():
    x = torch.cat([tone(2000, 0.3) + tone(5000, 0.1), torch.zeros(1, 16_000, dtype=torch.float64)])
    assert outside_share(x, 16_000, 1000, 4000).tolist() == pytest.approx([0.1, 0])


def test_a_peak_is_compared_with_that_of_the_clip():
    x, delta = tone(500, 0.5), tone(500, 0.05)
    assert peak_db(x + delta, x).item() == pytest.approx(-20, abs=1e-6)
    assert peak_db(x, x).item() == -inf and peak_db(x, 0 * x).item() == inf


def test_peak_and_level():
    x = torch.cat([tone(500, 0.25), torch.zeros(1, 16_000, dtype=torch.float64)])
    assert peak(x).tolist() == pytest.approx([0.25, 0])
    assert level_db(x)[0].item() == pytest.approx(20 * log10(0.25 / 2**0.5))
    assert level_db(x)[1].item() == -inf


@pytest.mark.parametrize("rate", [16_000, 48_000])
def test_a_full_scale_tone_of_997_hz_has_the_loudness_that_the_standard_says(rate):
    """BS.1770-4, annex 1: -3.01 LKFS in one front channel."""
    found = loudness(tone(997, 0.5, rate, 2).float(), rate)
    assert found is not None
    assert found.item() == pytest.approx(-3.01 + 20 * log10(0.5), abs=0.1)


def test_pauses_do_not_count_for_the_loudness():
    """Blocks more than 10 LU below the rest are gated: half a clip of silence costs 3 dB of level and little loudness."""
    sound = tone(997, 0.5, seconds=4).float()
    padded = torch.cat([sound, torch.zeros(1, 64_000)], dim=1)
    found, alone = loudness(padded, 16_000), loudness(sound, 16_000)
    assert found is not None
    assert alone is not None
    assert found.item() == pytest.approx(alone.item(), abs=0.5)
    assert level_db(sound).item() - level_db(padded).item() == pytest.approx(3.01, abs=0.01)


def test_loudness_of_each_waveform_alone_of_silence_and_of_what_is_too_short():
    both = torch.cat([tone(997, 0.5), torch.zeros(1, 16_000)]).float()
    found = loudness(both, 16_000)
    assert found is not None
    assert found[1] == -inf
    alone = loudness(both[:1], 16_000)
    assert alone is not None
    assert found[0] == alone[0]
    assert loudness(both[:, :6000], 16_000) is None
