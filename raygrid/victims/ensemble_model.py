"""The network of an ensemble: its members side by side, and the mean of what they say."""

import math

import torch
from torch import Tensor, nn

from raygrid.component import resolve
from raygrid.ensemble import Ensemble
from raygrid.victims.info import VictimInfo
from raygrid.victims.victim import Victim

SURE = 50.0
"""Logits by which the answer of a member that tells no more stands above all others: these are then nothing to a softmax in
float32, and finite."""


class Together(nn.Module):
    """Victims that answer together: pixels [B, C, H, W] in [0, 1] in, logarithms of their mean probabilities [B, classes] out.

    The probabilities of a member are the softmax of its logits; one that tells its decisions alone is sure of them.
    """

    undivided = "it is an ensemble, and its members have layers of their own"
    """Why it can't be cut into layers."""

    def __init__(self, members: list[Victim]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.scales = [SURE if member.info.access == "decision" else 1.0 for member in members]

    @property
    def victims(self) -> list[Victim]:
        """The members."""
        return [member for member in self.members if isinstance(member, Victim)]

    def forward(self, x: Tensor) -> Tensor:
        """Return log (1/n sum p_i) [B, classes], where p_i are the probabilities of one of n members."""
        logits = [scale * member(x) for scale, member in zip(self.scales, self.members, strict=True)]
        return torch.stack(logits).log_softmax(2).logsumexp(0) - math.log(len(logits))


def build(params: Ensemble, info: VictimInfo) -> Victim:
    """Build the members, each with its own normalization.

    Raises:
        UsageError: the weights or the code of one can't be loaded.
    """
    facts = zip(params.members, info.members, strict=True)
    return Victim(Together([resolve(member.build)(member.params, its) for member, its in facts]), info)
