"""What of its answers a victim tells: fewer scores, rounded ones, others, or labels. The label stays what it was."""

import math

import torch
from torch import Tensor

from raygrid.defenses.bpda import as_if_identity
from raygrid.defenses.catalog_output import OutputPolicy
from raygrid.defenses.defended import Defended, answer, soft_answer, some_draws
from raygrid.randomness import Draws
from raygrid.victims.victim import Victim

UNTOLD = 1e-6
"""Probability that stands, for all other classes together, beside a label of which nothing else is told: none may be log 0."""
LEAST = 0.25
"""What stands for a probability that was rounded to 0, in steps of the rounding: the mean of what becomes 0."""
LEAD = 1e-3
"""What the label has over classes that were rounded to the same probability, likewise; a service that rounds names its label."""


class Discreet(Defended):
    """A victim that tells less. Its outputs are logarithms of the probabilities that it tells, or are inferred from these.

    A gradient passes temperature and the choice of the top classes; rounding and labels have that of the identity.
    """

    def __init__(self, params: OutputPolicy, victim: Victim) -> None:
        super().__init__(victim)
        self.params = params

    def forward(self, x: Tensor, draws: Draws | None = None) -> Tensor:
        """Return the logits [B, classes] of pixels [B, C, H, W] as they are told."""
        return self._told(answer(self.victim, x, draws or some_draws(len(x))))

    def soft(self, x: Tensor, draws: Draws | None = None) -> Tensor:
        """Return the same, with gradients."""
        return self._told(soft_answer(self.victim, x, draws or some_draws(len(x))))

    def _told(self, logits: Tensor) -> Tensor:
        p = self.params
        if p.label_only:
            return as_if_identity(logits, labels(logits.detach()))
        logits = logits if p.temperature == 1 else logits / p.temperature
        logits = logits if p.top is None else top(logits, p.top)
        return logits if p.step is None else as_if_identity(logits, rounded(logits.detach(), p.step))


def labels(logits: Tensor) -> Tensor:
    """Return log-probabilities [B, classes] that tell the largest of the logits [B, classes] and nothing of the others."""
    told = torch.full_like(logits, math.log(UNTOLD / max(1, logits.shape[1] - 1)))
    return told.scatter(1, logits.argmax(1, keepdim=True), math.log1p(-UNTOLD))


def top(logits: Tensor, count: int) -> Tensor:
    """Return log-probabilities [B, classes] of the `count` largest of the logits [B, classes], and the mean of the others."""
    if count >= logits.shape[1]:
        return logits
    logp = logits.log_softmax(1)
    told = torch.zeros_like(logits, dtype=torch.bool).scatter(1, _largest(logits, count), True)
    others = logp.masked_fill(told, float("-inf")).logsumexp(1, keepdim=True) - math.log(logits.shape[1] - count)
    least = logp.masked_fill(~told, float("inf")).amin(1, keepdim=True)
    return torch.where(told, logp, others.minimum(least))  # a mean is never above the least, but for rounding


def _largest(logits: Tensor, count: int) -> Tensor:
    """Return the classes [B, count] of the largest logits; of equal ones the first, as `argmax` has it."""
    return logits.sort(dim=1, descending=True, stable=True).indices[:, :count]


def rounded(logits: Tensor, step: float) -> Tensor:
    """Return logarithms [B, classes] of the probabilities of logits [B, classes], rounded to multiples of a step."""
    told = (logits.softmax(1) / step).round()
    told = told.clamp_min(LEAST)
    lead = torch.zeros_like(told).scatter(1, logits.argmax(1, keepdim=True), LEAD)
    return ((told + lead) * step).log()
