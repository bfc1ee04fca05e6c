"""How far what is heard is from what was said: edits over the length of the reference (Levenshtein 1966, by rapidfuzz)."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from rapidfuzz.distance import Levenshtein


@dataclass(frozen=True)
class ErrorRate:
    """Edits that turn a reference into a hypothesis, and how long the reference is."""

    substitutions: int
    deletions: int
    insertions: int
    length: int
    """Tokens of the reference."""

    @property
    def edits(self) -> int:
        """The numerator."""
        return self.substitutions + self.deletions + self.insertions

    @property
    def rate(self) -> float | None:
        """Edits a token of the reference: 0 where nothing differs, above 1 where much was made up; None of an empty reference."""
        return self.edits / self.length if self.length else None

    def __add__(self, other: "ErrorRate") -> "ErrorRate":
        """Join utterances: the rate of a corpus is edits over tokens, not the mean of rates."""
        return ErrorRate(
            self.substitutions + other.substitutions,
            self.deletions + other.deletions,
            self.insertions + other.insertions,
            self.length + other.length,
        )


NOTHING = ErrorRate(0, 0, 0, 0)
"""Of no utterances: where a sum starts."""


def token_errors(reference: Sequence[str], hypothesis: Sequence[str]) -> ErrorRate:
    """Compare tokens: phonemes (PER), words (WER) or characters (CER)."""
    edits = Counter(edit.tag for edit in Levenshtein.editops(reference, hypothesis))
    return ErrorRate(edits["replace"], edits["delete"], edits["insert"], len(reference))


def plain(text: str) -> str:
    """Return a text as its words are spoken, so that recognizers which write case, punctuation and numbers compare with those which
    do not: lower case, letters and apostrophes only, numbers up to 99 as words (10: ten), longer ones digit by digit (911: nine one
    one)."""
    words = _WORD.findall(text.lower().replace("’", "'"))
    return " ".join(_number(word) if word.isdigit() else word for word in words)


def _number(digits: str) -> str:
    value = int(digits)
    if len(digits) > 2 or (len(digits) == 2 and value < 10):
        return " ".join(_SMALL[int(digit)] for digit in digits)
    if value < 20:
        return _SMALL[value]
    return " ".join([_TENS[value // 10 - 2]] + [_SMALL[value % 10]] * (value % 10 > 0))


_WORD = re.compile(r"[0-9]+|[^\W\d_]+(?:'[^\W\d_]+)*")
_SMALL = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"),
    *("eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")


def word_errors(reference: str, hypothesis: str) -> ErrorRate:
    """Compare the words (WER) of two texts, parted by white space; case and punctuation count, see `plain`."""
    return token_errors(reference.split(), hypothesis.split())


def character_errors(reference: str, hypothesis: str) -> ErrorRate:
    """Compare the characters (CER) of two texts; runs of white space count as one, and none at the ends."""
    return token_errors(" ".join(reference.split()), " ".join(hypothesis.split()))


def edit_distance(reference: Sequence[str], hypothesis: Sequence[str]) -> int:
    """Return the least number of substitutions, deletions and insertions between two runs of tokens."""
    return token_errors(reference, hypothesis).edits
