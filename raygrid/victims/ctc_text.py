"""How texts become tokens of CTC (Graves et al. 2006) and back, whatever the tokens stand for. Imports no torch."""

from collections.abc import Callable, Iterable, Sequence
from itertools import groupby, pairwise

from raygrid.errors import UsageError

SILENT = str.maketrans({**dict.fromkeys('.,!?;:"“”', None), "-": " ", "’": "'"})
"""Punctuation that nobody speaks; a hyphen parts words."""


def spelled(text: str, boundary: int, word: Callable[[str], Iterable[int]]) -> list[int]:
    """Return the tokens of a text, with the boundary between words and none at the ends.

    Args:
        text: in any case.
        boundary: the token between words.
        word: returns the tokens of a word in lower case, or raises UsageError.

    Raises:
        UsageError: nothing to say, or a word that has no tokens.
    """
    words = [word(each) for each in text.lower().translate(SILENT).split()]
    if not words:
        raise UsageError(f"there is nothing to say in {text!r}; give words, such as `call nine one one`")
    return [token for tokens in words for token in (boundary, *tokens)][1:]


def greedy(frames: Iterable[int], blank: int) -> list[int]:
    """Return the tokens of a path, one a frame: repeats joined, then blanks dropped."""
    return [token for token, _ in groupby(frames) if token != blank]


def needed_frames(tokens: Sequence[int]) -> int:
    """Return how many frames CTC needs at least to write the tokens: one each, and a blank between two that are the same."""
    return len(tokens) + sum(first == second for first, second in pairwise(tokens))
