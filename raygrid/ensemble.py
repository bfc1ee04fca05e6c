"""Victims that answer together, as one victim: what planning knows of them. Imports neither torch nor ray."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SerializeAsAny

from raygrid.component import Component, Params
from raygrid.spec import VictimSpec


class Member(BaseModel):
    """One victim of an ensemble."""

    model_config = ConfigDict(frozen=True)

    id: str
    use: str
    version: int
    params: SerializeAsAny[Params]
    build: str = Field(exclude=True)
    identify: str | None = Field(exclude=True)


Rule = Literal["mean", "all"]
"""How victims answer together: by the mean of what they say, or, of embedders, with a match only where each one finds it."""
JOINED: dict[Rule, str] = {"mean": "+", "all": "&"}
"""What stands between the names of members."""


class Ensemble(Params):
    """Victims that answer together."""

    members: tuple[Member, ...]
    """At least two."""
    rule: Rule = Field("mean", exclude_if=lambda rule: rule == "mean")
    """How."""


def ensemble(specs: Sequence[VictimSpec], name: str | None = None, rule: Rule = "mean") -> VictimSpec:
    """Return one victim that is several; an ensemble of one is that one.

    Args:
        specs: the members, at least one.
        name: id of the ensemble; default: the ids of its members, `a+b`, or `a&b` where all must agree.
        rule: how they answer together.
    """
    if len(specs) == 1:
        return replace(specs[0], id=name or specs[0].id)
    members = [
        Member(
            id=spec.id,
            use=spec.component.name,
            version=spec.component.version,
            params=spec.params,
            build=spec.component.build,
            identify=spec.component.identify,
        )
        for spec in specs
    ]
    component = Component(
        kind="victim",
        name=JOINED[rule].join(member.use for member in members),
        summary="Victims that answer together.",
        build="raygrid.victims.ensemble_model:build",
        params=Ensemble,
        identify="raygrid.victims.ensemble:identify",
    )
    params = Ensemble(members=tuple(members), rule=rule)
    return VictimSpec(name or JOINED[rule].join(member.id for member in members), component, params)
