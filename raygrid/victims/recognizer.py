"""A speech recognizer as a victim: waveforms in, log-probabilities of tokens a frame out (CTC, Graves et al. 2006)."""

from collections.abc import Iterable
from typing import Protocol

import torch
from torch import Tensor, nn

from raygrid.victims.info import VictimInfo
from raygrid.victims.listener import Listener


class Text(Protocol):
    """What a recognizer writes, and how words become it."""

    @property
    def tokens(self) -> tuple[str, ...]:
        """The tokens, in the order of the outputs."""

    @property
    def blank(self) -> int:
        """The token that means none."""

    def spell(self, text: str) -> list[int]:
        """Return the tokens of a text. Raises UsageError if it can't be said."""

    def read(self, frames: Iterable[int]) -> list[int]:
        """Return the tokens of a greedy path."""

    def written(self, tokens: Iterable[int]) -> str:
        """Return the tokens as one line."""

    def words(self, tokens: Iterable[int]) -> list[list[str]]:
        """Return the sounds or the letters of each word."""

    def phonemes(self, tokens: Iterable[int]) -> list[str] | None:
        """Return the sounds, whatever the words; None of letters."""


class Recognizer(Listener):
    """Waveforms [B, T] in [-1, 1], at `info.sample_rate`, to log-probabilities [B, frames, tokens]."""

    def __init__(self, model: nn.Module, info: VictimInfo, text: Text, shortest: int) -> None:
        super().__init__(model, info, shortest)
        self.text = text

    def paths(self, outputs: Tensor) -> list[list[int]]:
        """Return the tokens that each of the outputs [B, frames, tokens] says, read greedily."""
        return [self.text.read(path) for path in outputs.argmax(-1).tolist()]

    def transcribe(self, x: Tensor) -> list[str]:
        """Return what is heard in each waveform of x [B, T]."""
        with torch.no_grad():
            return [self.text.written(tokens) for tokens in self.paths(self(x))]
