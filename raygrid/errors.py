"""The one class for a person's mistakes. Everything else that goes wrong is a bug or a fault, not a usage error."""

from collections.abc import Iterable
from difflib import get_close_matches


class UsageError(Exception):
    """A mistake a person can mend: what, where, what was expected. The CLI prints it once and exits with 2.

    Carries one or several messages, so that a job file's errors are all told at once.
    """

    def __init__(self, *messages: str) -> None:
        super().__init__("\n".join(messages))
        self.messages = messages


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """Return '; did you mean "x"?' for the nearest of the choices, or nothing when none is near."""
    near = get_close_matches(str(word), [str(c) for c in choices], n=1, cutoff=0.6)
    return f'; did you mean "{near[0]}"?' if near else ""
