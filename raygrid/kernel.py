"""One unit of work, without Ray: craft the examples of a shard, or judge them. Hosts and notebooks share it.

What goes wrong with a sample becomes that sample's error, and never stops the others.
"""

import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from raygrid.channels.sound import Sound
from raygrid.component import Access, resolve
from raygrid.constraints import Constraint
from raygrid.framing import Framing
from raygrid.goals import Goal, make_goal
from raygrid.judge import Comparison, Verdict, judge
from raygrid.medium import medium_of
from raygrid.metrics.distances import Learned
from raygrid.oracle import Channel, Oracle, SampleError
from raygrid.outputs import TRACEBACK_FRAMES, Outputs, looks_needed, run_model
from raygrid.randomness import Randomness
from raygrid.spec import ONCE, AttackSpec, Judging
from raygrid.transcription import Hearing, hearing_of
from raygrid.verification import Enrolled, Match, References, match_of
from raygrid.victims.mixed import mixed_passes

Model = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Batch:
    """The samples of a unit, on the device."""

    ids: Sequence[str]
    x: Tensor
    """Clean inputs [N, C, H, W] in [0, 1]."""
    labels: Tensor
    """True classes [N]."""
    classes: int
    """Number of classes of the dataset."""
    references: References | None = None
    """Where faces are verified: the photos that each is compared with."""
    transcripts: Sequence[str | None] | None = None
    """Of sound: what is said, as far as that is known."""
    starts: Tensor | None = None
    """Where faces are verified and an attack starts from them: photos of the target person that an attacker may have
    [N, K, C, H, W]."""
    framing: Framing | None = None
    """Where photos are attacked, and victims see frames cut out of them: how each is cut."""

    def framed(self) -> "Batch":
        """Return it as victims see it."""
        if self.framing is None:
            return self
        frames = self.framing(self.x, torch.arange(len(self.ids), device=self.x.device))
        return replace(self, x=frames, framing=None, starts=None)

    def take(self, where: Sequence[int]) -> "Batch":
        """Return the samples at these positions."""
        index = torch.tensor(where, dtype=torch.long, device=self.x.device)
        references = None if self.references is None else self.references.take(where)
        transcripts = None if self.transcripts is None else [self.transcripts[i] for i in where]
        starts = None if self.starts is None else self.starts[index]
        ids = [self.ids[i] for i in where]
        framing = None if self.framing is None else self.framing.take(where)
        return Batch(ids, self.x[index], self.labels[index], self.classes, references, transcripts, starts, framing)


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


def goal_of(attack: AttackSpec, batch: Batch, seed: int) -> Goal:
    """Return the goal that an attack pursues on a batch: the same wherever it is asked."""
    return make_goal(attack.goal, batch.labels, batch.classes, attack.target, _randomness(attack, batch, seed))


def constraint_of(attack: AttackSpec, batch: Batch) -> Constraint:
    """Return what an attack's examples must keep to: its ball, the box, its mask and its number of pixels."""
    medium, (channels, height, width) = medium_of(batch.x), (1, 1, *batch.x.shape[1:])[-3:]
    shape = (channels, height, width)
    pixels = attack.params.most_pixels(shape)
    constraint = Constraint(attack.norm or "linf", attack.eps, medium.low, medium.high, pixels=pixels)
    if attack.component.mask is None:
        return constraint
    mask: Tensor = resolve(attack.component.mask)(attack.params, batch.ids, shape)
    return replace(constraint, mask=mask.to(batch.x.device))


def channel_of(attack: AttackSpec, batch: Batch, seed: int) -> Channel | None:
    """Return what lies between an attack's examples and the victim. Its numbers are the samples' own, whatever the attack. Frames
    are cut out of photos last."""
    framing = framing_of(batch)
    if attack.channel is None:
        return framing
    build, params = resolve(attack.channel.component.build), attack.channel.params
    randomness = Randomness(seed, "channel", batch.ids)

    def channel(x: Tensor, index: Tensor, purpose: str) -> Tensor:
        seen: Tensor = build(params, x, randomness, purpose, index)
        return seen if framing is None else framing(seen, index, purpose)

    return channel


def framing_of(batch: Batch) -> Channel | None:
    """Return what cuts the frames of a batch's faces out of photos; None where the samples are what victims see."""
    framing = batch.framing
    return None if framing is None else lambda x, index, purpose: framing(x, index)


def plays_of(attack: AttackSpec, batch: Batch, seed: int, draws: int) -> list[dict[str, list[Any]]] | None:
    """Return what an attack's channel of sound draws for each of so many judgements, a mapping of columns for each sample; None
    where there is none."""
    if attack.channel is None:
        return None
    sound, params = resolve(attack.channel.component.build), attack.channel.params
    if not isinstance(sound, Sound):
        return None
    randomness, everyone = Randomness(seed, "channel", batch.ids), torch.arange(len(batch.ids))
    told = [
        sound.told(params, sound.draw(params, randomness, f"judge/{draw}", everyone, batch.x)) for draw in range(draws)
    ]
    named = {
        name: name if "." in name else f"{attack.channel.component.name}.{name}" for name in told[0]
    }  # as a chain's are
    return [{shown: [play[name][i] for play in told] for name, shown in named.items()} for i in range(len(batch.ids))]


def comparison_of(
    attack: AttackSpec, batch: Batch, model: object, enrolled: Enrolled | None = None, far: float | None = None
) -> Match | Hearing | None:
    """Return what makes a decision of a model's outputs, where these are no scores of classes: embeddings that are compared, or
    what is heard. None for a classifier.

    Args:
        attack: what faces the decision.
        batch: the samples.
        model: what answers.
        enrolled: the clean photos as the model knows them, where faces are verified.
        far: the false accept rate that sets its threshold.
    """
    if attack.transcribes:
        return hearing_of(attack, batch.transcripts or [None] * len(batch.ids), model)
    return match_of(attack, batch.references, enrolled, far)


def numbers_of(batch: Batch, seed: int) -> Randomness:
    """Return the numbers that a random defense draws for a batch: the samples' own, whatever the attack."""
    return Randomness(seed, "defense", batch.ids)


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
    result = Crafted(batch.x.clone(), [0] * n, [0] * n, [False] * n, micro_batch, kept=kept, zero_gradients=[0] * n)
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
        x_adv = run(oracle, goal, batch.x, constraint, _randomness(attack, batch, seed), **said).detach()
    except SampleError as error:
        result.repeated += int(oracle.forwards.sum())
        for position in set(error.positions):
            result.forwards[where[position]] = int(oracle.forwards[position])
            result.backwards[where[position]] = int(oracle.backwards[position])
            result.repeated -= int(oracle.forwards[position])
        raise
    if x_adv.shape != batch.x.shape:
        raise ValueError(f"the attack returned {list(x_adv.shape)} for inputs {list(batch.x.shape)}")
    zero_gradients = oracle.zero_gradients.tolist()
    for position, i in enumerate(where):
        result.x_adv[i] = x_adv[position]
        result.forwards[i] = int(oracle.forwards[position])
        result.backwards[i] = int(oracle.backwards[position])
        result.claimed[i] = bool(oracle.broken[position])
        result.zero_gradients[i] = int(zero_gradients[position])


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
        run, randomness = resolve(attack.component.fit), _randomness(attack, some, seed)
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


def _randomness(attack: AttackSpec, batch: Batch, seed: int) -> Randomness:
    return Randomness(seed, attack.component.name, batch.ids)
