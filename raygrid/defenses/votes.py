"""How several answers to one question become one."""

import math
from collections.abc import Callable
from typing import Literal

from torch import Tensor, nn

VoteName = Literal["majority", "mean"]


def _majority(logits: Tensor) -> Tensor:
    """Logarithms of the classes' shares of the votes, one vote more for all classes together, so that none is log 0."""
    copies, classes = logits.shape[1:]
    counts = nn.functional.one_hot(logits.argmax(2), classes).sum(1).to(logits)
    return ((counts + 1 / classes) / (copies + 1)).log()


def _mean(logits: Tensor) -> Tensor:
    """Logarithms of the mean probabilities."""
    return logits.log_softmax(2).logsumexp(1) - math.log(logits.shape[1])


VOTES: dict[VoteName, Callable[[Tensor], Tensor]] = {"majority": _majority, "mean": _mean}
"""Logits of every copy [B, copies, classes] -> of all together [B, classes]."""
