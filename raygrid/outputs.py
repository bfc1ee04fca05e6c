"""What a model answers to samples: by draws, a batch at a time, and without those on which it fails."""

import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from raygrid.oracle import Channel
from raygrid.randomness import Randomness

TRACEBACK_FRAMES = -6
"""The innermost frames, where the cause stands."""


@dataclass(frozen=True)
class Outputs:
    """What a model said about samples."""

    logits: Tensor
    """[B, C] in float32, the mean over draws; NaN in the rows of samples on which the model failed."""
    errors: dict[int, str] = field(default_factory=dict)
    """Position -> traceback of the failure."""
    each: Tensor | None = None
    """[draws, B, C], where there was more than one."""
    alarms: "Outputs | None" = None
    """[B, 1] above 0 where a detecting defense raised the alarm; None where none looks, or nobody asked."""

    @property
    def draws(self) -> int:
        """How often each sample was shown to the model."""
        return 1 if self.each is None else len(self.each)

    def at(self, where: Sequence[int]) -> "Outputs":
        """Return what was said about the samples at these positions."""
        errors = {position: self.errors[i] for position, i in enumerate(where) if i in self.errors}
        return Outputs(self.logits[where], errors, None if self.each is None else self.each[:, where])

    def count(self, true: Callable[[Tensor], Tensor]) -> Tensor:
        """Return of how many draws something is true [B], of a function logits [B, C] -> [B] bool."""
        return torch.stack([true(logits) for logits in (self.logits[None] if self.each is None else self.each)]).sum(0)

    def often(self, true: Callable[[Tensor], Tensor], at_least: int | None = None) -> Tensor:
        """Return [B] bool: it is true of at least so many draws; None: of more than half."""
        return self.count(true) >= (self.draws // 2 + 1 if at_least is None else at_least)

    def detected(self, i: int) -> bool | None:
        """Return whether more than half of the draws of sample i raised the alarm; None where that is not known."""
        if self.alarms is None or self.alarms.why(i) is not None:
            return None
        return bool(self.alarms.often(lambda raised: raised[:, 0] > 0)[i])

    def why(self, i: int) -> str | None:
        """Return what is wrong with the outputs of sample i, or None."""
        if bool(torch.isfinite(self.logits[i]).all()):
            return None
        return self.errors.get(i, "the victim's outputs are not finite")


def looks_needed(broken_at: int | None, draws: int, looks: int) -> int | None:
    """Return how many of the looks at a sample must meet the goal, several at each draw, where `broken_at` of the draws must: as
    large a share; None: more than half, which more than half of the draws is, too."""
    return None if broken_at is None or broken_at == draws // 2 + 1 else broken_at * (looks // draws)


def run_model(
    model: Callable[[Tensor], Tensor],
    x: Tensor,
    classes: int,
    micro_batch: int | None = None,
    draws: int = 1,
    channel: Channel | None = None,
    numbers: Randomness | None = None,
    *,
    alarms: bool = False,
) -> Outputs:
    """Run a model on x [B, C, H, W], `micro_batch` samples at a time.

    A batch on which it raises is split until the samples it fails on stand alone; where memory is short, batches are halved.

    Args:
        model: pixels -> logits.
        x: inputs.
        classes: columns of the result where the model fails on every sample.
        micro_batch: samples in one pass; None: all.
        draws: how often, for a model that answers at random, or through a channel.
        channel: what lies between x and the model. Draw d has the purpose `judge/d`: views that no attack has seen.
        numbers: of the samples, for a model that takes those of each look; its draw d has the same purpose.
        alarms: whether to ask a model that has one (`alarm`) for its alarm, too.
    """
    if alarms and (alarm := getattr(model, "alarm", None)) is not None:
        raised = run_model(alarm, x, 1, micro_batch, draws, channel, numbers)
        return replace(run_model(model, x, classes, micro_batch, draws, channel, numbers), alarms=raised)
    runs = [
        _run_once(_drawn(model, numbers, draw), x, classes, micro_batch, _seen_by(channel, x, draw))
        for draw in range(draws)
    ]
    if draws == 1:
        return runs[0]
    # Of a draw at which all samples failed nobody knows how wide the answers are.
    shape = next((run.logits.shape for run in runs if len(run.errors) < len(x)), runs[0].logits.shape)
    each = torch.stack([run.logits if run.logits.shape == shape else x.new_full(shape, float("nan")) for run in runs])
    errors = {i: why for run in reversed(runs) for i, why in run.errors.items()}
    return Outputs(each.mean(0), errors, each)


def vouched(
    model: Callable[[Tensor], Tensor], x: Tensor, labels: Tensor, micro_batch: int | None, numbers: Randomness
) -> list[float | None]:
    """Return the L2 radius within which a model that certifies gives clean inputs x [B, C, H, W] their true class [B].

    0 where it certifies another class or none; None where it failed, and everywhere for a model that certifies nothing. The numbers
    have the purpose `certify`: no judgement uses them.
    """
    certify: Callable[..., Tensor] | None = getattr(model, "certify", None)
    if certify is None:
        return [None] * len(x)

    def radii(z: Tensor, where: list[int]) -> Tensor:
        return certify(z, numbers.draws(torch.tensor(where), ["certify"] * len(where)))

    found = _run_once(radii, x, int(labels.max()) + 1, micro_batch, lambda where: x[where])
    own = found.logits.gather(1, labels[:, None])[:, 0].tolist()
    return [None if found.why(i) else radius for i, radius in enumerate(own)]


def _drawn(
    model: Callable[..., Tensor], numbers: Randomness | None, draw: int
) -> Callable[[Tensor, list[int]], Tensor]:
    """Return what gives the outputs of a model at one draw, for inputs [B, C, H, W] of the samples at some positions."""
    if numbers is None or not getattr(model, "random", False):
        return lambda x, where: model(x)
    return lambda x, where: model(x, numbers.draws(torch.tensor(where), [f"judge/{draw}"] * len(where)))


def _seen_by(channel: Channel | None, x: Tensor, draw: int) -> Callable[[list[int]], Tensor]:
    """Return what gives the samples at some positions of x as a model sees them."""
    if channel is None:
        return lambda where: x[where]
    return lambda where: channel(x[where], torch.tensor(where, device=x.device), f"judge/{draw}")


def _run_once(
    model: Callable[[Tensor, list[int]], Tensor],
    x: Tensor,
    classes: int,
    micro_batch: int | None,
    seen: Callable[[list[int]], Tensor],
) -> Outputs:
    logits: Tensor | None = None
    errors: dict[int, str] = {}
    size = micro_batch or max(len(x), 1)
    pending = [list(range(start, min(start + size, len(x)))) for start in range(0, len(x), size)][::-1]
    while pending:
        where = pending.pop()
        try:
            with torch.no_grad():
                part = _logits(model(seen(where), where), len(where))
        except Exception:  # torch.OutOfMemoryError among them: it too is a reason to try with less
            if len(where) == 1:
                errors[where[0]] = traceback.format_exc(limit=TRACEBACK_FRAMES)
            else:
                pending += [where[len(where) // 2 :], where[: len(where) // 2]]
        else:
            if logits is None:
                logits = part.new_full((len(x), *part.shape[1:]), float("nan"))
            logits[where] = part
    return Outputs(x.new_full((len(x), classes), float("nan")) if logits is None else logits, errors)


def _logits(outputs: object, samples: int) -> Tensor:
    if not isinstance(outputs, Tensor) or outputs.dim() not in (2, 3) or len(outputs) != samples:
        found = list(outputs.shape) if isinstance(outputs, Tensor) else type(outputs).__name__
        raise ValueError(f"a victim returns logits [B, classes], here [{samples}, classes], not {found}")
    return outputs.float()
