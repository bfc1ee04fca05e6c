"""Channels of sound one after another, as one channel: how a chain plays. What planning knows of it is in `raygrid/chain.py`."""

from typing import Any

from torch import Tensor

from raygrid.chain import Chain
from raygrid.channels.sound import Sound
from raygrid.component import resolve
from raygrid.randomness import Randomness

Parts = tuple[tuple[str, Sound[Any, Any], Any], ...]
"""Name, channel and what it drew, of each part in turn."""


def draw_parts(params: Chain, randomness: Randomness, purpose: str, index: Tensor, like: Tensor) -> Parts:
    """Draw what each part needs; two of one kind draw numbers of their own.

    Raises:
        ValueError: a part is no channel of sound.
    """
    return tuple(
        (part.use, sound, sound.draw(part.params, randomness, f"{purpose}/part-{number}", index, like))
        for number, part in enumerate(params.parts)
        for sound in [_sound(part.use, part.build)]
    )


def _sound(name: str, build: str) -> Sound[Any, Any]:
    found = resolve(build)
    if not isinstance(found, Sound):
        raise ValueError(f'channel "{name}" is none of sound, and a chain takes no other')
    return found


def apply_parts(params: Chain, x: Tensor, plays: Parts) -> Tensor:
    """Return x [B, T] after all parts."""
    for part, (_, sound, drawn) in zip(params.parts, plays, strict=True):
        x = sound.apply(part.params, x, drawn)
    return x


def told(params: Chain, plays: Parts) -> dict[str, list[Any]]:
    """Return what each part tells, as `room.rt60`; of a kind that is there already, as `noise-2.snr_db`."""
    columns: dict[str, list[Any]] = {}
    for number, (part, (name, sound, drawn)) in enumerate(zip(params.parts, plays, strict=True)):
        before = sum(other.use == name for other in params.parts[:number])
        prefix = f"{name}-{before + 1}" if before else name
        columns |= {f"{prefix}.{key}": values for key, values in sound.told(part.params, drawn).items()}
    return columns


chained = Sound(draw_parts, apply_parts, told)
