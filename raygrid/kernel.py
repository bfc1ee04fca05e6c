"""One unit of work, without Ray: craft the examples of a shard, or judge them. Hosts and notebooks share it.

What goes wrong with a sample becomes that sample's error, and never stops the others.
"""

import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from raygrid.batch import (
    Batch,
    channel_of,
    comparison_of,
    constraint_of,
    framing_of,
    goal_of,
    numbers_of,
    randomness_of,
)
from raygrid.component import Access, resolve
from raygrid.goals import Goal
from raygrid.judge import Comparison, Verdict, judge
from raygrid.metrics.distances import Learned
from raygrid.oracle import Oracle
from raygrid.outputs import TRACEBACK_FRAMES, Outputs, looks_needed, run_model
from raygrid.sample_errors import SampleError
from raygrid.spec import ONCE, AttackSpec, Judging
from raygrid.transcription import Hearing
from raygrid.verification import Enrolled, Match
from raygrid.victims.mixed import mixed_passes

Model = Callable[[Tensor], Tensor]


@dataclass
class Crafted:
    """Examples and what they cost, sample by sample.

    When a sample's error ends a run, the others are attacked again without it and draw the same numbers as before. Each counts the
    passes of the run that gave its result, as if it had been alone; `repeated` counts the others.
    """

    x_adv: Tensor
    """[N, C, H, W]; the clean input where crafting failed."""
    forwards: list[int]
    backwards: list[int]
    claimed: list[bool]
    """Whether the attack saw its example succeed."""
    micro_batch: int | None
    """Samples in one pass: what was asked, or less where memory was short."""
    seconds: float = 0.0
    failures: dict[int, str] = field(default_factory=dict)
    """Position -> why no example could be crafted."""
    kept: list[bool] = field(default_factory=list)
    """Which samples were not attacked: their example is the one inherited."""
    zero_gradients: list[int] = field(default_factory=list)
    """Looks at which the gradient of a sample was zero throughout."""
    false_gradients: list[int] = field(default_factory=list)
    """Looks at which it did not foretell what a step brings, of attacks that compare the two."""
    repeated: int = 0
    """Forward passes of runs that a `SampleError` ended, less those of the samples that had it."""


@dataclass(frozen=True)
class Inherited:
    """What an attack in a series takes over from the one before it."""

    x_adv: Tensor
    """[N, C, H, W], the examples judged there."""
    broken: Sequence[bool]
    """Which of them met the goal there."""
    called: Sequence[bool]
    """Which of the others are to be attacked now; the rest keep their example."""
    failures: Mapping[int, str] = field(default_factory=dict)
    """Position -> why there is no example."""
    unknown: Sequence[bool] = ()
    """Which samples an earlier stage of the same suite failed on: broken later is broken, else nothing is known of them."""

    @property
    def kept(self) -> list[bool]:
        """Which samples are not attacked now."""
        return [broken or not called for broken, called in zip(self.broken, self.called, strict=True)]


def craft(
    model: Model,
    batch: Batch,
    attack: AttackSpec,
    seed: int,
    *,
    access: Access,
    micro_batch: int | None = None,
    judging: Judging = ONCE,
    inherited: Inherited | None = None,
    fitted: Mapping[str, Tensor] | None = None,
    enrolled: Enrolled | None = None,
) -> Crafted:
    """Run an attack on a batch.

    Samples that meet the goal already are left alone, unless the examples are to transfer or to pass a channel. A sample on which
    the victim raises, or returns NaN, gets an entry in `failures`; the others are attacked all the same.

    Args:
        model: pixels -> logits; what the examples are crafted on.
        batch: the samples.
        attack: what to run.
        seed: the job's.
        access: the most that the attack may ask of the model.
        micro_batch: samples in one pass at most; halved while memory does not suffice.
        judging: how often the clean inputs are shown to a model that answers at random, and what decides.
        inherited: what the attack before it in its series left.
        fitted: what the attack's fit found.
        enrolled: the clean photos as this model knows them, where faces are verified.
    """
    started = time.perf_counter()
    n = len(batch.ids)
    kept = inherited.kept if inherited else [False] * n
    result = Crafted(batch.x.clone(), [0] * n, [0] * n, [False] * n, micro_batch, kept=kept)
    result.zero_gradients, result.false_gradients = [0] * n, [0] * n
    if inherited:
        where = [i for i in range(n) if kept[i]]
        result.x_adv[where] = inherited.x_adv[where]
        result.failures = {i: why for i, why in inherited.failures.items() if kept[i]}
        for i in where:
            result.claimed[i] = bool(inherited.broken[i])
    left = [i for i in range(n) if not kept[i]]
    mine = batch.take(left)
    numbers = numbers_of(mine, seed)
    clean = run_model(model, mine.x, batch.classes, micro_batch, judging.draws, framing_of(mine), numbers)
    result.failures |= {i: why for position, i in enumerate(left) if (why := clean.why(position))}
    pending = [[position for position, i in enumerate(left) if i not in result.failures]]
    while pending:
        positions = pending.pop()
        where = [left[position] for position in positions]
        if not where:
            continue
        try:
            goal = goal_of(attack, batch.take(where), seed)
            match = comparison_of(attack, batch.take(where), model, enrolled, judging.far)
            at = clean.at(positions) if match is None else match.judged_by(clean.at(positions))
            met = at.often(goal.success, looks_needed(judging.broken_at, clean.draws, at.draws))
            _attack(model, batch.take(where), where, goal, met, match, attack, seed, access, fitted, result)
        except torch.OutOfMemoryError:
            size = min(result.micro_batch or len(where), len(where))
            if size == 1:
                result.failures.update(dict.fromkeys(where, "out of memory with one sample in a pass"))
            else:
                result.micro_batch = size // 2
                pending.append(positions)
        except SampleError as error:
            bad = {positions[position] for position in error.positions}
            result.failures.update(dict.fromkeys((left[position] for position in bad), str(error)))
            pending.append([position for position in positions if position not in bad])
        except Exception:
            if len(where) == 1:
                result.failures[where[0]] = traceback.format_exc(limit=TRACEBACK_FRAMES)
            else:
                pending += [positions[len(where) // 2 :], positions[: len(where) // 2]]
    result.seconds = time.perf_counter() - started
    return result


def score(
    model: Model,
    batch: Batch,
    attack: AttackSpec,
    seed: int,
    x_adv: Tensor,
    failures: Mapping[int, str],
    clean: Outputs,
    micro_batch: int | None = None,
    inherited: Inherited | None = None,
    broken_at: int | None = None,
    on_file: bool = False,
    lpips: Learned | None = None,
    match: Comparison | None = None,
) -> list[Verdict]:
    """Judge the examples x_adv [N, C, H, W] of a batch on a model.

    Args:
        model: pixels -> logits; the victim with its defense.
        batch: the samples.
        attack: what made the examples.
        seed: the job's.
        x_adv: the examples, as crafted.
        failures: position -> why no example could be crafted.
        clean: the model's outputs on the clean inputs, through the attack's channel.
        micro_batch: samples in one pass at most.
        inherited: what was taken over from the attack before it in its series. A success that does not hold any more is an error.
        broken_at: draws that must meet the goal; None: more than half of those of `clean`.
        on_file: whether the copy that an 8-bit file can hold is judged.
        lpips: LPIPS, where it is to be measured.
        match: what makes decisions of the model's outputs, where these are no scores of classes.
    """
    verdicts = judge(
        model,
        goal_of(attack, batch, seed),
        batch.x,
        x_adv,
        constraint_of(attack, batch),
        clean,
        failures,
        micro_batch,
        closest=attack.component.minimal_norm,
        broken_at=broken_at,
        on_file=on_file,
        channel=channel_of(attack, batch, seed),
        numbers=numbers_of(batch, seed),
        lpips=lpips,
        match=match,
    )
    if inherited is None:
        return verdicts
    unknown = inherited.unknown or [False] * len(verdicts)
    return [
        _after(verdict, broken=broken, kept=kept, unknown=failed)
        for verdict, broken, kept, failed in zip(verdicts, inherited.broken, inherited.kept, unknown, strict=True)
    ]


def _after(verdict: Verdict, *, broken: bool, kept: bool, unknown: bool) -> Verdict:
    """Say of a verdict that its example was inherited; never call a sample robust that was broken before.

    A victim that answers at random may answer fewer of the new draws wrong than are needed: broken by any judgment is broken.
    """
    if broken and verdict.status == "robust" and verdict.draws > 1:
        verdict = replace(verdict, status="broken", success=True)
    elif broken and verdict.status == "robust":
        verdict = replace(verdict, status="error", error="the example broke the sample before, and does not any more")
    elif unknown and verdict.status == "robust":
        verdict = replace(verdict, status="error", error="an earlier attack of the suite failed on the sample")
    return replace(verdict, obtained="inherited") if kept else verdict


def _attack(
    model: Model,
    batch: Batch,
    where: list[int],
    goal: Goal,
    met: Tensor,
    match: Match | Hearing | None,
    attack: AttackSpec,
    seed: int,
    access: Access,
    fitted: Mapping[str, Tensor] | None,
    result: Crafted,
) -> None:
    """Attack the samples at the positions `where` and write what came of them into `result`."""
    skip = goal.pointless if attack.to_the_end else goal.pointless | met
    oracle = _oracle(model, batch, attack, seed, access, result.micro_batch, skip, match)
    run, constraint, said = resolve(attack.component.build), constraint_of(attack, batch), dict(attack.params)
    if fitted is not None:
        said["fitted"] = fitted
    try:
        x_adv = run(oracle, goal, batch.x, constraint, randomness_of(attack, batch, seed), **said).detach()
    except SampleError as error:
        result.repeated += int(oracle.forwards.sum())
        for position in set(error.positions):
            result.forwards[where[position]] = int(oracle.forwards[position])
            result.backwards[where[position]] = int(oracle.backwards[position])
            result.repeated -= int(oracle.forwards[position])
        raise
    if x_adv.shape != batch.x.shape:
        raise ValueError(f"the attack returned {list(x_adv.shape)} for inputs {list(batch.x.shape)}")
    zero_gradients, false_gradients = oracle.zero_gradients.tolist(), oracle.false_gradients.tolist()
    for position, i in enumerate(where):
        result.x_adv[i] = x_adv[position]
        result.forwards[i] = int(oracle.forwards[position])
        result.backwards[i] = int(oracle.backwards[position])
        result.claimed[i] = bool(oracle.broken[position])
        result.zero_gradients[i] = int(zero_gradients[position])
        result.false_gradients[i] = int(false_gradients[position])


def _oracle(
    model: Model,
    batch: Batch,
    attack: AttackSpec,
    seed: int,
    access: Access,
    micro_batch: int | None,
    skip: Tensor | None = None,
    readout: Match | Hearing | None = None,
) -> Oracle:
    return Oracle(
        model,
        len(batch.ids),
        access=access,
        budget=attack.budget,
        micro_batch=micro_batch,
        stop_early=not attack.to_the_end,
        skip=skip,
        eot=attack.looks,
        channel=channel_of(attack, batch, seed) if attack.through else framing_of(batch),
        numbers=numbers_of(batch, seed),
        device=batch.x.device,
        readout=readout,
        mixed=mixed_passes(model) if attack.precision == "mixed" else None,
        stands_in=attack.verifies,
        starts=batch.starts[:, : attack.photos] if batch.starts is not None and attack.starts_from_photos else None,
    )


@dataclass(frozen=True)
class Fitted:
    """What a fit found, and what it cost."""

    tensors: Mapping[str, Tensor]
    samples: int
    """Samples that it was fitted on: those of the batch on which the model did not fail."""
    forwards: int | None = None
    """Passes spent on each of them, on average."""
    backwards: int | None = None


def fit(
    model: Model, batch: Batch, attack: AttackSpec, seed: int, *, access: Access, micro_batch: int | None = None
) -> Fitted:
    """Find out what an attack uses on all samples, on samples set apart. Those on which the model fails are left out.

    Arguments as those of `craft`.

    Raises:
        SampleError: the model fails on all of them.
    """
    where = list(range(len(batch.ids)))
    while True:
        some = batch.take(where)
        heard = comparison_of(attack, some, model) if attack.transcribes else None
        oracle = _oracle(model, some, attack, seed, access, micro_batch, readout=heard)
        run, randomness = resolve(attack.component.fit), randomness_of(attack, some, seed)
        try:
            tensors: dict[str, Tensor] = run(
                oracle,
                goal_of(attack, some, seed),
                some.x,
                constraint_of(attack, some),
                randomness,
                **dict(attack.params),
            )
        except SampleError as error:
            bad = {where[position] for position in error.positions}
            where = [i for i in where if i not in bad]
            if not where:
                raise
        else:
            return Fitted(tensors, len(where), round(oracle.forwards.mean()), round(oracle.backwards.mean()))
