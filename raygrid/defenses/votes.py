"""How several answers to one question become one."""

import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from raygrid.component import Task
from raygrid.metrics.binomial import needed

VoteName = Literal["majority", "mean"]
NEVER = 50.0
"""Logits by which an answer stays below all others that is never given: nothing to a softmax in float32, and finite."""


def tally(logits: Tensor) -> Tensor:
    """Return the votes for each class [B, classes] among answers [B, copies, classes], as whole numbers."""
    given = logits.argmax(2)
    return given.new_zeros(len(logits), logits.shape[2]).scatter_(1, given, 1, reduce="add")


def shares(votes: Tensor, cast: Tensor | int) -> Tensor:
    """Return logarithms of the classes' shares of the votes [B, classes], of so many that were cast in all, in float32.

    There is one vote more for all classes together, so that none is log 0.
    """
    return votes.add(1 / votes.shape[1]).div_(cast + 1).log_()


def shares_or_none(votes: Tensor, alpha: float) -> Tensor:
    """Return the same with one column more, the last one: no answer [B, classes + 1].

    It leads where a two-sided test at the level alpha does not tell the first two classes' votes from a fair coin's (PREDICT of
    Cohen et al., ICML 2019), and stands for the share that the first would need among the votes of these two, less half a vote.
    """
    first_two = votes.topk(2).values.sum(1)
    least = torch.from_numpy(needed(first_two.cpu().numpy(), alpha)).to(votes.device)
    cast = votes.sum(1, keepdim=True)
    share = (least[:, None] - 0.5 + 1 / votes.shape[1]) / (cast + 1)
    return torch.cat([shares(votes, cast), share.log().float()], dim=1)


def never_none(logits: Tensor) -> Tensor:
    """Return logits [B, classes] with the column for no answer, which no gradient follows, below all others."""
    return torch.cat([logits, logits.detach().amin(1, keepdim=True) - NEVER], dim=1)


def _majority(logits: Tensor) -> Tensor:
    return shares(tally(logits), logits.shape[1]).to(logits)


def _mean(logits: Tensor) -> Tensor:
    """Logarithms of the mean probabilities."""
    return logits.log_softmax(2).logsumexp(1) - math.log(logits.shape[1])


def _mean_embedding(embeddings: Tensor) -> Tensor:
    return embeddings.mean(1)


VOTES: dict[VoteName, Callable[[Tensor], Tensor]] = {"majority": _majority, "mean": _mean}
"""Logits of every copy [B, copies, classes] -> of all together [B, classes]."""


def _mean_frames(logits: Tensor) -> Tensor:
    """Logarithms of the mean probabilities, frame by frame."""
    return logits.log_softmax(-1).logsumexp(1) - math.log(logits.shape[1])


def poll(vote: VoteName, task: Task) -> Callable[[Tensor], Tensor]:
    """Return what makes one answer [B, ...] of those of every copy [B, copies, ...]: of embeddings their mean, of what is heard in
    frames the mean of its probabilities."""
    others: dict[Task, Callable[[Tensor], Tensor]] = {"verification": _mean_embedding, "transcription": _mean_frames}
    return others.get(task, VOTES[vote])
