"""Words spoken into a carrier: the baseline that any hidden command must beat."""

import torch
from torch import Tensor

from raygrid.attacks.catalog_audio import SAID, Words
from raygrid.channels.recordings import pinned
from raygrid.channels.sound import RATE
from raygrid.constraints import Constraint
from raygrid.goals import Goal
from raygrid.oracle import Oracle
from raygrid.randomness import Randomness
from raygrid.sample_errors import SampleError


def spoken(
    oracle: Oracle,
    goal: Goal,
    x: Tensor,
    constraint: Constraint,
    randomness: Randomness,
    *,
    words: Words,
    snr_db: float,
) -> Tensor:
    """Mix a recording of the words into the middle of each carrier.

    Args:
        oracle: the victim, which is not asked.
        goal: what to reach.
        x: carriers [N, T] in the box, at 16 kHz.
        constraint: the box; other limits are this attack's own.
        randomness: not used.
        words: what is said.
        snr_db: power of the carrier over that of the recording, over the whole clip, in dB.

    Returns:
        [N, T].

    Raises:
        SampleError: a carrier is silent, or shorter than the recording.
        UsageError: the recording can't be fetched.
        ValueError: x holds no waveforms.
    """
    if x.ndim != 2:
        raise ValueError(f"words are spoken into waveforms [N, T], one voice each, not {list(x.shape)}")
    attacked = oracle.active(queries=0)
    voice, length = pinned(SAID[words]).to(x), x.shape[1]
    if len(voice) > length:
        raise SampleError(
            f'the carrier of {length / RATE:.2f} s is shorter than the recording of "{words}", {len(voice) / RATE:.2f} s',
            attacked.tolist(),
        )
    loudness = torch.linalg.vector_norm(x, dim=1, keepdim=True)
    if silent := attacked[loudness[attacked, 0] == 0].tolist():
        raise SampleError("the carrier is silent, and nothing can be so much softer", silent)
    before = (length - len(voice)) // 2
    unit = torch.nn.functional.pad(voice / torch.linalg.vector_norm(voice), (before, length - len(voice) - before))
    z = x.clone()
    z[attacked] = (x + loudness * 10 ** (-snr_db / 20) * unit)[attacked].clamp(*constraint.box)
    return z
