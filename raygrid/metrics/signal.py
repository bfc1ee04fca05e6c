"""How loud a perturbation is beside the sound it is added to: power ratios, peak, level, loudness. Waveform by waveform."""

import torch
from torch import Tensor

BLOCK = 0.4
"""Seconds of the blocks of BS.1770, and so the shortest clip that has a loudness."""


def snr_db(z: Tensor, x: Tensor) -> Tensor:
    """Return 10 log10 of the power of x over that of z - x, [B] in dB and float64, for waveforms [B, T].

    Infinite where nothing differs, minus infinity where x alone is silent, NaN where both.
    """
    x = x.double()
    return _ratio_db(x.square().sum(1), (z.double() - x).square().sum(1))


def band_snr_db(z: Tensor, x: Tensor, rate: int, low: float, high: float) -> Tensor:
    """Return the same of what of both lies between two frequencies, both included.

    Args:
        z: examples [B, T].
        x: clean waveforms [B, T].
        rate: samples a second.
        low: Hz.
        high: Hz, above low and at most half the rate.

    Raises:
        ValueError: there is no such band.
    """
    x = x.double()
    return _ratio_db(_band_power(x, rate, low, high), _band_power(z.double() - x, rate, low, high))


def outside_share(x: Tensor, rate: int, low: float, high: float) -> Tensor:
    """Return the share of the energy of waveforms x [B, T] outside of [low, high] Hz, [B] in float64; 0 for silence."""
    x = x.double()
    inside, total = _band_power(x, rate, low, high), _band_power(x, rate, 0, rate / 2)
    share: Tensor = torch.where(total > 0, (total - inside).clamp_min(0) / torch.where(total > 0, total, 1), 0)
    return share


def _band_power(x: Tensor, rate: int, low: float, high: float) -> Tensor:
    if not 0 <= low < high <= rate / 2:
        raise ValueError(f"a band of a waveform at {rate} Hz lies in [0, {rate / 2:g}] Hz, not [{low:g}, {high:g}]")
    power = torch.fft.rfft(x).abs().square()
    # All frequencies but 0 and half the rate stand for themselves and their negative.
    power[:, 1 : (x.shape[1] + 1) // 2] *= 2
    f = torch.fft.rfftfreq(x.shape[1], 1 / rate, device=x.device, dtype=x.dtype)
    inside: Tensor = power[:, (f >= low) & (f <= high)].sum(1)
    return inside


def _ratio_db(signal: Tensor, noise: Tensor) -> Tensor:
    db: Tensor = 10 * torch.log10(signal / noise)
    return db


def peak(x: Tensor) -> Tensor:
    """Return the largest magnitude [B] of waveforms [B, T]."""
    return x.abs().amax(1)


def level_db(x: Tensor) -> Tensor:
    """Return the root mean square [B] of waveforms [B, T] in dB below full scale 1, in float64; minus infinity for silence."""
    return 10 * torch.log10(x.double().square().mean(1))


def peak_db(z: Tensor, x: Tensor) -> Tensor:
    """Return 20 log10 of the largest magnitude of z - x over that of x, [B] in dB and float64: dB_x(δ) of Carlini & Wagner (2018).

    Minus infinity where nothing differs, infinite where x alone is silent, NaN where both.
    """
    x = x.double()
    return 20 * torch.log10(peak(z.double() - x) / peak(x))


def loudness(x: Tensor, rate: int) -> Tensor | None:
    """Return the integrated loudness [B] of waveforms [B, T] in LUFS (ITU-R BS.1770-4), one channel each.

    None for clips shorter than a block; minus infinity where no block is above the gate of -70 LUFS.
    """
    from torchaudio.functional import loudness as integrated

    if x.shape[1] < round(BLOCK * rate):
        return None
    lufs: Tensor = integrated(x[:, None].float().cpu(), rate)
    return lufs.to(x.device).nan_to_num(nan=-torch.inf)
