"""Defenses one after another, as one defense, and channels as one channel: what planning knows of them. Imports neither torch
nor ray."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, SerializeAsAny

from raygrid.component import Access, Component, Params
from raygrid.spec import ChannelSpec, DefenseSpec


class Part(BaseModel):
    """One defense or channel of a chain."""

    model_config = ConfigDict(frozen=True)

    use: str
    version: int
    params: SerializeAsAny[Params]
    build: str = Field(exclude=True)


class Chain(Params):
    """Defenses, or channels, one after another. The first meets the input first."""

    parts: tuple[Part, ...]
    """At least two."""

    def draws_at_random(self) -> bool:
        """Whether any of them does."""
        return any(part.params.draws_at_random() for part in self.parts)

    def without_slope(self) -> bool:
        """Whether any of them does."""
        return any(part.params.without_slope() for part in self.parts)

    def computed_by(self) -> tuple[str, ...]:
        """Name the packages of all."""
        return tuple(sorted({name for part in self.parts for name in part.params.computed_by()}))

    def keyed(self) -> Any:
        """Return each of them as keys have it."""
        return {"parts": [{"use": p.use, "version": p.version, "params": p.params.keyed()} for p in self.parts]}

    def measured_rooms(self) -> Mapping[str, frozenset[str]]:
        """Name the impulse responses of all."""
        found: dict[str, frozenset[str]] = {}
        for part in self.parts:
            for split, digests in part.params.measured_rooms().items():
                found[split] = found.get(split, frozenset()) | digests
        return found

    def detects(self) -> bool:
        """Whether the first may raise the alarm."""
        return self.parts[0].params.detects()

    def reaches_inside(self) -> bool:
        """Whether any of them does."""
        return any(part.params.reaches_inside() for part in self.parts)

    def for_pictures(self) -> bool:
        """Whether any of them does."""
        return any(part.params.for_pictures() for part in self.parts)

    def reads_classes(self) -> bool:
        """Whether any of them does."""
        return any(part.params.reads_classes() for part in self.parts)

    def averages_answers(self) -> bool:
        """Whether any of them does."""
        return any(part.params.averages_answers() for part in self.parts)

    def leaves(self, most: Access) -> Access:
        """Return the most that may be asked of a victim behind all of them."""
        for part in reversed(self.parts):
            most = part.params.leaves(most)
        return most

    def named(self, name: str) -> str:
        """Name each of them with those of its parameters that differ from their defaults."""
        return "+".join(part.params.named(part.use) for part in self.parts)


def chain(specs: Sequence[DefenseSpec]) -> DefenseSpec:
    """Return one defense that is several, one after another: the first meets the input first. `none` stands for none.

    Raises:
        ValueError: they don't go together; the message says why.
    """
    some = [spec for spec in specs if not spec.is_none]
    if len(some) < 2:
        return (some or specs)[0]
    inside = [spec.component.name for spec in some if spec.params.reaches_inside()]
    if len(inside) > 1:
        raise ValueError(
            f"{' and '.join(inside)} both change hidden layers, and each has to stand right around the victim: give one of them, "
            "such as noise at `site: all`"
        )
    if measured := [spec.component.name for spec in some if spec.params.needs_fit()]:
        raise ValueError(
            f"{measured[0]} has to be measured first, which a chain does not do: give its sigma in absolute units"
        )
    if late := [spec.component.name for spec in some[1:] if spec.params.detects()]:
        raise ValueError(f"{late[0]} raises the alarm by what the whole chain answers: name it first")
    parts = _parts(some)
    component = Component(
        kind="defense",
        name="+".join(part.use for part in parts),
        summary="Defenses one after another.",
        build="raygrid.defenses.chain:chained",
        params=Chain,
    )
    return DefenseSpec(component, Chain(parts=parts))


def channel_chain(specs: Sequence[ChannelSpec]) -> ChannelSpec:
    """Return one channel that is several, one after another: the first meets the example first. Channels of sound only; where it
    runs, the chain refuses others.

    Raises:
        ValueError: there are none.
    """
    if len(specs) == 1:
        return specs[0]
    if not specs:
        raise ValueError("a chain of no channels")
    if pictures := [spec.component.name for spec in specs if spec.component.task != "transcription"]:
        raise ValueError(f'channel "{pictures[0]}" is for pictures, and a chain takes channels of sound')
    parts = _parts(specs)
    component = Component(
        kind="channel",
        task="transcription",
        name="+".join(part.use for part in parts),
        summary="Channels one after another.",
        build="raygrid.channels.chain:chained",
        params=Chain,
    )
    return ChannelSpec(component, Chain(parts=parts))


def _parts(specs: Sequence[DefenseSpec | ChannelSpec]) -> tuple[Part, ...]:
    return tuple(
        Part(use=s.component.name, version=s.component.version, params=s.params, build=s.component.build) for s in specs
    )
