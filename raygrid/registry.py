"""name -> Component: one table for victims, datasets, attacks, defenses and channels, built-in or from other packages.

Signatures of `Component.build`, by kind (p: the component's Params):

    victim   (p, info: VictimInfo) -> Victim            on a host, with torch
             and `identify`: (p, id: str) -> VictimInfo  in the driver, without torch
             and `fit`: (p, x [N, C, H, W], labels [N]) -> {name: tensor}; `build` is then (p, info, weights: mapping or None), and
             without weights a net that has yet to learn
    data     (p, limit: int | None) -> Dataset           in the driver
    attack   (oracle, goal, x, constraint, randomness, **p) -> x_adv   on a host
             and `fit`: (oracle, goal, x, constraint, randomness, **p) -> {name: tensor}, which `build` takes as `fitted`
             a suite: (p, norm) -> tuple[Stage, ...]     in the driver, without torch
             and `mask`: (p, sample_ids, shape) -> bool [N, 1, H, W]    on a host; shape (C, H, W) of the inputs,
             the rows in the order of the ids and, as everything else, each from its own id alone
    defense  (p, victim: Victim) -> Victim               on a host
             and `fit`: (p, victim, x [N, C, H, W], micro_batch) -> {name: tensor}; `build` is then (p, victim, fitted)
    channel  (p, x, randomness, purpose, index) -> x     on a host

Another package registers through the entry point group `raygrid.components`, whose objects are iterables of Component.
"""

from collections.abc import Iterable, Iterator
from functools import cache
from importlib.metadata import entry_points
from typing import Any

from pydantic import ValidationError

from raygrid.component import Component, Kind, Params, resolve
from raygrid.errors import UsageError, did_you_mean

CATALOGS = ("victims", "data", "attacks", "defenses", "channels")
ENTRY_POINT_GROUP = "raygrid.components"
PLURALS: dict[str, Kind] = {
    "victims": "victim",
    "data": "data",
    "attacks": "attack",
    "defenses": "defense",
    "channels": "channel",
}


def collect(entries: Iterable[tuple[str, Component]]) -> dict[tuple[Kind, str], Component]:
    """Build the table from (who registers, component) pairs.

    Raises:
        UsageError: two packages register the same name; both are named.
    """
    table: dict[tuple[Kind, str], Component] = {}
    owners: dict[tuple[Kind, str], str] = {}
    for owner, component in entries:
        key = (component.kind, component.name)
        if key in table:
            raise UsageError(
                f'{component.kind} "{component.name}" is registered by {owners[key]} and by {owner}; uninstall one of them'
            )
        table[key], owners[key] = component, owner
    return table


@cache
def components() -> dict[tuple[Kind, str], Component]:
    """Return every registered component, built-in first."""
    return collect(_entries())


def _entries() -> Iterator[tuple[str, Component]]:
    for package in CATALOGS:
        for component in resolve(f"raygrid.{package}.catalog:COMPONENTS"):
            yield "raygrid", component
    for point in entry_points(group=ENTRY_POINT_GROUP):
        for component in point.load():
            yield f"{point.dist.name if point.dist else point.value}", component


def of_kind(kind: Kind) -> list[Component]:
    """Return the components of one kind, in the order they were registered."""
    return [c for (k, _), c in components().items() if k == kind]


def find(kind: Kind, name: str) -> Component:
    """Return the component.

    Raises:
        UsageError: no such name; the nearest is offered.
    """
    try:
        return components()[kind, name]
    except KeyError:
        names = [c.name for c in of_kind(kind)]
        hint = did_you_mean(name, names) or f"; known: {', '.join(names)}"
        raise UsageError(f'unknown {kind} "{name}"{hint}') from None


def parse(component: Component, values: dict[str, Any]) -> Params:
    """Validate parameters outside a job file (notebook, CLI). Job files have their own path, with file and line.

    Raises:
        UsageError: each wrong parameter, all at once.
    """
    try:
        return component.params.model_validate(values)
    except ValidationError as error:
        raise UsageError(
            *(explain(component, e["loc"], e["type"], e["msg"], e["input"]) for e in error.errors())
        ) from None


def explain(component: Component, loc: tuple[int | str, ...], kind: str, message: str, value: object) -> str:
    """Say one pydantic error in the project's words."""
    field = ".".join(str(part) for part in loc)
    if kind == "extra_forbidden":
        hint = did_you_mean(field, component.params.model_fields)
        return f'unknown parameter "{field}" of {component.kind} "{component.name}"{hint}'
    if kind == "missing":
        return f'{component.kind} "{component.name}" needs the parameter "{field}"'
    return f"{field}: {message[0].lower()}{message[1:]}, not {value!r}"


def label(name: str, params: Params) -> str:
    """Name a component with the parameters that differ from their defaults."""
    return params.named(name)
