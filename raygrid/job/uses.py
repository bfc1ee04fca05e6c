"""One `use` of a component in a job file -> its axis-free alternatives, each with checked fields and parameters."""

from collections.abc import Callable, Collection, Container, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from raygrid.component import Component, Kind, Params
from raygrid.errors import did_you_mean
from raygrid.job.reading import Mistakes, Schema, Thing, coerce, expand, is_axis, schema_of, show, validate
from raygrid.job.yaml12 import Node, join
from raygrid.registry import PLURALS

Table = Mapping[tuple[Kind, str], Component]
F = TypeVar("F", bound=Params)
Problem = tuple[str, str]
"""The field to blame and what is wrong with it."""

NOUNS: dict[Kind, str] = {
    "victim": "victim",
    "data": "dataset",
    "attack": "attack",
    "defense": "defense",
    "channel": "channel",
}
_USE: Schema = {"anyOf": [{"type": "string"}, {"type": "object"}]}
SPECIAL: dict[Kind, dict[str, Schema]] = {"attack": {"source": _USE, "channel": _USE}}
"""Keys that are uses themselves: a name or a mapping, never a list, so that a list of them is an axis."""


@dataclass(frozen=True)
class Use(Generic[F]):
    """One combination of the axes of a use."""

    node: Node
    """The mapping with one value a key: the place to blame."""
    component: Component
    fields: F
    """What a job may say of any component of the kind."""
    params: Params
    axes: tuple[str, ...]
    """Keys that hold a list in the file."""


@dataclass(frozen=True)
class Uses(Generic[F]):
    """All combinations of the axes of a use; empty after a mistake."""

    alternatives: tuple[Use[F], ...] = ()
    resolved: dict[str, Any] | None = None
    """Plain JSON: shorthands and defaults written out, axes as lists. None after a mistake."""


def _no_problems(component: Component, fields: F, keys: Container[str]) -> Iterable[Problem]:
    return ()


def read_use(
    kind: Kind,
    fields: type[F],
    node: Node,
    table: Table,
    mistakes: Mistakes,
    check: Callable[[Component, F, Container[str]], Iterable[Problem]] = _no_problems,
    offers: tuple[str, ...] = (),
) -> Uses[F]:
    """Read `name`, `name:text` or `{use: name, ...}`, where lists are axes.

    Args:
        kind: of the component.
        fields: what a job may say of any component of the kind.
        node: where the use stands.
        table: of components.
        mistakes: take what is wrong.
        check: finds what does not go together, of the component, the fields and the keys that were written.
        offers: further names that would have done, for the hint after an unknown one.
    """
    named = _named(kind, node, table, mistakes, offers)
    if named is None:
        return Uses()
    component, mapping = named
    schema = _declared(kind, fields, component)
    common = _properties(fields).keys()
    thing = Thing(
        name=f'{NOUNS[kind]} "{component.name}"',
        also=("use", *schema["properties"]),
        word="parameter",
        hint=f"\n  raygrid describe {component.name} lists them.",
    )
    mapping = coerce(mapping, schema)
    axes = tuple(k for k, c in _children(mapping).items() if isinstance(c.value, tuple) and is_axis(_sub(schema, k)))
    alternatives = []
    for choice in expand(mapping, schema, mistakes):
        keys = _children(choice).keys()
        said = validate(fields, _part(choice, keys & common), thing, mistakes)
        params = validate(
            component.params, _part(choice, keys - common - SPECIAL.get(kind, {}).keys()), thing, mistakes
        )
        if said is None:
            continue
        for field, what in check(component, said, keys):
            mistakes.add(choice.child(field), what)
        if params is not None:
            alternatives.append(Use(choice, component, said, params, axes))
    return Uses(tuple(alternatives), _resolved(mapping, alternatives[0]) if alternatives else None)


def _declared(kind: Kind, fields: type[F], component: Component) -> Schema:
    """Return the schema of all that may be said in a use of the component, besides `use`."""
    common, own = _properties(fields), _properties(component.params)
    if shadowed := common.keys() & own.keys():
        raise ValueError(f"{kind} {component.name} declares {sorted(shadowed)}, which every {kind} has already")
    return {"properties": {**common, **own, **SPECIAL.get(kind, {})}}


def _resolved(mapping: Node, first: Use[F]) -> dict[str, Any]:
    """Write defaults out, after what was written: the order of axes is the order of the grid."""
    written = mapping.plain()
    defaults = {**first.fields.model_dump(mode="json", exclude_none=True), **first.params.model_dump(mode="json")}
    missing = {key: value for key, value in defaults.items() if key not in written}
    return {"use": first.component.name, **written, **missing}


def _properties(model: type[Params]) -> dict[str, Schema]:
    return dict(schema_of(model).get("properties", {}))


def _sub(schema: Schema, key: str) -> Schema:
    sub: Schema = schema["properties"].get(key, {})
    return sub


def _children(node: Node) -> dict[str, Node]:
    return node.value if isinstance(node.value, dict) else {}


def _part(node: Node, keys: Collection[str]) -> Node:
    return replace(node, value={key: child for key, child in _children(node).items() if key in keys})


def _named(
    kind: Kind, node: Node, table: Table, mistakes: Mistakes, offers: tuple[str, ...]
) -> tuple[Component, Node] | None:
    """Find the component and return it with the mapping of what is said about it, less `use`."""
    noun = NOUNS[kind]
    if isinstance(node.value, str):
        name_node, said = node, {}
    elif isinstance(node.value, dict):
        said = dict(node.value)
        if "use" not in said:
            hint = did_you_mean("use", said)
            mistakes.add(node, f'this {noun} needs "use", the name of one{hint}')
            return None
        name_node = said.pop("use")
    else:
        mistakes.add(node, f"must be the name of one {noun} or a mapping {{use: name, ...}}, not {show(node)}")
        return None
    if not isinstance(name_node.value, str):
        mistakes.add(name_node, f"must be the name of one {noun}, not {show(name_node)}")
        return None
    return _looked_up(kind, replace(node, value=said), name_node, table, mistakes, offers)


def _looked_up(
    kind: Kind, said: Node, name_node: Node, table: Table, mistakes: Mistakes, offers: tuple[str, ...]
) -> tuple[Component, Node] | None:
    """Look the name up and let the text after a colon fill the parameter that the component declares for it."""
    name, colon, text = str(name_node.value).partition(":")
    noun = NOUNS[kind]
    component = table.get((kind, name))
    if component is None:
        near = did_you_mean(name, (*offers, *(known for k, known in table if k == kind)))
        plural = next(word for word, k in PLURALS.items() if k == kind)
        mistakes.add(name_node, f'unknown {noun} "{name}"{near}\n  raygrid list {plural} lists them.')
        return None
    if not colon:
        return component, said
    children = _children(said)
    parameter = component.shorthand
    if parameter is None:
        mistakes.add(name_node, f'{noun} "{name}" takes nothing after a colon')
        return None
    if parameter in children:
        mistakes.add(children[parameter], f'"{parameter}" is set twice: here and by "{name_node.value}"')
        return None
    filled = Node(name_node.at, join(said.path, parameter), text, name_node.key_at)
    return component, replace(said, value={parameter: filled, **children})
