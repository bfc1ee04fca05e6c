"""One grid of a job file -> GridSpec, and the plain JSON of what it says."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import Any, NamedTuple, TypeVar

from raygrid.chain import chain, channel_chain
from raygrid.component import Task
from raygrid.ensemble import ensemble
from raygrid.job.attacks import access_of, eps_of, goal_of, norm_of, problems
from raygrid.job.exclude import read_exclude
from raygrid.job.fields import (
    CHAIN,
    ENSEMBLE,
    AttackFields,
    ChannelFields,
    DataFields,
    DefenseFields,
    EnsembleFields,
    GridFields,
    VictimFields,
)
from raygrid.job.reading import Mistakes, Thing, read_fields, show
from raygrid.job.uses import Table, Use, read_use
from raygrid.job.yaml12 import Node
from raygrid.spec import (
    DRAWS,
    AttackSpec,
    Budget,
    ChannelSpec,
    DataSpec,
    DefenseSpec,
    GridSpec,
    JudgeSpec,
    VictimSpec,
)

USE_KEYS = ("data", "victims", "defenses", "attacks", "exclude")

Json = dict[str, Any]
S = TypeVar("S", DefenseSpec, ChannelSpec)
Victims = dict[str, VictimSpec]
"""By id."""


class ReadVictim(NamedTuple):
    """A victim as it stands in the file."""

    spec: VictimSpec
    told: tuple[str, ...]
    """The values of its axes."""
    named_at: Node
    """Where its id stands, or what it has it from."""


class GridReader:
    """Reads grids with one table of components, and notes mistakes on the way."""

    def __init__(self, table: Table, mistakes: Mistakes) -> None:
        self._table = table
        self._mistakes = mistakes

    def read(self, name: str, node: Node) -> tuple[GridSpec, Json]:
        """Return the grid and its plain JSON; neither is complete after a mistake."""
        thing = Thing(f'grid "{name}"', USE_KEYS)
        empty = GridSpec(name, (), (), (), ())
        if not isinstance(node.value, dict):
            self._mistakes.add(node, f"{thing.name} must be a mapping, not {show(node)}")
            return empty, {}
        missing = [key for key in ("data", "victims", "attacks") if key not in node.value]
        for key in missing:
            self._mistakes.add(node, f'{thing.name} needs "{key}"')
        before = len(self._mistakes.found)
        said = read_fields(GridFields, node, thing, self._mistakes)
        data, data_said = self._data(node)
        sound = len(self._mistakes.found)
        victims, victims_said = self._victims(node)
        all_known = len(self._mistakes.found) == sound
        defenses, defenses_said = self._defenses(node)
        task = data[0].component.task if data else "classification"
        heard = bool(data) and data[0].component.sound
        attacks, attacks_said = self._attacks(node, victims, all_known, task)
        for fields in said:
            self._check_broken_at(node, fields.judge.draws, fields.judge.broken_at)
        if missing or len(self._mistakes.found) > before:
            return empty, {}  # `exclude` may well name what is missing because of the mistakes
        exclude = self._exclude(node, victims, defenses, attacks)
        written = {
            "data": data_said,
            "victims": victims_said,
            "defenses": defenses_said,
            "attacks": attacks_said,
            "exclude": [{key: _json(value) for key, value in rule.items()} for rule in exclude],
            **said[0].model_dump(mode="json", exclude_none=True),
        }
        wanted = said[0].judge
        stored = heard if wanted.stored is None else wanted.stored
        judge = JudgeSpec(wanted.draws, wanted.broken_at, wanted.layers, stored, wanted.far, wanted.detector)
        self._check_judge(node, judge, defenses, attacks)
        data = tuple(
            replace(spec, fit=said[0].splits.fit, train=said[0].splits.train, stored=judge.stored) for spec in data
        )
        perceptual = tuple(dict.fromkeys(said[0].perceptual))
        return GridSpec(
            name, data, tuple(victims.values()), defenses, attacks, exclude, judge, perceptual, said[0].costs
        ), written

    def _check_broken_at(self, node: Node, draws: int | None, broken_at: int | None) -> None:
        if draws is not None and broken_at is not None and broken_at > draws:
            at = node.child("judge").child("broken_at")
            self._mistakes.add(at, f"more than the {draws} draws that judge: nothing could be broken")

    def _check_judge(
        self, node: Node, judge: JudgeSpec, defenses: tuple[DefenseSpec, ...], attacks: tuple[AttackSpec, ...]
    ) -> None:
        """Check what hangs on the grid's attacks and defenses: how many draws there are where nobody says it."""
        if judge.broken_at is None or judge.draws is not None:
            return
        at = node.child("judge").child("broken_at")
        random = any(defense.params.draws_at_random() for defense in defenses)
        if not random and not any(attack.channel for attack in attacks):
            self._mistakes.add(at, 'needs "draws": without a channel or a random defense, one draw decides')
        else:
            self._check_broken_at(node, DRAWS, judge.broken_at)

    def _items(self, node: Node, key: str) -> tuple[Node, ...]:
        """Return the items of a list; one value is a list of one."""
        child = node.child(key)
        if child is node:
            return ()
        if child.value == ():
            self._mistakes.add(child, "the list is empty")
        return child.value if isinstance(child.value, tuple) else (child,)

    def _data(self, node: Node) -> tuple[tuple[DataSpec, ...], Json | None]:
        child = node.child("data")
        if child is node:
            return (), None
        if isinstance(child.value, tuple):
            self._mistakes.add(child, "must be one dataset, not a list; give each a grid of its own")
            return (), None
        return self.data(child)

    def data(self, node: Node) -> tuple[tuple[DataSpec, ...], Json | None]:
        """Read a dataset: all combinations of the axes."""
        uses = read_use("data", DataFields, node, self._table, self._mistakes)
        specs = tuple(DataSpec(u.component, u.params, u.fields.limit, u.fields.shard) for u in uses.alternatives)
        return specs, uses.resolved

    def _victims(self, node: Node) -> tuple[Victims, list[Json | None]]:
        victims: Victims = {}
        said = []
        for item in self._items(node, "victims"):
            read, written = self.victim(item)
            said.append(written)
            for spec, _, named_at in read:
                if spec.id in victims:
                    what = f'two victims of the grid have the id "{spec.id}"; set "id" of one of them'
                    self._mistakes.add(named_at, what)
                victims[spec.id] = spec
        return victims, said

    def victim(self, node: Node, offers: tuple[str, ...] = ()) -> tuple[list[ReadVictim], Json | None]:
        """Read a victim or an ensemble: all combinations of the axes. `offers`: further names that would have done."""
        if isinstance(node.value, dict) and ENSEMBLE in node.value:
            return self._ensemble(node, node.value[ENSEMBLE])
        uses = read_use("victim", VictimFields, node, self._table, self._mistakes, offers=offers)
        return [_victim(use) for use in uses.alternatives], uses.resolved

    def _ensemble(self, node: Node, listed: Node) -> tuple[list[ReadVictim], Json | None]:
        fields = read_fields(EnsembleFields, node, Thing("an ensemble", (ENSEMBLE,)), self._mistakes)
        if not isinstance(listed.value, tuple):
            self._mistakes.add(listed, f"must be a list of victims, not {show(listed)}")
            return [], None
        items = self._items(node, ENSEMBLE)
        for item in items:
            if isinstance(item.value, dict) and ENSEMBLE in item.value:
                self._mistakes.add(item, f"an {ENSEMBLE} is made of victims, not of ensembles: name them in one list")
                return [], None
        members = [self.victim(item) for item in items]
        if not (fields and members):
            return [], None
        for item, (alternatives, _) in zip(items, members, strict=True):
            if any(member.spec.params.needs_fit() for member in alternatives):
                self._mistakes.add(item, "a victim that is trained on the data stands alone, and in no ensemble")
                return [], None
        name, rule, victims = fields[0].id, fields[0].rule, []
        for choice in product(*(alternatives for alternatives, _ in members)):
            told = tuple(text for member in choice for text in member.told)
            spec = ensemble([member.spec for member in choice], name and "-".join([name, *told]), rule)
            victims.append(ReadVictim(spec, told, node.child("id")))
        said = {ENSEMBLE: [written for _, written in members]}
        return victims, {**said, **fields[0].model_dump(mode="json", exclude_none=True)}

    def _defenses(self, node: Node) -> tuple[tuple[DefenseSpec, ...], list[Json | None]]:
        default = Node(node.at, node.path, "none", node.key_at)
        read = [self._defense(item) for item in self._items(node, "defenses") or (default,)]
        return tuple(spec for specs, _ in read for spec in specs), [said for _, said in read]

    def _defense(self, node: Node) -> tuple[list[DefenseSpec], Json | None]:
        """Read a defense or a chain of defenses: all combinations of the axes."""
        if isinstance(node.value, dict) and CHAIN in node.value:
            return self._chained(node, node.value, "defenses", self._defense, chain)
        uses = read_use("defense", DefenseFields, node, self._table, self._mistakes)
        return [DefenseSpec(use.component, use.params) for use in uses.alternatives], uses.resolved

    def _chained(
        self,
        node: Node,
        said: Mapping[str, Node],
        what: str,
        read_one: Callable[[Node], tuple[list[S], Json | None]],
        join: Callable[[Sequence[S]], S],
    ) -> tuple[list[S], Json | None]:
        """Read a list of parts that follow one another; `what`: their name, `read_one`: reads a part, `join`: makes one of them."""
        for key in said.keys() - {CHAIN}:
            self._mistakes.add(
                said[key], f'unknown key "{key}" beside "{CHAIN}", which takes a list alone', said[key].key_at
            )
        if not isinstance(said[CHAIN].value, tuple):
            self._mistakes.add(said[CHAIN], f"must be a list of {what}, not {show(said[CHAIN])}")
            return [], None
        items = self._items(node, CHAIN)
        for item in items:
            if isinstance(item.value, dict) and CHAIN in item.value:
                self._mistakes.add(item, f"a {CHAIN} is made of {what}, not of chains: name them in one list")
                return [], None
        read = [read_one(item) for item in items]
        specs: list[S] = []
        for choice in product(*(alternatives for alternatives, _ in read)) if read else ():
            try:
                specs.append(join(choice))
            except ValueError as error:
                self._mistakes.add(said[CHAIN], str(error), said[CHAIN].key_at)
        return specs, {CHAIN: [part for _, part in read]}

    def _attacks(
        self, node: Node, victims: Victims, all_known: bool, task: Task
    ) -> tuple[tuple[AttackSpec, ...], list[Json]]:
        specs: list[AttackSpec] = []
        said: list[Json] = []
        known = dict(victims)
        for item in self._items(node, "attacks"):
            uses = read_use("attack", AttackFields, item, self._table, self._mistakes, check=problems)
            sources = {source.path: self._source(source, known, all_known) for source in _nested(item, "source")}
            channels = {channel.path: self._channel(channel) for channel in _nested(item, "channel")}
            for use in uses.alternatives:
                chosen = sources[use.node.child("source").path][0] if sources else [None]
                passed = channels[use.node.child("channel").path][0] if channels else [None]
                specs.extend(_attack(use, source, channel, task) for source in chosen for channel in passed)
            if uses.resolved is not None:
                nested: dict[str, Sequence[str | Json | None]] = {
                    "source": [written for _, written in sources.values()],
                    "channel": [written for _, written in channels.values()],
                }
                said.append(_attack_said(uses.alternatives[0], uses.resolved, nested, task))
        return tuple(specs), said

    def _source(self, node: Node, known: Victims, all_known: bool) -> tuple[list[VictimSpec], str | Json | None]:
        """Read a surrogate: the id of a victim of the grid, or a use of its own, whose id then joins the known ones."""
        if isinstance(node.value, str) and node.value in known:
            return [known[node.value]], node.value
        if isinstance(node.value, str) and not all_known:
            return [], None  # it may be the id of a victim that was refused
        read, written = self.victim(node, offers=tuple(known))
        for spec, _, named_at in read:
            if known.setdefault(spec.id, spec) != spec:
                what = f'another victim of the grid has the id "{spec.id}"; set "id" of one of them'
                self._mistakes.add(named_at, what)
        return [victim.spec for victim in read], written

    def _channel(self, node: Node) -> tuple[list[ChannelSpec], Json | None]:
        """Read a channel or a chain of channels: all combinations of the axes."""
        if isinstance(node.value, dict) and CHAIN in node.value:
            return self._chained(node, node.value, "channels", self._channel, channel_chain)
        uses = read_use("channel", ChannelFields, node, self._table, self._mistakes)
        return [ChannelSpec(use.component, use.params) for use in uses.alternatives], uses.resolved

    def _exclude(
        self, node: Node, victims: Victims, defenses: tuple[DefenseSpec, ...], attacks: tuple[AttackSpec, ...]
    ) -> tuple[Json, ...]:
        if "exclude" not in (node.value if isinstance(node.value, dict) else {}):
            return ()
        return read_exclude(node.child("exclude"), tuple(victims.values()), defenses, attacks, self._mistakes)


def _victim(use: Use[VictimFields]) -> ReadVictim:
    """Name the victim after its use, and after the values of its axes."""
    values = use.params.model_dump(mode="json")
    shorthand = use.component.shorthand
    text = values.get(shorthand) if shorthand else None
    name = f"{use.component.name}:{text}" if text else use.component.name
    told = {axis: _text(values[axis]) for axis in use.axes}
    # The default name holds the shorthand parameter already.
    added = [value for axis, value in told.items() if use.fields.id is not None or axis != shorthand]
    spec = VictimSpec("-".join([use.fields.id or name, *added]), use.component, use.params)
    return ReadVictim(spec, tuple(told.values()), use.node.child("id"))


def _text(value: object) -> str:
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)


def _nested(attack: Node, key: str) -> tuple[Node, ...]:
    """Return the uses under a key of an attack: one, or those of an axis."""
    child = attack.child(key)
    if child is attack:
        return ()
    return child.value if isinstance(child.value, tuple) else (child,)


def _attack(use: Use[AttackFields], source: VictimSpec | None, channel: ChannelSpec | None, task: Task) -> AttackSpec:
    fields = use.fields
    return AttackSpec(
        component=use.component,
        params=use.params,
        norm=norm_of(use.component, fields),
        eps=eps_of(fields),
        goal=goal_of(fields, task),
        target=fields.target,
        access=access_of(use.component, fields),
        source=source,
        budget=Budget(fields.budget.queries, fields.budget.gradients),
        eot=fields.eot,
        channel=channel,
        awareness=fields.awareness or "all",
        phrase=fields.phrase,
        photos=fields.photos,
        combine=fields.combine,
        surrogate_dropout=fields.surrogate_dropout,
        precision=fields.precision,
        ladder=fields.ladder,
    )


def _attack_said(
    first: Use[AttackFields], resolved: Json, nested: Mapping[str, Sequence[str | Json | None]], task: Task
) -> Json:
    """Write out what follows from the component, and the uses in it."""
    implied = {
        "norm": norm_of(first.component, first.fields),
        "access": access_of(first.component, first.fields),
        "goal": goal_of(first.fields, task),
    }
    missing = {key: value for key, value in implied.items() if value and key not in resolved}
    return {**resolved, **missing, **{key: uses for key, uses in nested.items() if uses}}


def _json(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value
