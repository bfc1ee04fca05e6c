"""What hama's recognizer writes, and how words become it: tokens, the greedy reading of outputs, and goal texts in phonemes.

The tokens are those of hama's grapheme-to-phoneme model, then a mark between words and the blank of CTC (Graves et al. 2006). Words
are spelled out by that very model (`hama_g2p.py`), whose slips are part of it: it speaks "one" as "one". Imports no torch.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from pathlib import Path

from raygrid.assets import fetch_all
from raygrid.errors import UsageError
from raygrid.pins import ASSETS
from raygrid.victims.ctc_text import greedy, needed_frames, spelled
from raygrid.victims.hama_g2p import MOST_LETTERS, MOST_PHONEMES, Tensors, phonemes, read_g2p

BOUNDARY = "<wb>"
UNSAID = frozenset(("<pad>", "<sos>", "<eos>", "<unk>", " ", "%", ","))
"""Tokens that stand for no sound; a goal never asks for them."""


@dataclass(frozen=True)
class HamaText:
    """The tokens of the recognizer and the speller that knows them."""

    tokens: tuple[str, ...]
    letters: dict[str, int]
    """Places of the speller's letters."""
    speller: Tensors

    @property
    def blank(self) -> int:
        """The token of CTC that means none."""
        return len(self.tokens) - 1

    @property
    def boundary(self) -> int:
        """The token between words."""
        return self.tokens.index(BOUNDARY)

    def spell(self, text: str) -> list[int]:
        """Return the tokens of a text: the phonemes of its words, with the boundary between words and none at the ends.

        Raises:
            UsageError: nothing to say, or a word that can't be said: digits, foreign or other signs, too long a word.
        """
        return spelled(text, self.boundary, self._word)

    def read(self, frames: Iterable[int]) -> list[int]:
        """Return the tokens of a greedy path, one a frame: repeats joined, then blanks dropped."""
        return greedy(frames, self.blank)

    def samples(self, tokens: Sequence[int]) -> int:
        """Return the length of the shortest clip at 16 kHz that gives frames enough to write the tokens."""
        return (2 * needed_frames(tokens) - 2) * 160

    def words(self, tokens: Iterable[int]) -> list[list[str]]:
        """Return the phonemes of each word; words without any are left out."""
        runs = groupby(tokens, lambda token: token == self.boundary)
        return [[self.tokens[token] for token in run] for is_boundary, run in runs if not is_boundary]

    def phonemes(self, tokens: Iterable[int]) -> list[str]:
        """Return the phonemes, whatever the words."""
        return [phoneme for word in self.words(tokens) for phoneme in word]

    def written(self, tokens: Iterable[int]) -> str:
        """Return one line for tables: `k ɔ l | n aɪ n`."""
        return " | ".join(" ".join(word) for word in self.words(tokens))

    def _word(self, word: str) -> list[int]:
        if unknown := [
            letter for letter in word if letter not in self.letters or not (letter.isalpha() or letter == "'")
        ]:
            advice = "; write numbers as words" if unknown[0].isdigit() else ""
            raise UsageError(f"\"{word}\" can't be said: the recognizer's speller has no sign {unknown[0]!r}{advice}")
        if len(word) > MOST_LETTERS:
            raise UsageError(f'"{word[:20]}..." has {len(word)} letters; the speller takes {MOST_LETTERS}')
        found = phonemes([self.letters[letter] for letter in word], self.speller)
        if not found or len(found) == MOST_PHONEMES or UNSAID & {self.tokens[token] for token in found}:
            raise UsageError(
                f"the recognizer's speller can't say \"{word}\"; spell it as it sounds, or take another word"
            )
        return found


def frames(samples: int) -> int:
    """Return how many frames the recognizer gives for a clip of so many samples at 16 kHz: one every 20 ms, of the first 30 s."""
    return (min(samples // 160 + 1, 3000) + 1) // 2


@cache
def hama_text() -> HamaText:
    """Load the tokens and the speller out of the pinned package.

    Raises:
        UsageError: the package can't be fetched.
    """
    names = ("hama-vocabulary", "hama-g2p-encoder", "hama-g2p-decoder")
    vocabulary, encoder, decoder = fetch_all(ASSETS[name] for name in names)
    return read_text(vocabulary, encoder, decoder)


def read_text(vocabulary: Path, encoder: Path, decoder: Path) -> HamaText:
    """Read the three files."""
    lists = json.loads(vocabulary.read_text(encoding="utf-8"))
    letters = {letter: place for place, letter in enumerate(lists["encoder"])}
    return HamaText((*lists["decoder"], BOUNDARY, "<blank>"), letters, read_g2p(encoder, decoder))
