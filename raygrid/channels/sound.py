"""What every channel of sound is: it draws the parameters of a play, applies them, and tells them for a table of plays."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from torch import Tensor

from raygrid.component import Params
from raygrid.randomness import Randomness

RATE = 16_000
"""Samples a second of every waveform that passes a channel."""

P = TypeVar("P", bound=Params)
D = TypeVar("D")


@dataclass(frozen=True)
class Sound(Generic[P, D]):
    """A channel of sound. Called, it draws and applies: the signature of every channel, see registry.py."""

    draw: Callable[[P, Randomness, str, Tensor, Tensor], D]
    """(params, randomness, purpose, index [B], like [B, T]) -> what was drawn for a play of each of B waveforms. The same purpose
    gives the same play to the same sample, whatever else is in the batch."""
    apply: Callable[[P, Tensor, D], Tensor]
    """(params, x [B, T] in [-1, 1], plays) -> what is heard [B, T] in [-1, 1]. Differentiable in x."""
    told: Callable[[P, D], dict[str, list[Any]]]
    """(params, plays) -> a column of B values for everything that was drawn."""

    def __call__(self, params: P, x: Tensor, randomness: Randomness, purpose: str, index: Tensor) -> Tensor:
        """Let each waveform pass once.

        Args:
            params: of the channel.
            x: waveforms [B, T] in [-1, 1] at 16 kHz.
            randomness: the samples' streams.
            purpose: of this play; its first word says whose it is: `craft`, `validate` or `judge`.
            index: positions [B] of the waveforms' samples in `randomness`.

        Returns:
            What is heard [B, T] in [-1, 1]. Differentiable in x.

        Raises:
            ValueError: x holds no waveforms [B, T], or the channel can make nothing of them; the message says why.
        """
        if x.ndim != 2 or not x.shape[1]:
            raise ValueError(f"a channel of sound takes waveforms [B, T], one voice each, not {list(x.shape)}")
        return self.apply(params, x, self.draw(params, randomness, purpose, index, x))


def user_of(purpose: str) -> str:
    """Return the first word of a purpose: who looks.

    Raises:
        ValueError: it is none of `craft`, `validate`, `judge`, so that nobody knows which rooms are meant.
    """
    user = purpose.partition("/")[0]
    if user not in ("craft", "validate", "judge"):
        raise ValueError(f'the purpose of a play starts with "craft/", "validate/" or "judge/", not "{purpose}"')
    return user
