"""`raygrid.attack`: one attack on one model, without Ray, a job file or a results folder."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from raygrid import registry
from raygrid.arithmetic import compute_exactly
from raygrid.batch import Batch, channel_of, goal_of, numbers_of
from raygrid.component import resolve
from raygrid.errors import UsageError, did_you_mean
from raygrid.evidence import CONDITIONS, UNKNOWN, Record, answers_differ, left_of, unknown_in_suite
from raygrid.job import check_awareness, check_precision
from raygrid.judge import Verdict
from raygrid.kernel import Crafted, Inherited, craft, score
from raygrid.kernel import fit as fit_attack
from raygrid.metrics.statistics import wilson
from raygrid.notebook_inputs import check_budget, check_classes, check_gradient, check_inputs, check_kinds
from raygrid.outputs import run_model
from raygrid.series import stages
from raygrid.spec import AttackSpec, Awareness, Budget, ChannelSpec, GoalName, JudgeSpec, Precision
from raygrid.victims.info import VictimInfo, identified
from raygrid.victims.victim import Victim

PROBES = 8
"""Samples on which a model is asked twice, to find out whether it answers at random."""
REPEATS = 1e-4
"""Share of the largest logit by which an answer may differ when it is asked again: what rounding does on a GPU."""
RANDOM_DRAWS = 20
"""Fresh draws that judge a model that answers at random, and that each look of an attack averages over."""


@dataclass(frozen=True)
class Attacked:
    """What an attack did to a batch of samples."""

    x_adv: Tensor
    """The examples as crafted [B, C, H, W]."""
    verdicts: list[Verdict]
    """One a sample, judged afresh; the attack's own claim plays no part."""
    forwards: Tensor
    """Forward passes spent on each sample [B]."""
    backwards: Tensor
    """Backward passes spent on each sample [B]."""
    goal: GoalName = "untargeted"
    name: str = ""
    """Of the attack."""
    seconds: float = 0.0
    """Wall time of crafting."""
    stages: tuple["Attacked", ...] = ()
    """Of a suite: what came of each of its attacks in turn. Every one counts what the former broke; the last one is the verdict."""

    @property
    def statuses(self) -> Counter[str]:
        """How many samples ended how."""
        return Counter(verdict.status for verdict in self.verdicts)

    @property
    def robust_accuracy(self) -> float:
        """Share of samples that are classified right and stay so: robust / (robust + broken + clean_wrong).

        Raises:
            ValueError: some samples have no verdict (error, invalid): the accuracy lies somewhere in `robust_accuracy_bounds`;
                or the goal was a target: see `success_rate`.
        """
        low, high = self.robust_accuracy_bounds
        if self.goal != "untargeted":
            raise ValueError(f"goal {self.goal} has a success rate, no robust accuracy; see success_rate")
        if low != high:
            raise ValueError(
                f"{dict(self.statuses)} leave the robust accuracy between {low:.3f} and {high:.3f}; see verdicts[i].error"
            )
        return low

    @property
    def success_rate(self) -> float:
        """Share of the samples with a verdict whose example meets the goal, those that met it unchanged among them; NaN of none."""
        judged = [verdict.success for verdict in self.verdicts if verdict.success is not None]
        return sum(judged) / len(judged) if judged else math.nan

    @property
    def robust_accuracy_bounds(self) -> tuple[float, float]:
        """Robust accuracy when every sample without a verdict counts as broken, and when it counts as robust."""
        found = self.statuses
        unknown = found["error"] + found["invalid"]
        n = found["robust"] + found["broken"] + found["clean_wrong"] + unknown
        if not n:
            return 0.0, 1.0
        return found["robust"] / n, (found["robust"] + unknown) / n

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson interval of the robust accuracy at 95 %, over the samples that have a verdict."""
        found = self.statuses
        return wilson(found["robust"], found["robust"] + found["broken"] + found["clean_wrong"])

    def __repr__(self) -> str:
        low, high = self.robust_accuracy_bounds
        shown = f"robust accuracy {low:.1%}" if low == high else f"robust accuracy between {low:.1%} and {high:.1%}"
        if self.goal != "untargeted":
            shown = f"success rate {self.success_rate:.1%}"
        why = next((verdict.error for verdict in self.verdicts if verdict.error), None)
        first = "" if why is None else f"; the first error: {why.strip().splitlines()[-1]}"
        return f"Attacked({shown} of {len(self.verdicts)}, {dict(self.statuses)}{first})"


def attack(
    victim: nn.Module | str,
    x: Tensor,
    y: Tensor,
    name: str,
    *,
    eps: float | None = None,
    norm: str | None = None,
    goal: GoalName = "untargeted",
    target: int | None = None,
    seed: int = 0,
    budget: Budget | None = None,
    micro_batch: int | None = None,
    eot: int | None = None,
    channel: str | tuple[str, Mapping[str, object]] | None = None,
    awareness: Awareness | None = None,
    draws: int | None = None,
    fit: tuple[Tensor, Tensor] | None = None,
    precision: Precision = "float32",
    **params: object,
) -> Attacked:
    """Attack a model and judge the examples. `autoattack` and `audit` are suites of attacks, see `Attacked.stages`.

    Args:
        victim: a module that takes pixels in [0, 1] and returns logits (its normalization is inside), or the name of a built-in
            victim. It is put into eval mode for the duration and given back as it was.
        x: pixels [B, C, H, W] in [0, 1].
        y: true classes [B].
        name: an attack that `raygrid list attacks` names.
        eps: radius of the ball, in input units; for l0 the number of values (pixels times channels) that may change.
            Needed by every attack that keeps to a ball.
        norm: linf, l2, l1 or l0; default: the attack's first.
        goal: untargeted, targeted (needs `target`) or random-target.
        target: the class to reach.
        seed: of the random numbers. Each sample has its own, by its position.
        budget: the most that may be spent on a sample.
        micro_batch: samples in one pass at most.
        eot: draws of the randomness of victim and channel that each look averages over; default 1, and 20 for a victim that
            answers at random. Suites set it themselves.
        channel: what lies between the examples and the victim, such as "view" or ("view", {"tilt": 30}).
        awareness: "channel", the default with a channel: the attack looks through it too; "none": only the judge does.
        draws: fresh draws that judge each example, of which more than half decide; default 20 with a channel or for a victim that
            answers at random, else 1.
        fit: pixels and classes of other samples, for attacks that learn on samples set apart, such as `universal`.
        precision: in what gradients are computed: "mixed" is half again as fast on a GPU; verdicts are of float32 either way.
        **params: the attack's parameters, as `raygrid describe NAME` lists them.

    Raises:
        UsageError: anything about the arguments that a person can mend.
    """
    check_kinds(victim, x, y, eps)
    spec = replace(_seen(_spec(name, norm, eps, goal, target, budget, params), channel, awareness), precision=precision)
    if wrong := check_precision(spec.component, precision):
        raise UsageError(wrong)
    if spec.params.needs_fit() != (fit is not None):
        wants = "learns on other samples: give them as fit=(x, y)" if fit is None else "learns nothing: it takes no fit"
        raise UsageError(f'attack "{name}" {wants}')
    if draws is not None and draws < 1:
        raise UsageError(f"draws must be at least 1, not {draws}")
    check_budget(spec)
    check_inputs(x, y, spec, micro_batch)
    model = _named(victim) if isinstance(victim, str) else victim
    if isinstance(model, Victim) and (model.info.task != "classification" or model.info.sample_rate):
        does = "hears" if model.info.task == "classification" else f"does {model.info.task}"
        raise UsageError(
            f'victim "{model.info.id}" {does}: run it by a job, as jobs/face.yaml, jobs/audio.yaml and jobs/sound.yaml do'
        )
    if (layer := spec.params.looks_into()) is not None:
        model = _with_layers(model, layer)
    x, y = x.detach().float(), y.long()
    with _frozen(model), _reproducible(seed), compute_exactly():
        clean = run_model(model, x, 0, micro_batch)
        classes = clean.logits.shape[1] - bool(getattr(model, "abstains", False))
        check_classes(clean, classes, y, spec)
        if spec.component.access == "gradient":
            check_gradient(model, x[:1])
        random = _answers_differ(clean.logits[:PROBES], run_model(model, x[:PROBES], 0, micro_batch).logits)
        judging = JudgeSpec(draws or (RANDOM_DRAWS if random else None)).of(spec)
        batch = Batch([str(i) for i in range(len(x))], x, y, classes)
        if judging.draws > 1 or spec.channel is not None:
            channel_then, numbers = channel_of(spec, batch, seed), numbers_of(batch, seed)
            clean = run_model(model, x, 0, micro_batch, judging.draws, channel_then, numbers)
        looks = eot or (RANDOM_DRAWS if random else 1)
        if random and not (spec.component.suite or spec.component.minimal_norm):
            spec = replace(spec, random=True)  # no single look decides that an example is done
        listed = stages(spec if spec.component.suite else replace(spec, eot=looks))
        fitted = None if fit is None else _fitted(model, fit, batch.classes, spec, seed, micro_batch)
        done: list[Attacked] = []
        records: list[Record] = []
        for stage in listed:
            inherited = _inherited(done[-1], records, stage) if done else None
            access = stage.component.access
            made = craft(
                model,
                batch,
                stage.as_crafted,
                seed,
                access=access,
                micro_batch=micro_batch,
                judging=judging,
                inherited=inherited,
                fitted=fitted,
            )
            verdicts = score(model, batch, stage, seed, made.x_adv, made.failures, clean, micro_batch, inherited)
            passes = torch.tensor(made.forwards), torch.tensor(made.backwards)
            done.append(Attacked(made.x_adv, verdicts, *passes, goal, stage.component.name, made.seconds))
            margins = goal_of(stage, batch, seed).margin(clean.logits).tolist()
            records.append(_record(stage, made, verdicts, margins))
    if len(done) == 1:
        return done[0]
    forwards, backwards = (
        torch.stack(passes).sum(0) for passes in zip(*((d.forwards, d.backwards) for d in done), strict=True)
    )
    seconds = sum(part.seconds for part in done)
    return replace(done[-1], forwards=forwards, backwards=backwards, name=name, seconds=seconds, stages=tuple(done))


def _fitted(
    model: nn.Module,
    samples: tuple[Tensor, Tensor],
    classes: int,
    spec: AttackSpec,
    seed: int,
    micro_batch: int | None,
) -> Mapping[str, Tensor]:
    x, y = samples[0].detach().float(), samples[1].long()
    check_inputs(x, y, spec, micro_batch)
    batch = Batch([f"fit/{i}" for i in range(len(x))], x, y, classes)
    return fit_attack(model, batch, spec, seed, access=spec.component.access, micro_batch=micro_batch).tensors


def _answers_differ(once: Tensor, again: Tensor) -> bool:
    """Whether two answers [B, C] to the same inputs differ by more than rounding."""
    return bool(((once - again).abs() > REPEATS * once.nan_to_num().abs().amax().clamp_min(1)).any())


def _inherited(before: Attacked, records: list[Record], stage: AttackSpec) -> Inherited:
    when = stage.stage.when if stage.stage else ""
    failures = {i: verdict.error or "" for i, verdict in enumerate(before.verdicts) if verdict.status == "error"}
    unknown = unknown_in_suite(records, stage.eps)
    return Inherited(before.x_adv, records[-1].broken, CONDITIONS[when](records), failures, unknown)


def _record(stage: AttackSpec, made: Crafted, verdicts: list[Verdict], clean_margins: list[float]) -> Record:
    return Record(
        stage.component.name,
        stage.component.access,
        stage.eps,
        [verdict.status == "broken" for verdict in verdicts],
        [verdict.obtained == "attacked" for verdict in verdicts],
        made.zero_gradients,
        made.false_gradients,
        made.backwards,
        left_of([verdict.margin for verdict in verdicts], clean_margins),
        [verdict.status in UNKNOWN for verdict in verdicts],
        # Views tell nothing of the victim.
        not stage.channel and answers_differ([v.draws_fooled for v in verdicts], verdicts[0].draws),
    )


@contextmanager
def _reproducible(seed: int) -> Iterator[None]:
    """Let a model that draws from torch's global generator draw the same numbers each time, and leave the generator as it was."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield


@contextmanager
def _frozen(model: nn.Module) -> Iterator[None]:
    """Put a model into eval mode without parameter gradients, and give it back as it was, module by module."""
    training = [module for module in model.modules() if module.training]
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    model.eval().requires_grad_(False)
    try:
        yield
    finally:
        for module in training:
            module.training = True
        for parameter in trained:
            parameter.requires_grad_(True)


def _seen(
    spec: AttackSpec, channel: str | tuple[str, Mapping[str, object]] | None, awareness: Awareness | None
) -> AttackSpec:
    """Put a channel between an attack's examples and the victim."""
    name, params = channel if isinstance(channel, tuple) else (channel, {})
    if wrong := check_awareness(spec.component, awareness, name is not None):
        raise UsageError(wrong)
    if name is None:
        return spec
    component = registry.find("channel", name)
    passed = ChannelSpec(component, registry.parse(component, dict(params)))
    return replace(spec, channel=passed, awareness=awareness or "all")


def _spec(
    name: str,
    norm: str | None,
    eps: float | None,
    goal: GoalName,
    target: int | None,
    budget: Budget | None,
    params: dict[str, object],
) -> AttackSpec:
    component = registry.find("attack", name)
    if not component.norms and (norm, eps) != (None, None):
        raise UsageError(f'attack "{name}" keeps to no ball around the input and takes neither eps nor norm')
    if component.norms and eps is None:
        counts = norm == "l0" or component.norms == ("l0",)
        how = "the number of values that may change, such as eps=20" if counts else "in input units, such as eps=8/255"
        raise UsageError(f'attack "{name}" needs eps, the radius of its ball: {how}')
    norm = norm or next(iter(component.norms), "")
    choices = (("norm", norm, component.norms or ("",)), ("goal", goal, component.goals))
    for what, value, known in choices:
        if value not in known:
            hint = did_you_mean(value, known) or f"; it has {', '.join(known)}"
            raise UsageError(f'attack "{name}" has no {what} "{value}"{hint}')
    if (goal == "targeted") != (target is not None):
        raise UsageError(
            f"goal targeted needs a target, and no other goal takes one; here goal {goal}, target {target}"
        )
    return AttackSpec(
        component,
        registry.parse(component, params),
        norm,
        math.inf if eps is None else eps,
        goal,
        target,
        component.access,
        budget=budget or Budget(),
    )


def _with_layers(model: nn.Module, layer: str) -> Victim:
    """Return a model as a victim that can be looked into at a layer; a module of one's own is copied, and stays as it is.

    Raises:
        UsageError: it has no such layer.
    """
    if not isinstance(model, Victim):
        info = VictimInfo("model", "model", 0, (0, None, None), (0.0,), (1.0,), "")
        model = Victim(deepcopy(model), info)
    model.layers.place(layer)
    return model


def _named(name: str) -> nn.Module:
    component = registry.find("victim", name)
    params = registry.parse(component, {})
    model: nn.Module = resolve(component.build)(params, identified(name, component.identify, params, name))
    return model
