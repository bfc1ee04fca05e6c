"""What loudspeakers, microphones and wires do to sound: band, rate, codec, gain, clipping, and when recording begins."""

from dataclasses import dataclass
from math import ceil, log1p
from typing import Any

import torch
from scipy.fft import next_fast_len
from torch import Tensor
from torch.nn.functional import pad

from raygrid.channels.catalog_audio import Band, Clip, Codec, Gain, Offset, Resample
from raygrid.channels.sound import RATE, Sound
from raygrid.channels.spectrum import filtered
from raygrid.component import Params
from raygrid.randomness import Randomness

RINGING = 0.1
"""Seconds of silence that a Butterworth response may ring into, so that a clip's end is not heard at its beginning."""


def _nothing(params: Params, randomness: Randomness, purpose: str, index: Tensor, like: Tensor) -> int:
    """Draw nothing, for so many waveforms."""
    return len(index)


# Band


@dataclass(frozen=True)
class Ends:
    """The band of B plays."""

    low: Tensor
    """[B], Hz."""
    high: Tensor
    """[B], Hz."""


def draw_band(params: Band, randomness: Randomness, purpose: str, index: Tensor, like: Tensor) -> Ends:
    """Draw both ends of each waveform's band."""
    u = 2 * randomness.uniform(f"{purpose}/band", index, like.new_empty(len(index), 2)) - 1
    factor = torch.exp(log1p(params.spread) * u)
    return Ends(params.low * factor[:, 0], (params.high * factor[:, 1]).clamp_max(RATE / 2))


def let_through(params: Band, x: Tensor, plays: Ends) -> Tensor:
    """Return x [B, T] filtered, cut to [-1, 1] where filtering raised a peak beyond."""
    y = (
        band_mask(x, plays.low, plays.high)
        if params.shape == "mask"
        else butterworth(x, plays.low, plays.high, params.order)
    )
    return y.clamp(-1, 1)


def band_mask(x: Tensor, low: Tensor | float, high: Tensor | float) -> Tensor:
    """Return x [B, T] without the frequencies outside of (low, high) Hz (Yakura & Sakuma 2019): of the whole clip, taken for one
    period. low and high are numbers, or [B]."""
    n = x.shape[-1]
    f = torch.fft.rfftfreq(n, 1 / RATE, device=x.device, dtype=x.dtype)
    passes = (f > _column(low, x)) & (f < _column(high, x))
    return filtered(x, passes.to(x), n)


def butterworth(x: Tensor, low: Tensor | float, high: Tensor | float, order: int) -> Tensor:
    """Return x [B, T] scaled at each frequency f as a Butterworth filter of the order does, and delayed at none.

    |H(f)|^2 = 1 / (1 + (low / f)^2n) / (1 + (f / high)^2n); low = 0 Hz lets all low frequencies pass.
    """
    length = x.shape[-1]
    n = next_fast_len(length + ceil(RINGING * RATE), real=True)
    f = torch.fft.rfftfreq(n, 1 / RATE, device=x.device, dtype=x.dtype)
    below = torch.where(_column(low, x) > 0, _column(low, x) / f.clamp_min(1e-9), 0).clamp_max(1e3)
    above = (f / _column(high, x)).clamp_max(1e3)
    gain = ((1 + below ** (2 * order)) * (1 + above ** (2 * order))).rsqrt()
    return filtered(x, gain, n)


def _column(hertz: Tensor | float, x: Tensor) -> Tensor:
    return torch.as_tensor(hertz, device=x.device, dtype=x.dtype).reshape(-1, 1)


def told_band(params: Band, plays: Ends) -> dict[str, list[Any]]:
    """Return both ends in Hz."""
    return {"low_hz": plays.low.tolist(), "high_hz": plays.high.tolist()}


band = Sound(draw_band, let_through, told_band)


# Rate


def resampled(params: Resample, x: Tensor, plays: int) -> Tensor:
    """Return x [B, T] after a detour by a lower rate, cut to [-1, 1]."""
    from torchaudio.functional import resample as at_rate

    if params.rate == RATE:
        return x
    length = x.shape[-1]
    y: Tensor = at_rate(at_rate(x, RATE, params.rate), params.rate, RATE)[..., :length]
    return pad(y, (0, length - y.shape[-1])).clamp(-1, 1)


def told_rate(params: Resample, plays: int) -> dict[str, list[Any]]:
    """Return the rate in Hz."""
    return {"rate": [params.rate] * plays}


resample = Sound(_nothing, resampled, told_rate)


# Codec


def coded(params: Codec, x: Tensor, plays: int) -> Tensor:
    """Return x [B, T] as decoded, with the gradient of the identity."""
    return x + (mu_law(x.detach(), params.bits) - x.detach())


def mu_law(x: Tensor, bits: int) -> Tensor:
    """Return x [..., T] in [-1, 1] rounded to 2^bits - 1 levels, symmetric about 0, that lie evenly on the scale of mu-law.

    F(x) = sign(x) ln(1 + mu |x|) / ln(1 + mu), with mu = 2^bits - 1.
    """
    mu, steps = 2**bits - 1, 2 ** (bits - 1) - 1
    y = torch.log1p(mu * x.abs().clamp_max(1)) / log1p(mu)
    decoded: Tensor = x.sign() * torch.expm1((y * steps).round() / steps * log1p(mu)) / mu
    return decoded


def told_codec(params: Codec, plays: int) -> dict[str, list[Any]]:
    """Return the bits of a value."""
    return {"bits": [params.bits] * plays}


codec = Sound(_nothing, coded, told_codec)


# Loudness


def draw_gain(params: Gain, randomness: Randomness, purpose: str, index: Tensor, like: Tensor) -> Tensor:
    """Draw the gain of each waveform [B], in dB."""
    u = randomness.uniform(f"{purpose}/gain", index, like.new_empty(len(index), 1))[:, 0]
    return params.least + (params.most - params.least) * u


def amplified(params: Gain, x: Tensor, plays: Tensor) -> Tensor:
    """Return x [B, T] louder or softer by so many dB, cut to [-1, 1]."""
    return (x * 10 ** (plays.to(x)[:, None] / 20)).clamp(-1, 1)


def told_gain(params: Gain, plays: Tensor) -> dict[str, list[Any]]:
    """Return the gain in dB."""
    return {"gain_db": plays.tolist()}


gain = Sound(draw_gain, amplified, told_gain)


def clipped(params: Clip, x: Tensor, plays: int) -> Tensor:
    """Return x [B, T] cut off beyond the level."""
    return x.clamp(-params.level, params.level)


def told_clip(params: Clip, plays: int) -> dict[str, list[Any]]:
    """Return the level."""
    return {"level": [params.level] * plays}


clip = Sound(_nothing, clipped, told_clip)


# When recording begins


def draw_offset(params: Offset, randomness: Randomness, purpose: str, index: Tensor, like: Tensor) -> Tensor:
    """Draw by how many samples each waveform comes later [B]; negative: earlier."""
    most = round(params.most * RATE)
    u = randomness.uniform(f"{purpose}/offset", index, torch.empty(len(index), 1))[:, 0]
    return (u * (2 * most + 1)).long().clamp_max(2 * most) - most


def shifted(params: Offset, x: Tensor, plays: Tensor) -> Tensor:
    """Return x [B, T] as many samples later, with silence at the open end.

    Raises:
        ValueError: nothing of the clip might be left.
    """
    length = x.shape[-1]
    if params.most * RATE >= length:
        raise ValueError(f"an offset of up to {params.most:g} s leaves nothing of a clip of {length / RATE:.2f} s")
    at = torch.arange(length, device=x.device) - plays.to(x.device)[:, None]
    return torch.where((at >= 0) & (at < length), x.gather(1, at.clamp(0, length - 1)), 0)


def told_offset(params: Offset, plays: Tensor) -> dict[str, list[Any]]:
    """Return how many seconds later."""
    return {"later_s": (plays.double() / RATE).tolist()}


offset = Sound(draw_offset, shifted, told_offset)
