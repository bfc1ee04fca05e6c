"""The verdict on adversarial examples. The attack's claim plays no part: the victim is run afresh on the example itself."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal, Protocol

import torch
from torch import Tensor

from raygrid.constraints import Constraint
from raygrid.goals import Goal
from raygrid.medium import read_back, stored
from raygrid.metrics.distances import Distances, Learned, measure
from raygrid.metrics.transcription import ErrorRate
from raygrid.oracle import Channel
from raygrid.outputs import Outputs, looks_needed, run_model
from raygrid.randomness import Randomness

Status = Literal["robust", "broken", "clean_wrong", "invalid", "error", "timeout", "skipped"]

NO_ANSWER = -1
"""The prediction of a victim that abstains."""


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
