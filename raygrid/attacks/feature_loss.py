"""The loss of feature-space examples: what the search of single images and the training of a generator both go down."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from raygrid.goals import Goal
from raygrid.randomness import Randomness
from raygrid.sight import Sight


class Terms(NamedTuple):
    """The terms of the loss of some samples, before their weights; those that the attacker does without are 0. Each [b]."""

    hidden: Tensor
    """L_hidden = mean (g(z) - g(x))², g: the network up to the target layer."""
    wrong: Tensor
    """L_class = max(m(Z(z)), 0), Z: logits, m: the gap that still separates from the goal."""
    smooth: Tensor
    """L_smooth = max(m(mean_i softmax Z(z + s e_i)), 0)."""
    inside: Tensor
    """L_inside = max(m(mean_i softmax h(g(z) + σ e_i)), 0), h: the rest of the network, Z = h ∘ g."""
    success: Tensor
    """Whether the goal is met, bool."""

    @classmethod
    def joined(cls, parts: "Iterable[Terms]") -> "Terms":
        """Return the terms of all samples, given those of some after those of others."""
        return cls(*(torch.cat(column) for column in zip(*parts, strict=True)))


@dataclass(frozen=True)
class FeatureLoss:
    """L_hidden + lc L_class + ls L_smooth + lh L_inside (Ukita & Ohki, Neural Networks 167, 2023; the last term is ours).

    e_i are standard normal, other ones at every look. σ is hidden_sigma, times the mean |g(x)| of the sample under `mean`; behind a
    layer without negative values, noisy ones are kept at 0 or above.
    """

    target_layer: str
    aware: str
    """none, input, hidden or both: which of the terms with noise there are."""
    lc: float
    ls: float
    lh: float
    s: float
    """Deviation of the noise at the input, in input units; the source's 0.15 is of [-1, 1]."""
    hidden_sigma: float
    hidden_unit: str
    draws: int
    """Of each noise, N0."""

    @property
    def input_noise(self) -> bool:
        """Whether there is noise at the input."""
        return self.aware in ("input", "both")

    @property
    def hidden_noise(self) -> bool:
        """Whether there is noise in the layer."""
        return self.aware in ("hidden", "both")

    @property
    def passes(self) -> int:
        """Passes through the victim that a look takes."""
        return 2 + self.draws * (self.input_noise + self.hidden_noise)

    def terms(
        self, sight: Sight, z: Tensor, goal: Goal, clean: Tensor, randomness: Randomness, index: Tensor, look: int
    ) -> Terms:
        """Return the terms of the loss at z [b, C, H, W].

        Args:
            sight: the victim.
            z: where.
            goal: of these samples.
            clean: the layer's values for the originals, [b, ...].
            randomness: all samples' streams.
            index: which they are, [b].
            look: its number; each has noise of its own.

        Raises:
            UsageError: there is no such layer.
        """
        features, logits = sight.features(z, self.target_layer), sight.logits(z)
        hidden = (features - clean).square().flatten(1).mean(1)
        smooth = inside = torch.zeros_like(hidden)
        if self.input_noise:
            noisy = _copies(z, self.s, randomness, f"input/{look}", index, self.draws)
            smooth = _wrong(goal, sight.logits(noisy), self.draws)
        if self.hidden_noise:
            σ = self.hidden_sigma * (_mean_size(clean) if self.hidden_unit == "mean" else 1.0)
            noisy = _copies(features, σ, randomness, f"hidden/{look}", index, self.draws)
            inside = _wrong(goal, sight.resume(noisy, self.target_layer), self.draws)
        return Terms(hidden, goal.margin(logits).clamp_min(0), smooth, inside, goal.met(logits.detach()))

    def value(self, terms: Terms) -> Tensor:
        """Return the loss [b]."""
        return terms.hidden + self.lc * terms.wrong + self.ls * terms.smooth + self.lh * terms.inside


def _wrong(goal: Goal, logits: Tensor, draws: int) -> Tensor:
    """Return the hinge [b] of the gap between the mean probabilities of logits [b * draws, classes]."""
    return goal.margin(logits.softmax(1).view(-1, draws, logits.shape[1]).mean(1)).clamp_min(0)


def _copies(
    values: Tensor, σ: float | Tensor, randomness: Randomness, purpose: str, index: Tensor, draws: int
) -> Tensor:
    """Return values [b, ...] with noise of deviation σ: [b * draws, ...], the copies of a sample side by side."""
    many = values[:, None].expand(-1, draws, *values.shape[1:])
    return (many + σ * randomness.normal(purpose, index, many)).flatten(0, 1)


def _mean_size(values: Tensor) -> Tensor:
    """Return the mean size of each sample's values [b, ...], shaped to go with copies of them: [b, 1, 1...]."""
    return values.abs().flatten(1).mean(1).view(-1, *[1] * values.dim())
