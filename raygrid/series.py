"""Attacks in series: rungs of an eps ladder, stages of a suite. Each inherits what the former broke, and attacks the rest.

Pure: imports neither torch nor ray.
"""

from collections.abc import Iterable, Iterator
from dataclasses import fields, replace

from raygrid.component import Stage, resolve
from raygrid.registry import find, label, parse
from raygrid.spec import AttackSpec, StageOf

Series = tuple[AttackSpec, ...]


def ladders(attacks: Iterable[AttackSpec]) -> list[Series]:
    """Group attacks that differ in nothing but eps, from the smallest up; those that share no work stand alone.

    Examples that are to work elsewhere, on other photos, or to raise no alarm, are crafted to the end at every eps, minimal-norm
    attacks craft once for all, and what is one for all samples (a universal perturbation) is another at every eps.
    """
    groups: dict[object, list[AttackSpec]] = {}
    for attack in attacks:
        alone = (
            attack.serves_every_eps
            or attack.elsewhere
            or attack.alarmed
            or attack.verifies
            or attack.params.needs_fit()
        )
        climbs = attack.ladder and attack.access != "transfer" and not alone
        rest = {
            f.name: getattr(attack, f.name)
            for f in fields(attack)
            if f.name not in ("params", "source", *(["eps"] * climbs))
        }
        source = attack.source.key if attack.source else ""  # parameters may hold what has no hash
        groups.setdefault((attack.params.model_dump_json(), source, *rest.values()), []).append(attack)
    return [tuple(sorted(group, key=lambda attack: attack.eps)) for group in groups.values()]


def stages(attack: AttackSpec) -> Series:
    """Return the attacks that a suite consists of, in order; an attack that is no suite is its own only stage."""
    if not attack.component.suite:
        return (attack,)
    listed: tuple[Stage, ...] = resolve(attack.component.build)(attack.params, attack.norm)
    return tuple(_stage(attack, stage, number, len(listed)) for number, stage in enumerate(listed, 1))


def in_turn(ladder: Iterable[AttackSpec]) -> Iterator[AttackSpec]:
    """Yield the attacks of a ladder, stage by stage and rung by rung: each inherits from the one before it."""
    for attack in ladder:
        yield from stages(attack)


def _stage(suite: AttackSpec, stage: Stage, number: int, of: int) -> AttackSpec:
    component = find("attack", stage.attack)
    name = label(suite.component.name, suite.params)
    return replace(
        suite,
        component=component,
        params=parse(component, stage.params),
        access=component.access,
        eot=max(stage.eot, suite.looks) if suite.random else stage.eot,
        stage=StageOf(name, number, of, stage.when),
    )
