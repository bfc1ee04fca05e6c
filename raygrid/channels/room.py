"""The room channel: what a microphone hears of a loudspeaker elsewhere in a room.

Which rooms there are is `room_bank.py`'s business. Attacks look through training rooms, verdicts through others; the first word
of a play's purpose says which.
"""

from dataclasses import dataclass
from math import isnan
from typing import Any

import torch
from scipy.fft import next_fast_len
from torch import Tensor

from raygrid.channels.catalog_audio import Room
from raygrid.channels.room_bank import Bank, Split, bank
from raygrid.channels.sound import RATE, Sound, user_of
from raygrid.channels.spectrum import filtered
from raygrid.randomness import Randomness

BEFORE: dict[str, Split] = {"craft": "train", "validate": "validation"}
JUDGED: dict[str, Split] = {"rooms": "judge", "positions": "positions", "measured": "measured"}


@dataclass(frozen=True)
class Rooms:
    """In which room each of B waveforms is played."""

    bank: Bank
    number: Tensor
    """[B], positions in the bank."""


def split_of(params: Room, purpose: str) -> Split:
    """Return the rooms in which a play takes place.

    Raises:
        ValueError: the purpose does not say whose play it is.
    """
    user = user_of(purpose)
    return JUDGED[params.judged] if user == "judge" else BEFORE[user]


def draw_rooms(params: Room, randomness: Randomness, purpose: str, index: Tensor, like: Tensor) -> Rooms:
    """Draw a room for each waveform: every room of the split is as likely. Verdicts go through all rooms before any comes twice:
    play number d of a sample, of the purpose `judge/d`, is in the d-th room of the sample's own order."""
    rooms = bank(params, split_of(params, purpose))
    user, number, *part = (*purpose.split("/"), "")
    if user == "judge" and number.isdigit():
        order = randomness.uniform(
            "/".join(("judge/rooms", *part)), index, torch.empty(len(index), len(rooms))
        ).argsort(1)
        return Rooms(rooms, order[:, int(number) % len(rooms)])
    u = randomness.uniform(f"{purpose}/room", index, torch.empty(len(index), 1))[:, 0]
    return Rooms(rooms, (u * len(rooms)).long().clamp_max(len(rooms) - 1))


def play(params: Room, x: Tensor, plays: Rooms) -> Tensor:
    """Return x [B, T] as it is heard in the rooms.

    Raises:
        ValueError: a room's response is longer than the clip.
    """
    rooms, number, length = plays.bank, plays.number, x.shape[1]
    if too_long := (rooms.lengths[number] > length).nonzero()[:, 0].tolist():
        n = int(number[too_long[0]])
        raise ValueError(f"room {rooms.ids[n]}: {_longer(int(rooms.lengths[n]), length)}")
    y = reverberated(x, rooms.responses[number, :length].to(x), peak=params.peak)
    return y if params.peak else y.clamp(-1, 1)


def _longer(taps: int, length: int) -> str:
    return (
        f"an impulse response of {taps / RATE:.2f} s is longer than the clip of {length / RATE:.2f} s: "
        "play a longer clip, or in rooms of a shorter reverberation time"
    )


def told(params: Room, plays: Rooms) -> dict[str, list[Any]]:
    """Return the rooms: id, split, measured RT60 in seconds, distance in meters (None where nobody knows)."""
    rooms, numbers = plays.bank, plays.number.tolist()
    distances = rooms.distance[plays.number].tolist()
    return {
        "room_id": [rooms.ids[n] for n in numbers],
        "split": [rooms.split] * len(numbers),
        "rt60": rooms.rt60[plays.number].tolist(),
        "distance": [None if isnan(meters) else meters for meters in distances],
    }


room = Sound(draw_rooms, play, told)


def reverberated(x: Tensor, h: Tensor, *, peak: bool = True) -> Tensor:
    """Convolve waveforms with impulse responses, by one Fourier transform of each. Differentiable in x, and not in h.

    Args:
        x: waveforms [..., T]. Dimensions before the last are broadcast: x[:, None] against h [B, K, L] is transformed once for all
            K rooms of a sample.
        h: impulse responses [..., L], L at most T.
        peak: whether each result is scaled to the largest magnitude of its x, as Yakura & Sakuma (2019) do; the gradient knows.

    Returns:
        What is heard in the time of the clip [..., T]; what rings on after it is lost. Silence stays silence.

    Raises:
        ValueError: a response is empty, or longer than the clip.
    """
    length, taps = x.shape[-1], h.shape[-1]
    if not taps:
        raise ValueError("an impulse response is empty")
    if taps > length:
        raise ValueError(_longer(taps, length))
    n = next_fast_len(length + taps - 1, real=True)
    y = filtered(x, torch.fft.rfft(h, n), n)
    if not peak:
        return y
    loudest = _peak(y)
    return y * (_peak(x) / torch.where(loudest > 0, loudest, 1))


def _peak(x: Tensor) -> Tensor:
    """Return the largest magnitude [..., 1] of waveforms [..., T], whose gradient goes to one sample of each."""
    return x.gather(-1, x.detach().abs().argmax(-1, keepdim=True)).abs()
