"""Node + pydantic model -> checked values: fractions, axes, and errors that know their place. Knows no field of a job.

The JSON Schema of a model says what each field takes, so that fractions and axes follow from the declared types.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import product
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from raygrid.errors import UsageError, did_you_mean
from raygrid.job.yaml12 import Mark, Node, fraction

Schema = Mapping[str, Any]
M = TypeVar("M", bound=BaseModel)

_EXPECTED = {
    "int_type": "must be a whole number",
    "float_type": "must be a number or a fraction such as 8/255",
    "bool_type": "must be true or false",
    "string_type": "must be a text",
    "model_type": "must be a mapping",
    "tuple_type": "must be a list",
}


@dataclass
class Mistakes:
    """The messages of one load, told all at once in the order of the file."""

    found: dict[tuple[Mark, str], None] = field(default_factory=dict)
    refused: set[Mark] = field(default_factory=set)
    """Places where YAML itself is wrong: what else is wrong with a value there is not worth a word."""

    def add(self, node: Node, what: str, at: Mark | None = None) -> None:
        """Blame a node: at its value unless another position is given."""
        if (at or node.at) not in self.refused:
            self.found[at or node.at, f"{node.path}: {what}" if node.path else what] = None

    def refuse(self, at: Mark, path: str, what: str) -> None:
        """Blame a place for what is left out of YAML on purpose."""
        self.found[at, f"{path}: {what}" if path else what] = None
        self.refused.add(at)

    def note(self, error: UsageError) -> None:
        """Take over messages that carry their own position."""
        for message in error.messages:
            self.found[Mark(""), message] = None

    def error(self) -> UsageError:
        """Return the error to raise: one message for each mistake, sorted by position."""
        ordered = sorted(self.found, key=lambda mistake: mistake[0][1:])
        return UsageError(*(f"{at} {message}".lstrip() for at, message in ordered))


@dataclass(frozen=True)
class Thing:
    """What is being read, as messages name it."""

    name: str
    """`attack "pgd"`."""
    also: tuple[str, ...] = ()
    """Keys that it may have besides the fields of the model."""
    word: str = "key"
    """What its keys are called."""
    hint: str = ""
    """Second line of the message for an unknown key."""


@cache
def schema_of(model: type[BaseModel]) -> Schema:
    """Return the JSON Schema of a model with references written out and titles left out."""
    schema = model.model_json_schema()
    return dict(_inline(schema, schema.get("$defs", {})))


def _inline(schema: Any, defs: Mapping[str, Any]) -> Any:
    if isinstance(schema, list):
        return [_inline(item, defs) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        schema = {**defs[schema["$ref"].rpartition("/")[2]], **{k: v for k, v in schema.items() if k != "$ref"}}
    drop = {"$defs"} | ({"title"} if isinstance(schema.get("title"), str) else set())
    return {key: _inline(value, defs) for key, value in schema.items() if key not in drop}


def is_axis(schema: Schema) -> bool:
    """Say whether a list in this place is an axis: where one value is expected and nothing says otherwise."""
    return (
        schema.get("x-axis", True)
        and "x-planned" not in schema
        and not any(b.get("type") == "array" or not b.keys() & {"type", "enum", "const"} for b in _branches(schema))
    )


def _branches(schema: Schema) -> Sequence[Schema]:
    return schema.get("anyOf") or schema.get("oneOf") or (schema,)


def _properties(schema: Schema) -> dict[str, Schema]:
    return {name: sub for branch in _branches(schema) for name, sub in branch.get("properties", {}).items()}


def coerce(node: Node, schema: Schema) -> Node:
    """Turn fractions into floats where a number is expected, and 1e3 into an integer where only integers are."""
    types = {branch.get("type") for branch in _branches(schema)}
    match node.value:
        case str(text) if "number" in types and "string" not in types and (value := fraction(text)) is not None:
            return replace(node, value=value)
        case float(number) if "integer" in types and "number" not in types and number.is_integer():
            return replace(node, value=int(number))
        case tuple(items):
            subs = [schema] * len(items) if is_axis(schema) else _item_schemas(schema, len(items))
            return replace(node, value=tuple(coerce(i, s) for i, s in zip(items, subs, strict=True)))
        case dict(children):
            subs_by_key = _properties(schema)
            return replace(node, value={key: coerce(c, subs_by_key.get(key, {})) for key, c in children.items()})
    return node


def _item_schemas(schema: Schema, count: int) -> list[Schema]:
    array = next((branch for branch in _branches(schema) if branch.get("type") == "array"), {})
    first = list(array.get("prefixItems", ()))[:count]
    rest = array.get("items")
    return first + [rest if isinstance(rest, dict) else {}] * (count - len(first))


def expand(node: Node, schema: Schema, mistakes: Mistakes) -> list[Node]:
    """Cross all axes in and below a node: one node for each combination, the last axis fastest."""
    match node.value:
        case tuple(items) if is_axis(schema):
            _check_axis(node, items, mistakes)
            return [alternative for item in items for alternative in expand(item, schema, mistakes)]
        case dict(children):
            subs = _properties(schema)
            axes = [expand(child, subs.get(key, {}), mistakes) for key, child in children.items()]
            return [replace(node, value=dict(zip(children, choice, strict=True))) for choice in product(*axes)]
    return [node]


def _check_axis(node: Node, items: tuple[Node, ...], mistakes: Mistakes) -> None:
    if not items:
        mistakes.add(node, "the list is empty; give at least one value or leave the key out")
    seen: set[str] = set()
    for item in items:
        text = json.dumps(item.plain())
        if text in seen:
            mistakes.add(item, f"{show(item)} is listed twice")
        seen.add(text)


def read_fields(model: type[M], node: Node, thing: Thing, mistakes: Mistakes) -> list[M]:
    """Read the fields of a mapping, less the keys in `thing.also`: one instance for each combination of axes."""
    children = node.value if isinstance(node.value, dict) else {}
    fields = {key: child for key, child in children.items() if key not in thing.also}
    schema = schema_of(model)
    choices = expand(coerce(replace(node, value=fields), schema), schema, mistakes)
    checked = [validate(model, choice, thing, mistakes) for choice in choices]
    return [instance for instance in checked if instance is not None]


def validate(model: type[M], node: Node, thing: Thing, mistakes: Mistakes) -> M | None:
    """Check a mapping against a model, strictly: "20" is no number and 1 is no truth value.

    Returns:
        The instance, or None after its mistakes were noted.
    """
    try:
        return model.model_validate_json(json.dumps(node.plain()), strict=True)
    except ValidationError as error:
        places: dict[tuple[str, Mark], tuple[Node, list[str]]] = {}
        for detail in error.errors():
            blamed, at, what = _explain(schema_of(model), node, detail, thing)
            places.setdefault((blamed.path, at), (blamed, []))[1].append(what)
    for (_, at), (blamed, whats) in places.items():
        # The branches of a union complain one by one.
        rest = [what.removeprefix("must be ") for what in whats[1:]]
        mistakes.add(blamed, " or ".join([whats[0].partition(", not ")[0], *rest]) if rest else whats[0], at)
    return None


def _explain(schema: Schema, node: Node, detail: ErrorDetails, thing: Thing) -> tuple[Node, Mark, str]:
    """Say one pydantic error in the project's words: whom to blame, at which position, what."""
    loc, kind = detail["loc"], detail["type"]
    blamed = _descend(node, loc)
    sub = _sub_schema(schema, loc)
    if kind == "extra_forbidden":
        key = str(loc[-1])
        owner, also = (thing.name, thing.also) if len(loc) == 1 else (f'"{loc[-2]}"', ())
        near = did_you_mean(key, (*_properties(_sub_schema(schema, loc[:-1])), *also))
        hint = thing.hint if len(loc) == 1 else ""
        return blamed, blamed.key_at, f'unknown {thing.word} "{key}" of {owner}{near}{hint}'
    if kind == "missing" and isinstance(loc[-1], int):
        return blamed, blamed.at, f"the list is too short: item [{loc[-1]}] is missing"
    if kind == "missing":
        owner = thing.name if len(loc) == 1 else f'"{loc[-2]}"'
        return blamed, blamed.at, f'{owner} needs "{loc[-1]}"'
    if "x-planned" in sub:
        return blamed, blamed.at, f"not built yet (planned: {sub['x-planned']}); leave it out"
    if kind == "value_error":
        return blamed, blamed.at, detail["msg"].removeprefix("Value error, ")
    what = _EXPECTED.get(kind) or re.sub("^Input should be", "must be", detail["msg"])
    choices = re.findall("'([^']*)'", detail.get("ctx", {}).get("expected", ""))
    near = did_you_mean(str(blamed.value), choices) if isinstance(blamed.value, str) else ""
    return blamed, blamed.at, f"{what[0].lower()}{what[1:]}, not {show(blamed)}{near}"


def _descend(node: Node, loc: Iterable[str | int]) -> Node:
    """Follow a pydantic location as far as it leads through the tree; union tags lead nowhere."""
    for part in loc:
        match node.value, part:
            case dict(children), str(key) if key in children:
                node = children[key]
            case tuple(items), int(i) if i < len(items):
                node = items[i]
            case _:
                break
    return node


def _sub_schema(schema: Schema, loc: Iterable[str | int]) -> Schema:
    for part in loc:
        sub = _properties(schema).get(str(part))
        if sub is None:
            break
        schema = sub
    return schema


def show(node: Node) -> str:
    """Quote a value in a message, shortened."""
    if isinstance(node.value, dict | tuple):
        return "a list" if isinstance(node.value, tuple) else "a mapping"
    text = json.dumps(node.value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."
