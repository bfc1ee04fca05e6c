"""Natural-sounding additions: a few sounds out of a bank, and when, how high and how loud each is played beside what is heard."""

import math

import torch
from torch import Tensor

from raygrid.attacks.catalog_audio import Bank
from raygrid.attacks.placements import Placed, Search, search_placements
from raygrid.channels.natural_bank import Sounds, natural_sounds_of
from raygrid.constraints import Constraint
from raygrid.goals import Goal
from raygrid.oracle import Oracle
from raygrid.randomness import Randomness

SEARCHED = 3
"""Numbers of each sound that are searched: when, how high, how loud."""
SOFTER = 20.0
"""A sound is up to so many dB softer than all together may be."""
BELOW = 1e-5
"""Share by which the power stays below its limit, for the rounding of x + delta."""
TINY = 1e-30


def natural_sounds(
    oracle: Oracle,
    goal: Goal,
    x: Tensor,
    constraint: Constraint,
    randomness: Randomness,
    *,
    bank: Bank,
    sounds: int,
    pitch: float,
    snr_db: float,
    queries: int,
    explore: float,
    search: Search,
) -> Tensor:
    """Add sounds that anybody may hear and think nothing of, after Yakura, Akimoto & Sakuma (AAAI 2020).

    Theirs trains a GAN whose bird songs fool the victim wherever they are mixed in, at a fixed gain. Ours takes recordings as they
    are, and seeks which of them, when, how high and how loud, for each clip; see `search_placements`.

    Args:
        oracle: the victim, with score access, seen through the channel.
        goal: what to reach.
        x: clean waveforms [N, T] in [-1, 1] at 16 kHz.
        constraint: the range of sound.
        randomness: the clips' streams.
        bank: which sounds.
        sounds: how many are added at once, K.
        pitch: semitones by which a sound is higher or lower at most; played faster, it is shorter, too.
        snr_db: power of the clip over that of all that is added, in dB, at least.
        queries: looks, at most.
        explore: share of the steps that try any sounds at any time.
        search: how the best are refined.

    Returns:
        [N, T]: the clips with their best additions, or the first seen to succeed where that ends the search.

    Raises:
        ValueError: x holds no waveforms [N, T].
    """
    if x.ndim != 2:
        raise ValueError(f"natural sounds are added to waveforms [N, T], not {list(x.shape)}")
    found = natural_sounds_of(bank)
    most = x.square().mean(1, keepdim=True) * 10 ** (-snr_db / 10) * (1 - BELOW)

    def placed(numbers: Tensor) -> Placed:
        return Placed((numbers[:, :sounds] * len(found.names)).long(), numbers[:, sounds:].clone())

    def put(some: Placed, index: Tensor) -> Tensor:
        added = mixed(found, some, x.shape[1], pitch) * most[index].sqrt()
        power = added.square().mean(1, keepdim=True)
        return (x[index] + added * (most[index] / power.clamp_min(TINY)).sqrt().clamp_max(1.0)).clamp(*constraint.box)

    numbers = (1 + SEARCHED) * sounds
    return search_placements(
        oracle, goal, x, randomness, placed, numbers, put, queries=queries, explore=explore, search=search
    )


def mixed(found: Sounds, placed: Placed, length: int, pitch: float) -> Tensor:
    """Play K sounds in each of B clips.

    Args:
        found: the bank.
        placed: which [B, K], and at [B, 3 K]: when their middle comes, from the beginning of the clip to its end; how high, from
            `pitch` semitones lower to as many higher; how loud, from 20 dB softer to as loud as the clip's whole power allows.
        length: of the clips, T.
        pitch: semitones.

    Returns:
        [B, T], where a sound that fills the clip and is as loud as may be has a root mean square of 1.
    """
    when, high, loud = placed.at.chunk(SEARCHED, dim=1)
    which = placed.which.to(found.x.device)
    rate = 2 ** (pitch * (2 * high - 1) / 12)
    played = found.samples.to(rate)[which] / rate
    start = when * length - played / 2
    # What was recorded at (t - start) * rate is heard at t: between two samples on the straight line from one to the other.
    t = torch.arange(length, dtype=rate.dtype, device=rate.device)
    place = (t - start[..., None]) * rate[..., None]
    inside = (place >= 0) & (place < found.x.shape[1] - 1)
    left = place.clamp(0, found.x.shape[1] - 2).floor()
    recorded = found.x.to(rate)[which]
    first, second = (recorded.gather(2, left.long() + step) for step in (0, 1))
    heard = torch.lerp(first, second, (place - left).clamp(0, 1)) * inside
    # A short sound is as loud while it lasts as one that fills the clip, with its energy in a shorter time.
    gain = 10 ** (-SOFTER * (1 - loud) / 20) * (length / played).sqrt().clamp_max(math.sqrt(length / 1600))
    together: Tensor = (heard * gain[..., None]).sum(1)
    return together
