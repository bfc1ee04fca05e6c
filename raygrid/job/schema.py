"""The JSON Schema of job files (draft 2020-12), for editors: from the declarations that `load_job` validates by."""

from typing import Any

from raygrid import registry
from raygrid.component import Component, Kind, Params
from raygrid.job.fields import CHAIN, ENSEMBLE, EXCLUDE_KEYS, FIELDS, GridFields, JobFields, VictimFields
from raygrid.job.reading import Schema, is_axis, schema_of
from raygrid.job.uses import Table

Json = dict[str, Any]

FRACTION_PATTERN = r"^\s*[-+]?[0-9.]+([eE][-+]?[0-9]+)?\s*/\s*[-+]?[0-9.]+([eE][-+]?[0-9]+)?\s*$"


def job_schema(components: Table | None = None) -> Json:
    """Return the JSON Schema of job files that use these components; default: all that are registered.

    `raygrid schema > jobs/job.schema.json` writes it; a job file names it in its first line,
    `# yaml-language-server: $schema=./job.schema.json`. It is looser than `load_job`: it knows neither ids nor what
    must hold between fields.
    """
    table = registry.components() if components is None else components
    uses = {kind: [c for (k, _), c in table.items() if k == kind] for kind in FIELDS}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "raygrid job",
        "description": "A grid of victims x defenses x attacks x budgets, or several.",
        **_object(
            {
                **_fields(JobFields),
                "grids": {
                    "description": "Names and their grids.",
                    "type": "object",
                    "minProperties": 1,
                    "propertyNames": {"pattern": "^[A-Za-z0-9_-]+$"},
                    "additionalProperties": _ref("grid"),
                },
            },
            ["version", "grids"],
        ),
        "$defs": {
            "grid": _grid(),
            "source": {"anyOf": [{"type": "string"}, _ref("victim")]},
            "fraction": {"description": "A fraction such as 8/255.", "type": "string", "pattern": FRACTION_PATTERN},
            **{f"{kind}-fields": {"properties": _fields(model)} for kind, model in FIELDS.items()},
            **{kind: _any_use(kind, known) for kind, known in uses.items()},
            **{f"{kind}.{c.name}": _use(kind, c) for kind, known in uses.items() for c in known},
        },
    }


def _grid() -> Json:
    value = {"type": ["string", "number", "boolean", "null"]}
    rule = {
        "type": "object",
        "minProperties": 1,
        "properties": {key: _one_or_list(value) for key in EXCLUDE_KEYS},
        "additionalProperties": True,
    }
    properties = {
        "data": {"description": "The dataset.", **_ref("data")},
        "victims": {"description": "The models under test.", **_one_or_list(_ref("victim"))},
        "defenses": {"description": "What wraps the victims. Default: none.", **_one_or_list(_ref("defense"))},
        "attacks": {"description": "Who attacks, and how hard.", **_one_or_list(_ref("attack"))},
        "exclude": {
            "description": "Combinations to drop: all that a mapping matches. Parameters of attacks are keys too.",
            **_one_or_list(rule),
        },
        **_fields(GridFields),
    }
    return _object(properties, ["data", "victims", "attacks"])


def _any_use(kind: Kind, known: list[Component]) -> Json:
    """Any use of a component of the kind: its name alone where no parameter is required, or a mapping."""
    names = [_name(c) for c in known if not _required(kind, c)]
    texts = [_text_after_colon(c) for c in known if c.shorthand and set(_required(kind, c)) <= {c.shorthand}]
    mappings = [_ref(f"{kind}.{c.name}") for c in known]
    return {"anyOf": [*names, *texts, *mappings, *_composite(kind)]}


def _composite(kind: Kind) -> list[Json]:
    if kind == "defense":
        about = "Defenses one after another; the first meets the input first."
        return [_object({CHAIN: _composed_of(kind, about)}, [CHAIN])]
    if kind == "victim":
        about = "Victims that answer together, by the mean of their probabilities."
        shared = {key: _ref(f"{kind}-fields/properties/{key}") for key in VictimFields.model_fields}
        return [_object({ENSEMBLE: _composed_of(kind, about), **shared}, [ENSEMBLE])]
    return []


def _composed_of(kind: Kind, about: str) -> Json:
    return {"description": about, "type": "array", "items": _ref(kind), "minItems": 1}


def _use(kind: Kind, component: Component) -> Json:
    names = [_name(component), *([_text_after_colon(component)] if component.shorthand else [])]
    common = schema_of(FIELDS[kind]).get("properties", {})
    properties: Json = {
        "use": {"anyOf": names},
        **{key: _ref(f"{kind}-fields/properties/{key}") for key in common},
        **_fields(component.params),
    }
    if kind == "attack":
        # Beside the reference, which brings the description: what this attack knows.
        properties["norm"] |= _one_or_list({"enum": list(component.norms)}) if component.norms else {"const": None}
        properties["eps"] |= {} if component.norms else {"const": None}
        properties["goal"] |= _one_or_list({"enum": list(component.goals)})
        properties["source"] = {
            "description": "Under `access: transfer`, the victim to craft on: the id of one of the grid, or a use.",
            **_one_or_list(_ref("source")),
        }
        chain = _object({CHAIN: _composed_of("channel", "Channels of sound one after another.")}, [CHAIN])
        properties["channel"] = {
            "description": "What lies between the example and the victim: judged through it, and crafted through it too unless "
            "`awareness: none`.",
            **_one_or_list({"anyOf": [_ref("channel"), chain]}),
        }
    required = [key for key in _required(kind, component) if key != component.shorthand]
    described = f"{component.summary} ({component.source})" if component.source else component.summary
    return {"description": described, **_object(properties, ["use", *required])}


def _name(component: Component) -> Json:
    return {"const": component.name, "description": component.summary}


def _text_after_colon(component: Component) -> Json:
    description = f"{component.summary} After the colon: {component.shorthand}."
    return {"type": "string", "pattern": f"^{component.name}:.+$", "description": description}


def _required(kind: Kind, component: Component) -> list[str]:
    models: tuple[type[Params], ...] = (FIELDS[kind], component.params)
    ball = ["eps"] if kind == "attack" and component.norms else []
    return [*ball, *(key for model in models for key in schema_of(model).get("required", ()))]


def _fields(model: type[Params]) -> Json:
    return {key: _field(sub) for key, sub in schema_of(model).get("properties", {}).items()}


def _field(sub: Schema) -> Json:
    """Write a field as a job file may: fractions beside numbers, axes beside single values."""
    about = {key: sub[key] for key in ("description", "default") if key in sub}
    if "x-planned" in sub:
        about["description"] = f"Not built yet (planned: {sub['x-planned']}). {about.get('description', '')}"
    value = _with_fractions({key: item for key, item in sub.items() if key not in about and not key.startswith("x-")})
    return {**about, **(_one_or_list(value) if is_axis(sub) else value)}


def _with_fractions(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_with_fractions(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if "properties" in schema:
        schema = {**schema, "properties": {key: _field(sub) for key, sub in schema["properties"].items()}}
    else:
        schema = {key: _with_fractions(item) for key, item in schema.items()}
    if schema.get("type") == "number":
        return {"anyOf": [schema, _ref("fraction")]}
    return schema


def _one_or_list(value: Json) -> Json:
    return {"oneOf": [value, {"type": "array", "items": value, "minItems": 1}]}


def _object(properties: Json, required: list[str]) -> Json:
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _ref(name: str) -> Json:
    return {"$ref": f"#/$defs/{name}"}
