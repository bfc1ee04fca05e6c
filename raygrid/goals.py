"""What fooling means for a sample: a differentiable loss and a success rule over a classifier's logits."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from raygrid.randomness import Randomness
from raygrid.spec import TRANSCRIPTION_GOALS, VERIFICATION_GOALS, GoalName

LossName = Literal["ce", "margin", "dlr"]

TINY = 1e-12
"""Stands in for a spread of zero between logits in a quotient."""


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


def _dlr(logits: Tensor, y: Tensor) -> Tensor:
    """Difference of logits ratio (Croce & Hein, ICML 2020): the margin in units of the largest logit's lead over the third.

    It does not change when the logits are scaled. Of two classes, where there is no third, it is the margin.
    """
    return _margin(logits, y) / _spread(logits, 3)


def _spread(logits: Tensor, ranks: int) -> Tensor:
    """z_1 minus the mean of z_3 to z_ranks, logits in descending order; 1 where there are fewer than three."""
    largest = logits.topk(min(ranks, logits.shape[1]), dim=1).values
    if largest.shape[1] < 3:
        return torch.ones_like(largest[:, 0])
    return largest[:, 0] - largest[:, 2:].mean(1) + TINY


LOSSES: dict[LossName, Callable[[Tensor, Tensor], Tensor]] = {"ce": _cross_entropy_gap, "margin": _margin, "dlr": _dlr}
"""Each is high where the class y wins by far: an untargeted attack lowers it, a targeted one raises it for its target."""


def _cross_entropy_slope(logits: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    own = y[:, None]
    others = logits.scatter(1, own, float("-inf"))
    share = others.log_softmax(1)
    loss = logits.gather(1, own).squeeze(1) - (others.amax(1) - share.amax(1))
    return loss, share.exp_().neg_().scatter_(1, own, 1.0)


def _margin_slope(logits: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Rivals of equal logits share the slope."""
    others = logits.scatter(1, y[:, None], float("-inf"))
    most = others.amax(1, keepdim=True)
    first = (others == most).to(logits)
    slope = (first / -first.sum(1, keepdim=True)).scatter_(1, y[:, None], 1.0)
    return (logits.gather(1, y[:, None]) - most).squeeze(1), slope


SLOPES: dict[LossName, Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]] = {
    "ce": _cross_entropy_slope,
    "margin": _margin_slope,
}
"""Losses [B] with their gradients by the logits [B, C], in closed form: autograd takes longer by 0.5 % of a pass of mnist-cnn."""


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
        """Return the goal with a loss that steers for these classes [N], and with the same success.

        The loss is z_y - z_rival; `dlr` divides it by z_1 - (z_3 + z_4) / 2, which is the targeted form of Croce & Hein.
        """
        return replace(self, rivals=classes)

    def loss(self, logits: Tensor, kind: LossName = "ce") -> Tensor:
        """Return the loss [B] of logits [B, C]; lower is closer to success."""
        if self.rivals is not None:
            own, other = (logits.gather(1, c[:, None]).squeeze(1) for c in (self.labels, self.rivals))
            return (own - other) / _spread(logits, 4) if kind == "dlr" else own - other
        if self.targets is None:
            return LOSSES[kind](logits, self.labels)
        return -LOSSES[kind](logits, self.targets)

    def slope(self, logits: Tensor, kind: LossName = "ce") -> tuple[Tensor, Tensor]:
        """Return the loss [B] of logits [B, C], and its gradient by the logits [B, C]."""
        if self.rivals is not None and kind == "margin":
            own, other = self.labels[:, None], self.rivals[:, None]
            loss = logits.gather(1, own) - logits.gather(1, other)
            slope = torch.zeros_like(logits).scatter_(1, other, -1.0).scatter_add_(1, own, torch.ones_like(loss))
            return loss.squeeze(1), slope
        if self.rivals is None and kind in SLOPES:
            if self.targets is None:
                return SLOPES[kind](logits, self.labels)
            loss, slope = SLOPES[kind](logits, self.targets)
            return -loss, -slope
        with torch.enable_grad():
            at = logits.detach().requires_grad_(True)
            loss = self.loss(at, kind)
            return loss.detach(), torch.autograd.grad(loss.sum(), at)[0]

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
        name: untargeted, targeted (every sample to `target`), random-target (a class other than the true one, drawn by sample),
            impersonate (from no match to match), dodge (from match to no match), transcribe (from missed to heard) or garble (from
            understood to garbled).
        labels: true classes [N].
        classes: number of classes.
        target: the class that `targeted` asks for.
        randomness: the samples' streams, for `random-target`.

    Raises:
        ValueError: the goal lacks what it needs, or the target is no class.
    """
    if name == "untargeted":
        return Goal(name, labels)
    if name in VERIFICATION_GOALS:  # classes are no match and match, and the right answer is the same for all
        return Goal(name, torch.full_like(labels, int(name == "dodge")))
    if name in TRANSCRIPTION_GOALS:  # likewise: missed and heard, or garbled and understood
        return Goal(name, torch.full_like(labels, int(name == "garble")))
    if name == "targeted":
        if target is None or not 0 <= target < classes:
            raise ValueError(f"goal targeted needs a target in 0..{classes - 1}, not {target}")
        return Goal(name, labels, torch.full_like(labels, target))
    if randomness is None:
        raise ValueError("goal random-target needs the samples' randomness")
    offset = 1 + randomness.integers("random-target", classes - 1).to(labels)
    return Goal(name, labels, (labels + offset) % classes)
