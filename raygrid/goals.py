"""What fooling means for a sample: a differentiable loss and a success rule over a classifier's logits."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from raygrid.randomness import Randomness
from raygrid.spec import GoalName

LossName = Literal["ce", "margin"]


def _cross_entropy_gap(logits: Tensor, y: Tensor) -> Tensor:
    """z_y - log sum_{c != y} exp z_c: a strictly decreasing function of the cross-entropy, softplus(-gap).

    It has the cross-entropy's level sets and gradient directions, and does not saturate: float32 softmax rounds 1 - p_y to
    zero on confident victims, which masks the gradient of the textbook form.
    """
    others = logits.scatter(1, y[:, None], float("-inf"))
    return logits.gather(1, y[:, None]).squeeze(1) - others.logsumexp(1)


def _margin(logits: Tensor, y: Tensor) -> Tensor:
    """z_y - max_{c != y} z_c (Carlini & Wagner 2017)."""
    others = logits.scatter(1, y[:, None], float("-inf"))
    return logits.gather(1, y[:, None]).squeeze(1) - others.amax(1)


LOSSES: dict[LossName, Callable[[Tensor, Tensor], Tensor]] = {"ce": _cross_entropy_gap, "margin": _margin}
"""Each is high where the class y wins by far: an untargeted attack lowers it, a targeted one raises it for its target."""


@dataclass(frozen=True)
class Goal:
    """The goal of every sample of a shard."""

    name: GoalName
    labels: Tensor
    """True classes [N]."""
    targets: Tensor | None = None
    """Classes to reach [N]; None when untargeted."""
    rivals: Tensor | None = None
    """Classes [N] that an untargeted attack steers for; any other wrong answer is a success just as well."""

    def at(self, index: Tensor) -> "Goal":
        """Return the goal of the samples at the positions `index`."""
        targets, rivals = (None if classes is None else classes[index] for classes in (self.targets, self.rivals))
        return Goal(self.name, self.labels[index], targets, rivals)

    def rival(self, classes: Tensor) -> "Goal":
        """Return the goal with a loss that steers for these classes [N], z_y - z_rival, and with the same success."""
        return replace(self, rivals=classes)

    def loss(self, logits: Tensor, kind: LossName = "ce") -> Tensor:
        """Return the loss [B] of logits [B, C]; lower is closer to success."""
        if self.rivals is not None:
            own, other = (logits.gather(1, c[:, None]).squeeze(1) for c in (self.labels, self.rivals))
            return own - other
        if self.targets is None:
            return LOSSES[kind](logits, self.labels)
        return -LOSSES[kind](logits, self.targets)

    def margin(self, logits: Tensor) -> Tensor:
        """Return the logit gap [B] that still separates each sample from success; at most 0 where the goal is met."""
        if self.targets is None:
            return _margin(logits, self.labels)
        return -_margin(logits, self.targets)

    def met(self, logits: Tensor) -> Tensor:
        """Return [B] bool: the goal is met by logits that are known to be finite."""
        predicted = logits.argmax(1)
        return predicted != self.labels if self.targets is None else predicted == self.targets

    def success(self, logits: Tensor) -> Tensor:
        """Return [B] bool: the goal is met. Logits that are not finite never meet it."""
        return self.met(logits) & torch.isfinite(logits).all(1)

    @property
    def pointless(self) -> Tensor:
        """[N] bool: the target is the true class, so that there is nothing to fool."""
        return torch.zeros_like(self.labels, dtype=torch.bool) if self.targets is None else self.targets == self.labels


def make_goal(
    name: GoalName, labels: Tensor, classes: int, target: int | None = None, randomness: Randomness | None = None
) -> Goal:
    """Build the goal of a shard.

    Args:
        name: untargeted, targeted (every sample to `target`) or random-target (a class other than the true one, drawn by sample).
        labels: true classes [N].
        classes: number of classes.
        target: the class that `targeted` asks for.
        randomness: the samples' streams, for `random-target`.

    Raises:
        ValueError: the goal lacks what it needs, or the target is no class.
    """
    if name == "untargeted":
        return Goal(name, labels)
    if name == "targeted":
        if target is None or not 0 <= target < classes:
            raise ValueError(f"goal targeted needs a target in 0..{classes - 1}, not {target}")
        return Goal(name, labels, torch.full_like(labels, target))
    if randomness is None:
        raise ValueError("goal random-target needs the samples' randomness")
    offset = 1 + randomness.integers("random-target", classes - 1).to(labels)
    return Goal(name, labels, (labels + offset) % classes)
