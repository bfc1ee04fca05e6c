"""The noise channel: what is heard besides the signal."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from scipy.fft import next_fast_len
from torch import Tensor

from raygrid.channels.catalog_audio import Kind, Noise
from raygrid.channels.recordings import pinned
from raygrid.channels.sound import RATE, Sound, user_of
from raygrid.randomness import Randomness

PARTS = {"craft": (0.0, 0.5), "validate": (0.5, 0.7), "judge": (0.7, 1.0)}
"""From where to where in a recording each hears it, as shares."""
PINK_FROM = 20.0
"""Hz below which pink noise is white: what a loudspeaker or an ear would miss anyway."""
LEAST_TAKE = 0.1
"""Seconds of a part of a recording below which there is nothing to take from."""


@dataclass(frozen=True)
class Noises:
    """The noise of B plays."""

    kind: Kind
    noise: Tensor
    """[B, T], each of root mean square 1."""
    db: Tensor
    """[B]: SNR, or level below 1."""


def draw_noise(params: Noise, randomness: Randomness, purpose: str, index: Tensor, like: Tensor) -> Noises:
    """Draw the noise for each waveform.

    Raises:
        ValueError: the purpose does not say whose play it is, or a recording is too short.
        UsageError: a recording is unknown or can't be fetched.
    """
    user = user_of(purpose)
    kind = params.judged if user == "judge" and params.judged else params.kind
    if kind in ("white", "pink"):
        noise = randomness.normal(f"{purpose}/noise", index, like)
        noise = pink(noise) if kind == "pink" else noise
    else:
        parts = [_part(pinned(name), user, name) for name in params.recordings]
        voices = params.voices if kind == "babble" else 1
        u = randomness.uniform(f"{purpose}/takes", index, torch.empty(len(index), 2, voices))
        noise = takes(parts, u[:, 0], u[:, 1], like.shape[1]).to(like).sum(1)
    u = randomness.uniform(f"{purpose}/snr", index, like.new_empty(len(index), 1))[:, 0]
    center = params.snr if params.level is None else params.level
    return Noises(kind, _unit(noise), center + params.spread * (2 * u - 1))


def _part(recording: Tensor, user: str, name: str) -> Tensor:
    """Return what one user hears of a recording [T]."""
    begin, end = (int(share * len(recording)) for share in PARTS[user])
    if end - begin < LEAST_TAKE * RATE:
        raise ValueError(f"recording {name}: {len(recording) / RATE:.2f} s are too short to be shared out")
    return recording[begin:end]


def pink(white: Tensor) -> Tensor:
    """Return noise [B, T] of power 1 / f above PINK_FROM, made of white noise [B, T] at 16 kHz."""
    length = white.shape[1]
    n = next_fast_len(length, real=True)
    f = torch.fft.rfftfreq(n, 1 / RATE, device=white.device, dtype=white.dtype).clamp_min(PINK_FROM)
    shaped: Tensor = torch.fft.irfft(torch.fft.rfft(white, n) / f.sqrt(), n)[:, :length]
    return shaped


def takes(recordings: Sequence[Tensor], which: Tensor, where: Tensor, length: int) -> Tensor:
    """Return stretches of recordings, each of root mean square 1.

    Args:
        recordings: waveforms [T_k] at 16 kHz; one that ends begins again.
        which: numbers in [0, 1) that choose among them, [B, V].
        where: numbers in [0, 1) that choose where each stretch begins, [B, V].
        length: samples of each.

    Returns:
        [B, V, length]. Silence stays silence.

    Raises:
        ValueError: no recordings, or an empty one.
    """
    if not recordings or not all(len(recording) for recording in recordings):
        raise ValueError("noise is taken from recordings that hold something")
    chosen = (which * len(recordings)).long().clamp_max(len(recordings) - 1)
    rows = []
    for k, u in zip(chosen.flatten().tolist(), where.flatten().tolist(), strict=True):
        recording = recordings[k]
        # A stretch that fits is not cut from the seam where the recording begins again.
        begin = int(u * max(1, len(recording) - length + 1))
        rows.append(recording[(begin + torch.arange(length)) % len(recording)])
    stretches = torch.stack(rows) if rows else recordings[0].new_empty(0, length)
    return _unit(stretches).view(*which.shape, length)


def add(params: Noise, x: Tensor, plays: Noises) -> Tensor:
    """Return x [B, T] with its noise, cut to [-1, 1].

    Raises:
        ValueError: a waveform is silent, and its noise is said relative to it.
    """
    strength = 10 ** (plays.db.to(x)[:, None] / 20)
    if params.level is not None:
        return added(x, plays.noise, strength)
    rms = _rms(x)
    if bool((rms == 0).any()):
        silent = (rms[:, 0] == 0).nonzero()[:, 0].tolist()
        raise ValueError(
            f"waveform {silent[0]} of the batch is silent, and noise {plays.db[silent[0]]:.0f} dB below silence is none: "
            'give "level" in place of "snr"'
        )
    return added(x, plays.noise, rms / strength)


def added(x: Tensor, noise: Tensor, rms: Tensor) -> Tensor:
    """Return x [..., T] plus noise [..., T] of root mean square 1 times rms [..., 1], cut to [-1, 1]."""
    return torch.addcmul(x, noise, rms).clamp(-1, 1)


def _unit(noise: Tensor) -> Tensor:
    """Return noise [..., T] scaled to root mean square 1; silence stays silence."""
    rms = _rms(noise)
    return noise / torch.where(rms > 0, rms, 1)


def _rms(x: Tensor) -> Tensor:
    rms: Tensor = torch.linalg.vector_norm(x, dim=-1, keepdim=True) / x.shape[-1] ** 0.5
    return rms


def told(params: Noise, plays: Noises) -> dict[str, list[Any]]:
    """Return the kind of noise, and its SNR or its level in dB; None for the other."""
    db = plays.db.tolist()
    nothing = [None] * len(db)
    relative = params.level is None
    return {
        "kind": [plays.kind] * len(db),
        "snr_db": db if relative else nothing,
        "level_db": nothing if relative else db,
    }


noise = Sound(draw_noise, add, told)
