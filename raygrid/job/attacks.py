"""What must hold between the fields of one attack: norm, eps, goal, access, source, channel and awareness."""

import math
from collections.abc import Callable, Container, Iterator, Sequence
from typing import get_args

from raygrid.component import ACCESS_ORDER, Component, Task
from raygrid.job.fields import AttackFields, BudgetFields
from raygrid.job.uses import Problem
from raygrid.spec import (
    TRANSCRIPTION_GOALS,
    VERIFICATION_GOALS,
    AttackerAccess,
    AttackSpec,
    Awareness,
    GoalName,
    Precision,
)

# Radius of the smallest ball, around a corner of the box [0, 1]^d, that holds the whole box.
_LARGEST: dict[str, Callable[[int], float]] = {"linf": lambda _: 1.0, "l2": math.sqrt, "l1": float, "l0": float}


def norm_of(component: Component, fields: AttackFields) -> str:
    """Return the norm in force; empty for an attack that knows none."""
    return fields.norm or next(iter(component.norms), "")


def eps_of(fields: AttackFields) -> float:
    """Return the radius in force; infinite for an attack that knows no norm."""
    return math.inf if fields.eps is None else fields.eps


def goal_of(fields: AttackFields, task: Task) -> GoalName:
    """Return the goal in force, given what victims do with the data."""
    usual: dict[Task, GoalName] = {
        "classification": "untargeted",
        "verification": "impersonate",
        "transcription": "transcribe" if fields.phrase else "garble",
    }
    return fields.goal or usual[task]


def access_of(component: Component, fields: AttackFields) -> AttackerAccess:
    """Return the access in force."""
    return fields.access or component.access


def problems(component: Component, fields: AttackFields, keys: Container[str]) -> Iterator[Problem]:
    """Yield what contradicts the component or itself; `keys` are those that the job file gives."""
    this = f'attack "{component.name}"'
    yield from _of_ball(this, component, fields)
    yield from _of_goal(this, component, fields)
    yield from _of_access(this, component, fields, has_source="source" in keys)
    if wrong := check_awareness(component, fields.awareness, "channel" in keys):
        yield "awareness", wrong
    if component.suite:
        yield from _of_suite(this, fields)


def _of_ball(this: str, component: Component, fields: AttackFields) -> Iterator[Problem]:
    norm = norm_of(component, fields)
    if fields.norm is not None and not component.norms:
        yield "norm", f"{this} keeps to no ball around the input and takes no norm"
    elif norm and norm not in component.norms:
        yield "norm", f'{this} knows no norm "{norm}"; it knows: {", ".join(component.norms)}'
    if fields.eps is None and component.norms:
        yield "", f'{this} needs "eps"'
    if fields.eps is not None and not component.norms:
        yield "eps", f"{this} keeps to no ball around the input and takes no eps"
    if norm == "linf" and fields.eps is not None and fields.eps > 1:
        hint = f"; did you mean {fields.eps:g}/255?" if fields.eps <= 255 else ""
        yield "eps", f"eps {fields.eps:g} is outside the input range [0, 1]{hint}"
    if fields.eps is not None and (wrong := _part_of_a_value(norm, fields.eps)):
        yield "eps", wrong


def _of_goal(this: str, component: Component, fields: AttackFields) -> Iterator[Problem]:
    decisions = (*VERIFICATION_GOALS, *TRANSCRIPTION_GOALS)  # of two classes
    wanted = "untargeted" if fields.goal in (None, *decisions) else fields.goal
    if wanted not in component.goals:
        yield (
            "goal",
            f'{this} knows no goal "{fields.goal or wanted}"; it knows: {", ".join(component.goals) or "none"}',
        )
    if fields.goal not in (None, *VERIFICATION_GOALS) and (fields.photos != 1 or fields.combine != "mean"):
        yield (
            "photos",
            f'"photos" and "combine" are for the goals {" and ".join(VERIFICATION_GOALS)}, not "{fields.goal}"',
        )
    if fields.goal == "transcribe" and fields.phrase is None:
        yield "goal", 'goal "transcribe" needs "phrase", the words to be heard'
    if fields.goal not in (None, "transcribe") and fields.phrase is not None:
        yield "phrase", f'is for goal "transcribe", not "{fields.goal}"'
    if fields.goal == "targeted" and fields.target is None:
        yield "goal", 'goal "targeted" needs "target", the number of the class to reach'
    if fields.goal != "targeted" and fields.target is not None:
        other = fields.goal or "untargeted"
        yield "target", f'is for goal "targeted", not "{other}"; make it an attack of its own'


def _of_access(this: str, component: Component, fields: AttackFields, *, has_source: bool) -> Iterator[Problem]:
    access = access_of(component, fields)
    if access == "transfer" and not has_source:
        yield "access", 'access "transfer" needs "source", the victim to craft on'
    if access != "transfer" and has_source:
        yield "source", f'is for access "transfer", not "{access}"; make it an attack of its own'
    if access != "transfer" and fields.surrogate_dropout:
        yield "surrogate_dropout", f'is for access "transfer", not "{access}": no other has a surrogate'
    if wrong := check_precision(component, fields.precision):
        yield "precision", wrong
    if component.access == "none" and access != "none":
        yield "access", f'{this} asks nothing of any victim; its access is "none"'
    elif access != "transfer" and ACCESS_ORDER.index(access) < ACCESS_ORDER.index(component.access):
        yield "access", f'{this} needs {component.access} access, more than "{access}"'


def _of_suite(this: str, fields: AttackFields) -> Iterator[Problem]:
    if fields.access == "transfer":
        yield (
            "access",
            f"{this} is a suite: its stages attack what the former left of a victim; transfer one attack of it",
        )
    if fields.budget != BudgetFields():
        yield "budget", f"{this} is a suite: a budget would end its stages one by one; give one attack of it a budget"
    if fields.eot not in (None, 1):
        yield "eot", f"{this} is a suite and sets eot for its stages itself"


def check_precision(component: Component, precision: Precision) -> str | None:
    """Say what keeps an attack from computing its gradients in this precision; None where nothing does."""
    if precision not in get_args(Precision):
        return f'precision is {" or ".join(get_args(Precision))}, not "{precision}"'
    if precision == "float32" or component.access == "gradient":
        return None
    return f'attack "{component.name}" takes no gradients, and {precision} precision is for these alone'


def check_awareness(component: Component, awareness: Awareness | None, has_channel: bool) -> str | None:
    """Say what keeps an attack from averaging over a channel while crafting; None where nothing does."""
    if awareness in ("none", "defense") or (awareness != "channel" and not has_channel):
        return None
    this = f'attack "{component.name}"'
    if not has_channel:
        return 'awareness "channel" needs "channel", what the attack averages over'
    if component.access == "none":
        return f"{this} takes no look that could pass a channel: say awareness: none"
    if component.suite:
        return f"{this} is a suite, whose attacks look once and decide: say awareness: none, or give one attack of it the channel"
    if component.minimal_norm:
        return (
            f"{this} takes the closest example that one look calls a success, and through a channel no two looks agree: "
            "say awareness: none, or take an attack of a given eps"
        )
    return None


def check_defended(attack: AttackSpec) -> str | None:
    """Say why an attack makes no sense behind the defense that it faces; None where it does."""
    if attack.elsewhere and attack.stage is None and attack.component.suite:
        return (
            "its attacks go on with what the former left, and so it has to know of the defense: leave awareness out, or give one "
            "attack of it awareness: none"
        )
    if attack.filed and attack.component.minimal_norm and attack.stage is None:
        return (
            "it takes the closest example there is, whose copy in a file, rounded towards the clean input, lies on the near side "
            "of the boundary: take an attack of a given eps, or leave judge.stored out"
        )
    if attack.verifies and attack.component.minimal_norm and attack.component.access != "decision":
        return (
            "it takes the closest example that passes for the photos it knows, and others judge, for which that is hardly ever "
            "enough: take an attack of a given eps, or one by decisions"
        )
    if attack.random and attack.component.minimal_norm:
        return (
            "it takes the closest example that one look calls a success, and no two looks agree: say awareness: none, or take an "
            "attack of a given eps"
        )
    return None


def check_budget(attack: AttackSpec) -> str | None:
    """Say why the budget of an attack buys nothing; None where it does, or where there is none."""
    queries, gradients = attack.params.least_passes()
    for name, most, least in (
        ("queries", attack.budget.queries, queries * attack.looks),
        ("gradients", attack.budget.gradients, gradients * attack.looks),
    ):
        if most is not None and most < least:
            return (
                f'attack "{attack.component.name}" takes {least} {name} until it has an example, and its budget is {most}: all '
                "would seem robust"
            )
    return None


def check_rivals(attack: AttackSpec, classes: int) -> str | None:
    """Say that an attack is told to go for more rival classes than there are; None where it is not."""
    wanted = attack.params.rivals_wanted()
    if wanted is None or wanted < classes:
        return None
    return (
        f'attack "{attack.component.name}": targets {wanted}, and besides the true class there are {classes - 1}; say as many, or '
        "leave it out, which takes all there are, 9 at most"
    )


def check_eps(attack: AttackSpec, shape: Sequence[int]) -> str | None:
    """Say what is wrong with an eps that counts no whole values, or whose ball holds every input, so that it restricts nothing.

    Args:
        attack: the attack; norms other than linf, l2, l1 and l0 have no such eps.
        shape: of one sample: channels, height, width.

    Returns:
        The message, or None when all is well.
    """
    if attack.norm not in _LARGEST:
        return None
    if wrong := _part_of_a_value(attack.norm, attack.eps):
        return f'attack "{attack.component.name}": {wrong}'
    largest = _LARGEST[attack.norm](math.prod(shape))
    if attack.eps <= largest:
        return None
    size = "x".join(str(side) for side in shape)
    return (
        f'attack "{attack.component.name}": eps {attack.eps:g} is larger than the whole input range: any {size} input '
        f"lies within {attack.norm} distance {largest:g} of any other; choose a smaller eps"
    )


def _part_of_a_value(norm: str, eps: float) -> str | None:
    if norm != "l0" or eps == math.floor(eps):
        return None
    return f"eps {eps:g} of norm l0 is no whole number; it counts the values (pixels times channels) that may change"
