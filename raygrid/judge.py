"""The verdict on adversarial examples. The attack's claim plays no part: the victim is run afresh on the example itself."""

import math
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol

import torch
from torch import Tensor

from raygrid.constraints import Constraint
from raygrid.goals import Goal
from raygrid.medium import medium_of
from raygrid.metrics.distances import Distances, Learned, measure
from raygrid.metrics.transcription import ErrorRate
from raygrid.oracle import Channel
from raygrid.randomness import Randomness

Status = Literal["robust", "broken", "clean_wrong", "invalid", "error", "timeout", "skipped"]

NO_ANSWER = -1
"""The prediction of a victim that abstains."""
TRACEBACK_FRAMES = -6
"""The innermost frames, where the cause stands."""
LEVEL_GUARD = 1e-3
"""Levels by which x + eps may miss one through float32 rounding, and still counts as that level."""


@dataclass(frozen=True)
class Look:
    """One draw of the randomness of model and channel."""

    fooled: bool
    """Whether the example met the goal."""
    prediction: int
    """The answer to the example."""
    margin: float
    """Logit gap that separated it from success; at most 0 where the goal is met."""
    clean_prediction: int
    """The answer to the clean input at the same draw."""
    photo: str | None = None
    """The photo that it was compared with, where faces are verified."""
    known: bool = False
    """Whether the attacker had that photo; such a look judges nothing."""
    play: int | None = None
    """Which draw of channel and defense it was, where each is compared with several photos; None: its own number."""
    similarity: float | None = None
    """To that photo."""
    clean_similarity: float | None = None
    heard: str | None = None
    """What a recognizer wrote of the example at this play."""
    clean_heard: str | None = None
    """What it wrote of the clean clip."""
    distance: ErrorRate | None = None
    """Edits from what the goal is about to what was heard."""
    clean_errors: ErrorRate | None = None
    """Edits from what is truly said to what was heard of the clean clip; None where nobody speaks."""
    phonemes: ErrorRate | None = None
    """The distance in phonemes, whatever the words; None for a recognizer that writes none."""
    words: ErrorRate | None = None
    """The distance in whole words."""


@dataclass(frozen=True)
class Verdict(Distances):
    """The outcome of one sample, with the distances of the example as crafted."""

    status: Status
    clean_prediction: int | None
    """A class, or NO_ANSWER, which is never right."""
    clean_correct: bool | None
    prediction: int | None
    """A class, or NO_ANSWER, which meets an untargeted goal."""
    confidence: float | None
    """Softmax probability of the predicted class on the example; None where there is no answer."""
    margin: float | None
    """Logit gap that still separates the example from success; at most 0 where the goal is met."""
    success: bool | None
    draws: int
    """How often the example was shown to the model."""
    draws_fooled: int | None
    """How many of them met the goal; `success` where these are enough."""
    success_stored: bool | None
    """Whether the copy that an 8-bit file can hold succeeds too."""
    stored: Distances | None
    """Distances of the copy that an 8-bit file can hold; None where there is none, of values that are not finite."""
    error: str | None = None
    abstained: bool | None = None
    """Whether there is no answer to the example; None for a model that always has one."""
    obtained: Literal["attacked", "inherited"] = "attacked"
    """Whether this attack made the example, or the one before it in its series."""
    detected: bool | None = None
    """Whether a detecting defense raised the alarm at the example, in more than half of the draws; None where none looks."""
    clean_detected: bool | None = None
    """The same of the clean input: a false alarm."""
    looks: tuple["Look", ...] = ()
    """Each of the draws, where there was more than one."""
    similarity: float | None = None
    """To the photos that judge, where faces are verified: the mean of all draws."""
    clean_similarity: float | None = None
    known_draws: int | None = None
    """Looks at the photos that the attacker had."""
    known_fooled: int | None = None
    """How many of these met the goal."""
    heard: str | None = None
    """What a recognizer wrote of the example, most often."""
    clean_heard: str | None = None
    edit_distance: float | None = None
    """Edits from what the goal is about to what was heard: the mean of all plays."""


class Comparison(Protocol):
    """What makes logits of a model's outputs that are compared with something of each sample's own."""

    def judged_by(self, outputs: "Outputs") -> "Outputs":
        """Return the logits of the comparisons that judge, each a draw."""
        ...

    def told(self, verdicts: list[Verdict], goal: Goal, clean: "Outputs", outputs: "Outputs") -> list[Verdict]:
        """Return the verdicts with what else the outputs on clean inputs and examples tell."""
        ...


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


def stored(x_adv: Tensor, x: Tensor) -> Tensor:
    """Return x_adv [B, ...] as a file holds it (pictures uint8, sound int16), each value rounded towards the clean input x."""
    medium = medium_of(x)
    levels = x_adv.double() * medium.levels
    up = (levels + LEVEL_GUARD).floor()
    down = (levels - LEVEL_GUARD).ceil()
    return torch.where(x_adv >= x, up, down).clamp(medium.low * medium.levels, medium.most).to(medium.dtype)


def read_back(filed: Tensor, x: Tensor) -> Tensor:
    """Return what a file holds of examples of x [B, ...], as a victim takes it."""
    return filed.to(x) / medium_of(x).levels


def judge(
    model: Callable[[Tensor], Tensor],
    goal: Goal,
    x: Tensor,
    x_adv: Tensor,
    constraint: Constraint,
    clean: Outputs,
    failures: Mapping[int, str],
    micro_batch: int | None = None,
    *,
    closest: bool = False,
    broken_at: int | None = None,
    channel: Channel | None = None,
    numbers: Randomness | None = None,
    lpips: Learned | None = None,
    on_file: bool = False,
    match: Comparison | None = None,
) -> list[Verdict]:
    """Judge examples x_adv [B, C, H, W] made from x [B, C, H, W].

    Args:
        model: pixels -> logits.
        goal: the goal of these B samples.
        x: clean inputs.
        x_adv: the examples as crafted.
        constraint: what the examples had to keep to; violations are `invalid`, never `broken`.
        clean: the model's outputs on x, with its alarms where these are to be asked for.
        failures: position -> why no example could be crafted.
        micro_batch: samples in one pass.
        closest: the examples are the closest that were found, at any distance; beyond eps, one says that none was found within.
        broken_at: draws that must meet the goal; None: more than half.
        channel: what lies between examples and model; the clean inputs went through it too.
        numbers: of the samples, for a model that takes those of each look; the clean inputs had the same.
        lpips: LPIPS, where it is to be measured.
        on_file: whether the copy that an 8-bit file can hold is judged, and not the example as crafted.
        match: what the model's embeddings are compared with, where faces are verified.

    Examples are judged by as many fresh draws of the randomness of model and channel as the clean inputs were, and by the same
    ones of channel and defense; margin and prediction are those of the mean logits. A model that abstains in more than half has no
    answer.
    """
    classes, draws = clean.logits.shape[1], clean.draws
    allowed = constraint.allows(x_adv, x)
    shown = torch.where(
        allowed.view(-1, *[1] * (x.dim() - 1)), x_adv, x
    )  # what is no valid input is not shown to the victim
    within = allowed | replace(constraint, eps=math.inf).allows(x_adv, x) if closest else allowed
    copy, alarms = read_back(stored(shown, x), x), clean.alarms is not None
    adversarial = run_model(
        model, copy if on_file else shown, classes, micro_batch, draws, channel, numbers, alarms=alarms
    )
    filed = adversarial if on_file else run_model(model, copy, classes, micro_batch, draws, channel, numbers)
    answers_as_they_are = clean, adversarial
    if match is not None:
        clean, adversarial, filed = (match.judged_by(outputs) for outputs in (clean, adversarial, filed))
        broken_at = looks_needed(broken_at, draws, adversarial.draws)
    distances = measure(x_adv, x, lpips)
    distances_on_file = measure(read_back(stored(x_adv.nan_to_num(), x), x), x, lpips)

    clean_met, met, met_on_file = (outputs.often(goal.success, broken_at) for outputs in (clean, adversarial, filed))
    fooled = adversarial.count(goal.success)
    clean_wrong = clean.often(lambda logits: logits.argmax(1) != goal.labels, broken_at)
    (clean_answers, _), (answers, confidence) = (_answers(outputs, model) for outputs in (clean, adversarial))
    margin, looks = goal.margin(adversarial.logits), _looks(adversarial, clean, goal, model)
    finite = torch.isfinite(x_adv).flatten(1).all(1)

    verdicts = []
    for i in range(len(x)):
        status, error = _status(
            clean_error=clean.why(i),
            pointless=bool(goal.pointless[i]),
            clean_met=bool(clean_met[i]),
            failure=failures.get(i),
            within=bool(within[i]),
            error=adversarial.why(i),
            met=bool(met[i]),
        )
        seen = clean.why(i) is None
        judged = status in ("robust", "broken", "clean_wrong") and adversarial.why(i) is None
        answered = answers[i] != NO_ANSWER
        verdicts.append(
            Verdict(
                status=status,
                error=error,
                clean_prediction=clean_answers[i] if seen else None,
                clean_correct=not bool(clean_wrong[i]) if seen else None,
                prediction=answers[i] if judged else None,
                abstained=not answered if judged and _abstains(model) else None,
                confidence=confidence[i] if judged and answered else None,
                margin=float(margin[i]) if judged else None,
                success=bool(met[i]) if judged else None,
                draws=adversarial.draws,
                draws_fooled=int(fooled[i]) if judged else None,
                success_stored=bool(met_on_file[i]) if judged and filed.why(i) is None else None,
                **vars(distances[i]),
                stored=distances_on_file[i] if finite[i] else None,
                detected=adversarial.detected(i) if judged else None,
                clean_detected=clean.detected(i),
                looks=looks[i] if judged else (),
            )
        )
    return verdicts if match is None else match.told(verdicts, goal, *answers_as_they_are)


def _looks(
    adversarial: Outputs, clean: Outputs, goal: Goal, model: Callable[[Tensor], Tensor]
) -> list[tuple[Look, ...]]:
    """Return the draws of each sample [B]; none where there was only one."""
    if adversarial.each is None or clean.each is None:
        return [()] * len(adversarial.logits)
    columns = [
        [
            goal.success(logits).tolist(),
            _answers(Outputs(logits), model)[0],
            goal.margin(logits).tolist(),
            _answers(Outputs(before), model)[0],
        ]
        for logits, before in zip(adversarial.each, clean.each, strict=True)
    ]
    return [tuple(Look(*(c[i] for c in column)) for column in columns) for i in range(len(adversarial.logits))]


def _abstains(model: Callable[[Tensor], Tensor]) -> bool:
    return bool(getattr(model, "abstains", False))


def _answers(outputs: Outputs, model: Callable[[Tensor], Tensor]) -> tuple[list[int], list[float]]:
    """Return the class of the largest mean logit [B], and its probability among the classes.

    There is no answer where the last column, which stands for that, leads in more than half of the draws.
    """
    if not _abstains(model):
        return outputs.logits.argmax(1).tolist(), outputs.logits.softmax(1).amax(1).tolist()
    classes, nothing = outputs.logits[:, :-1], outputs.often(lambda logits: logits.argmax(1) == logits.shape[1] - 1)
    return classes.argmax(1).where(~nothing, NO_ANSWER).tolist(), classes.softmax(1).amax(1).tolist()


def _status(
    *,
    clean_error: str | None,
    pointless: bool,
    clean_met: bool,
    failure: str | None,
    within: bool,
    error: str | None,
    met: bool,
) -> tuple[Status, str | None]:
    """The first rule that applies decides. `robust` comes last: it is what is left when nothing went wrong."""
    rules: tuple[tuple[bool, Status, str | None], ...] = (
        (clean_error is not None, "error", f"on the clean input: {clean_error}"),
        (pointless, "skipped", None),
        (clean_met, "clean_wrong", None),
        (failure is not None, "error", f"while crafting: {failure}"),
        (not within, "invalid", "the example violates its constraint"),
        (error is not None, "error", f"on the example: {error}"),
        (met, "broken", None),
    )
    return next(((status, why) for applies, status, why in rules if applies), ("robust", None))
