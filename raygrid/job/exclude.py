"""`exclude`: mappings that drop combinations of a grid, checked so that a typo can't silently run or drop a cell."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

from raygrid.errors import did_you_mean
from raygrid.job.fields import EXCLUDE_KEYS
from raygrid.job.reading import Mistakes, show
from raygrid.job.yaml12 import Node, fraction
from raygrid.spec import AttackSpec, DefenseSpec, GridSpec, VictimSpec

_ABSENT = object()

_OF_ATTACK: dict[str, Callable[[AttackSpec], Any]] = {
    "attack": lambda attack: attack.component.name,
    "norm": lambda attack: attack.norm or None,
    "eps": lambda attack: attack.radius,
    "goal": lambda attack: attack.goal,
    "access": lambda attack: attack.access,
    "source": lambda attack: attack.source.id if attack.source else None,
    "channel": lambda attack: attack.channel.component.name if attack.channel else None,
    "awareness": lambda attack: attack.awareness,
}


def excluded(grid: GridSpec, victim: VictimSpec, defense: DefenseSpec, attack: AttackSpec) -> bool:
    """Say whether one mapping of the grid's `exclude` matches the combination in all its keys."""
    return any(
        all(_value(key, victim, defense, attack) == value for key, value in rule.items()) for rule in grid.exclude
    )


def _value(key: str, victim: VictimSpec, defense: DefenseSpec, attack: AttackSpec) -> Any:
    if key == "victim":
        return victim.id
    if key == "defense":
        return defense.component.name
    return _attack_value(key, attack)


def _attack_value(key: str, attack: AttackSpec) -> Any:
    return _OF_ATTACK[key](attack) if key in _OF_ATTACK else getattr(attack.params, key, _ABSENT)


def read_exclude(
    node: Node,
    victims: Sequence[VictimSpec],
    defenses: Sequence[DefenseSpec],
    attacks: Sequence[AttackSpec],
    mistakes: Mistakes,
) -> tuple[dict[str, Any], ...]:
    """Check the list of mappings and write out lists of values, so that every mapping has one value a key.

    Values become those of the grid itself (8/255 the float, a list the tuple), so that `excluded` only compares.
    """
    values = _values_of(victims, defenses, attacks)
    rules: list[dict[str, Any]] = []
    for item in node.value if isinstance(node.value, tuple) else (node,):
        if not isinstance(item.value, dict) or not item.value:
            mistakes.add(item, f"must be a mapping such as {{attack: pgd, eps: 8/255}}, not {show(item)}")
            continue
        found = {key: list(_matches(key, child, values, mistakes)) for key, child in item.value.items()}
        combinations = [dict(zip(found, choice, strict=True)) for choice in product(*found.values())]
        dropping = [rule for rule in combinations if _drops_something(rule, attacks)]
        if combinations and not dropping:
            mistakes.add(item, "no attack of the grid has all of this at once")
        rules.extend(dropping)
    return tuple(rules)


def _values_of(
    victims: Sequence[VictimSpec], defenses: Sequence[DefenseSpec], attacks: Sequence[AttackSpec]
) -> dict[str, list[Any]]:
    """List the values that each key takes in the grid."""
    parameters = {name: None for attack in attacks for name in type(attack.params).model_fields}
    keys = dict.fromkeys((*EXCLUDE_KEYS, *parameters))
    taken = {
        key: [_attack_value(key, attack) for attack in attacks] for key in keys if key not in ("victim", "defense")
    }
    taken["victim"] = [victim.id for victim in victims]
    taken["defense"] = [defense.component.name for defense in defenses]
    return {key: [value for value in values if value is not _ABSENT] for key, values in taken.items()}


def _matches(key: str, node: Node, values: Mapping[str, list[Any]], mistakes: Mistakes) -> Iterator[Any]:
    """Yield the values of the grid that a written value, or each value of a written list, stands for."""
    if key not in values:
        near = did_you_mean(key, values) or f"; known: {', '.join(values)}"
        mistakes.add(node, f'unknown key "{key}" of exclude{near}', node.key_at)
        return
    taken = values[key]
    whole = next((value for value in taken if _same(node, value)), _ABSENT)
    if whole is _ABSENT and isinstance(node.value, tuple):
        for item in node.value:
            yield from _matches(key, replace(item, key_at=node.key_at), values, mistakes)
    elif whole is _ABSENT:
        known = dict.fromkeys(_text(value) for value in taken)
        near = did_you_mean(str(node.value), known) or f"; it has: {', '.join(list(known)[:8])}"
        mistakes.add(node, f"nothing in the grid has {key} {show(node)}{near}")
    else:
        yield whole


def _same(node: Node, value: Any) -> bool:
    written = node.plain()
    if isinstance(value, float) and isinstance(written, str):
        return fraction(written) == value
    if isinstance(value, bool) or isinstance(written, bool):
        return written is value
    return bool(written == (list(value) if isinstance(value, tuple) else value))


def _text(value: object) -> str:
    if value is None:
        return "null"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _drops_something(rule: Mapping[str, Any], attacks: Sequence[AttackSpec]) -> bool:
    asked = {key: value for key, value in rule.items() if key not in ("victim", "defense")}
    return any(all(_attack_value(key, attack) == value for key, value in asked.items()) for attack in attacks)
