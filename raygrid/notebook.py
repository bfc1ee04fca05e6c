"""`raygrid.attack`: one attack on one model, without Ray, a job file or a results folder."""

import math
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from raygrid import registry
from raygrid.component import resolve
from raygrid.errors import UsageError, did_you_mean
from raygrid.job import check_eps
from raygrid.judge import Outputs, Verdict, run_model
from raygrid.kernel import Batch, craft, score
from raygrid.metrics.statistics import wilson
from raygrid.spec import AttackSpec, Budget, GoalName


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
        return f"Attacked({shown} of {len(self.verdicts)}, {dict(self.statuses)})"


def attack(
    victim: nn.Module | str,
    x: Tensor,
    y: Tensor,
    name: str,
    *,
    eps: float,
    norm: str | None = None,
    goal: GoalName = "untargeted",
    target: int | None = None,
    seed: int = 0,
    budget: Budget | None = None,
    micro_batch: int | None = None,
    **params: object,
) -> Attacked:
    """Attack a model and judge the examples.

    Args:
        victim: a module that takes pixels in [0, 1] and returns logits (its normalization is inside), or the name of a built-in
            victim. It is put into eval mode for the duration and given back as it was.
        x: pixels [B, C, H, W] in [0, 1].
        y: true classes [B].
        name: an attack that `raygrid list attacks` names.
        eps: radius of the ball, in input units; for l0 the number of values (pixels times channels) that may change.
        norm: linf, l2, l1 or l0; default: the attack's first.
        goal: untargeted, targeted (needs `target`) or random-target.
        target: the class to reach.
        seed: of the random numbers. Each sample has its own, by its position.
        budget: the most that may be spent on a sample.
        micro_batch: samples in one pass at most.
        **params: the attack's parameters, as `raygrid describe NAME` lists them.

    Raises:
        UsageError: anything about the arguments that a person can mend.
    """
    spec = _spec(name, norm, eps, goal, target, budget, params)
    _check_inputs(x, y, spec, micro_batch)
    model = _named(victim) if isinstance(victim, str) else victim
    x, y = x.detach().float(), y.long()
    with _frozen(model):
        clean = run_model(model, x, 0, micro_batch)
        classes = clean.logits.shape[1]
        _check_classes(clean, y, target)
        batch = Batch([str(i) for i in range(len(x))], x, y, classes)
        made = craft(model, batch, spec.as_crafted, seed, access=spec.component.access, micro_batch=micro_batch)
        verdicts = score(model, batch, spec, seed, made.x_adv, made.failures, clean, micro_batch)
    return Attacked(made.x_adv, verdicts, torch.tensor(made.forwards), torch.tensor(made.backwards), goal)


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


def _check_inputs(x: Tensor, y: Tensor, spec: AttackSpec, micro_batch: int | None) -> None:
    if x.dim() != 4 or y.dim() != 1 or len(x) != len(y) or not len(x):
        raise UsageError(
            f"x must be [B, C, H, W] and y [B] with the same B >= 1, not {list(x.shape)} and {list(y.shape)}"
        )
    if y.is_floating_point() or y.dtype == torch.bool:
        raise UsageError(f"y must hold the numbers of classes, as integers, not {y.dtype}")
    if not bool(((x >= 0) & (x <= 1)).all()):
        raise UsageError(
            f"x must lie in [0, 1], not in [{float(x.min()):g}, {float(x.max()):g}]: victims normalize inside"
        )
    if not spec.eps >= 0:
        raise UsageError(f"eps must be a radius of at least 0, not {spec.eps:g}")
    if wrong := check_eps(spec, (x.shape[1], x.shape[2], x.shape[3])):
        raise UsageError(wrong)
    if micro_batch is not None and micro_batch < 1:
        raise UsageError(f"micro_batch must be at least 1, not {micro_batch}")


def _check_classes(clean: Outputs, y: Tensor, target: int | None) -> None:
    classes = clean.logits.shape[1]
    if not classes:
        raise UsageError(f"the victim fails on every sample; on the first: {clean.errors[0].splitlines()[-1]}")
    if classes < 2:
        raise UsageError("the victim has one class, so that nothing can be mistaken; return one logit a class")
    if not bool(((y >= 0) & (y < classes)).all()):
        raise UsageError(f"y must lie in 0..{classes - 1}, the victim's classes, not in {int(y.min())}..{int(y.max())}")
    if target is not None and not 0 <= target < classes:
        raise UsageError(f"target must lie in 0..{classes - 1}, the victim's classes, not be {target}")


def _spec(
    name: str,
    norm: str | None,
    eps: float,
    goal: GoalName,
    target: int | None,
    budget: Budget | None,
    params: dict[str, object],
) -> AttackSpec:
    component = registry.find("attack", name)
    for what, value, known in (("norm", norm or component.norms[0], component.norms), ("goal", goal, component.goals)):
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
        norm or component.norms[0],
        eps,
        goal,
        target,
        component.access,
        budget=budget or Budget(),
    )


def _named(name: str) -> nn.Module:
    component = registry.find("victim", name)
    params = registry.parse(component, {})
    if component.identify is None:
        raise UsageError(f'victim "{name}" does not say what it is: its registration lacks `identify`')
    model: nn.Module = resolve(component.build)(params, resolve(component.identify)(params, name))
    return model
