"""The network of an ensemble: its members side by side, and the mean of what they say, or all of it."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from raygrid.component import resolve
from raygrid.ensemble import Ensemble
from raygrid.victims.info import VictimInfo
from raygrid.victims.victim import Victim

SURE = 50.0
"""Logits by which the answer of a member that tells no more stands above all others: these are then nothing to a softmax in
float32, and finite."""


class Several(nn.Module):
    """Victims side by side."""

    undivided = "it is an ensemble, and its members have layers of their own"
    """Why it can't be cut into layers."""

    def __init__(self, members: list[Victim]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    @property
    def victims(self) -> list[Victim]:
        """The members."""
        return [member for member in self.members if isinstance(member, Victim)]

    def forward(self, x: Tensor) -> Tensor:
        """Return what they say together of pixels [B, C, H, W]."""
        return self.joined([member(x) for member in self.members])

    def joined(self, outputs: Sequence[Tensor]) -> Tensor:
        """Return what members that give these outputs [B, ...] say together."""
        raise NotImplementedError(f"{type(self).__name__} does not say what its members are together")


class Together(Several):
    """Classifiers that answer together: pixels [B, C, H, W] in [0, 1] in, logarithms of their mean probabilities [B, classes] out.

    The probabilities of a member are the softmax of its logits; one that tells its decisions alone is sure of them.
    """

    def __init__(self, members: list[Victim]) -> None:
        super().__init__(members)
        self.scales = [SURE if member.info.access == "decision" else 1.0 for member in members]

    def joined(self, outputs: Sequence[Tensor]) -> Tensor:
        """Return log (1/n sum p_i) [B, classes], where p_i are the probabilities of one of n members."""
        logits = [scale * own for scale, own in zip(self.scales, outputs, strict=True)]
        return torch.stack(logits).log_softmax(2).logsumexp(0) - math.log(len(logits))


class SideBySide(Several):
    """Embedders that answer together: pixels [B, C, H, W] in [0, 1] in, their embeddings one after the other out [B, sum of D].

    Args:
        members: the embedders.
        equal: whether each embedding is brought to length 1, so that one counts as much as another.
    """

    def __init__(self, members: list[Victim], *, equal: bool) -> None:
        super().__init__(members)
        self.equal = equal

    def joined(self, outputs: Sequence[Tensor]) -> Tensor:
        """Return the embeddings [B, sum of D]."""
        return torch.cat([functional.normalize(own, dim=1) if self.equal else own for own in outputs], 1)


def build(params: Ensemble, info: VictimInfo) -> Victim:
    """Build the members, each with its own normalization.

    Raises:
        UsageError: the weights or the code of one can't be loaded.
    """
    facts = zip(params.members, info.members, strict=True)
    members = [resolve(member.build)(member.params, its) for member, its in facts]
    if info.task == "verification":
        return Victim(SideBySide(members, equal=params.rule == "mean"), info)
    return Victim(Together(members), info)
