"""What the English recognizers of torchaudio write, letters and a mark between words, and how words become it. Imports no torch."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from raygrid.errors import UsageError
from raygrid.victims.ctc_text import greedy, needed_frames, spelled

BLANK, BOUNDARY = "-", "|"
TOKENS = (BLANK, BOUNDARY, *"ETAONIHSRDLUMWCFGYPBVK'XJQZ")
"""As `get_labels()` of the bundles has them, in the order of the outputs."""
SHORTEST, HOP = 400, 320
"""Samples at 16 kHz that a frame hears before attention, and from one frame to the next."""


@dataclass(frozen=True)
class Characters:
    """Texts in letters, by CTC (Graves et al. 2006)."""

    tokens: tuple[str, ...] = TOKENS

    @property
    def blank(self) -> int:
        """The token of CTC that means none."""
        return self.tokens.index(BLANK)

    @property
    def boundary(self) -> int:
        """The token between words."""
        return self.tokens.index(BOUNDARY)

    def spell(self, text: str) -> list[int]:
        """Return the tokens of a text: its letters, with the boundary between words and none at the ends.

        Raises:
            UsageError: nothing to say, or signs that it does not write: digits, foreign letters or others.
        """
        return spelled(text, self.boundary, self._word)

    def read(self, frames: Iterable[int]) -> list[int]:
        """Return the tokens of a greedy path, one a frame: repeats joined, then blanks dropped."""
        return greedy(frames, self.blank)

    def samples(self, tokens: Sequence[int]) -> int:
        """Return the length of the shortest clip at 16 kHz that gives frames enough to write the tokens."""
        return SHORTEST + (needed_frames(tokens) - 1) * HOP

    def words(self, tokens: Iterable[int]) -> list[list[str]]:
        """Return the letters of each word; words without any are left out."""
        runs = groupby(tokens, lambda token: token == self.boundary)
        return [[self.tokens[token] for token in run] for is_boundary, run in runs if not is_boundary]

    def phonemes(self, tokens: Iterable[int]) -> None:
        """It writes letters."""
        return

    def written(self, tokens: Iterable[int]) -> str:
        """Return one line for tables: `CALL NINE`."""
        return " ".join("".join(word) for word in self.words(tokens))

    def _word(self, word: str) -> list[int]:
        letters = word.upper()
        if unknown := [letter for letter in letters if letter in (BLANK, BOUNDARY) or letter not in self.tokens]:
            advice = "; write numbers as words" if unknown[0].isdigit() else ""
            raise UsageError(f'"{word}" can\'t be said: the recognizer writes no {unknown[0].lower()!r}{advice}')
        return [self.tokens.index(letter) for letter in letters]


def characters() -> Characters:
    """Return the tokens, which all bundles share."""
    return Characters()
