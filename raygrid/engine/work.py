"""What the driver sends to hosts and gets back, and the policy of what runs next. Pure: no ray, no torch, no clock.

A task is what one host does in one go: a craft unit with the score units that need the same model, or score units alone; and, in
series, what inherits from those.
"""

from collections import Counter, defaultdict, deque
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from sys import intern
from typing import NamedTuple

from raygrid.spec import AttackSpec, Perceptual
from raygrid.units import Craft, Fit, Model, Score

Unit = Fit | Craft | Score

TARGET_SECONDS = 15.0
"""Work in one call: long against the 0.4 ms that a call costs the driver, short against what a lost host loses."""
LOAD_SECONDS = 2.0
"""What loading another victim costs, about: an idle host joins a lane only where more work than this is left for each host."""
FORGET = 0.5
"""Weight of the newest timing in the moving average of seconds per task."""


class Task(NamedTuple):
    """Units that run together on one host, in order, over one shard."""

    model: Model
    shard: str
    units: tuple[Unit, ...]
    kind: str
    """Tasks of one kind take about as long: same model, same attack, same sort of work."""
    needs: tuple[str, ...] = ()
    """Keys of the fit and craft units of other tasks that must be done first."""

    @property
    def scores(self) -> list[Score]:
        """The score units of the task."""
        return [unit for unit in self.units if isinstance(unit, Score)]

    @property
    def crafts(self) -> list[Craft]:
        """The craft units of the task."""
        return [unit for unit in self.units if isinstance(unit, Craft)]

    @property
    def samples(self) -> int:
        """How many samples its units attack or judge; 0 where they only fit a defense, a victim or an enrollment."""
        shards = (
            unit.craft.shard if isinstance(unit, Score) else unit.shard
            for unit in self.units
            if not isinstance(unit, Fit) or isinstance(unit.what, AttackSpec)
        )
        return max((shard.size for shard in shards), default=0)

    @property
    def makers(self) -> list[Fit | Craft]:
        """The units of the task that others may need."""
        return [unit for unit in self.units if not isinstance(unit, Score)]


class Preflight(NamedTuple):
    """A victim to be tried on data before anything is run on it."""

    model: Model
    shard: str
    classes: int
    may_be_masked: bool = False
    """Whether all that asks it for gradients is a stage of a suite, which does not rely on them alone."""
    may_be_random: bool = False
    """Whether more than one draw judges it, wherever it is judged."""
    layers: tuple[str, ...] = ()
    """The layers that attacks look into."""
    perceptual: frozenset[Perceptual] = frozenset()
    """What the host must be able to measure."""


class Report(NamedTuple):
    """What became of a unit."""

    key: str
    seconds: float
    counts: Mapping[str, int]
    """Status -> samples; empty for craft units."""
    error: str = ""
    fatal: bool = False
    """Whether the run must stop: a full disk, say."""


@dataclass
class Lane:
    """The tasks that wait for one model, and how many there are of each kind."""

    tasks: deque[Task] = field(default_factory=deque)
    kinds: Counter[str] = field(default_factory=Counter)


@dataclass
class Backlog:
    """Tasks that wait: by model those that can start, by the key of a fit or craft unit those that need it first."""

    lanes: dict[str, Lane] = field(default_factory=lambda: defaultdict(Lane))
    blocked: dict[str, list[Task]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    """Learned seconds per task, by kind."""
    missing: set[str] = field(default_factory=set)
    """Keys of the fit and craft units that are still to be done."""
    waiting: int = 0
    """Number of tasks that have not started; counted along, since the driver asks at every step."""

    def add(self, task: Task, *, first: bool = False) -> None:
        """Put a task into the lane of its model."""
        self.waiting += 1
        lane = self.lanes[task.model.digest]
        lane.kinds[task.kind] += 1
        if first:
            lane.tasks.appendleft(task)
        else:
            lane.tasks.append(task)

    def place(self, task: Task) -> None:
        """Add a task, or let it wait for the first unit that it needs and that is still to be done."""
        first = next((key for key in task.needs if key in self.missing), None)
        if first is None:
            self.add(task)
        else:
            self.blocked.setdefault(first, []).append(task)
            self.waiting += 1

    def release(self, key: str) -> None:
        """Free the tasks that waited for this fit or craft unit alone."""
        self.missing.discard(key)
        for task in self._pop(key):
            self.place(task)

    def drop(self, key: str) -> list[Task]:
        """Give up the tasks that need this unit, whatever else they wait for, and those that need one of theirs; return them."""
        lost = [task for tasks in self.blocked.values() for task in tasks if key in task.needs]
        self.blocked = {first: [t for t in tasks if key not in t.needs] for first, tasks in self.blocked.items()}
        self.waiting -= len(lost)
        return lost + [other for task in lost for unit in task.makers for other in self.drop(unit.key)]

    def _pop(self, key: str) -> list[Task]:
        tasks = self.blocked.pop(key, [])
        self.waiting -= len(tasks)
        return tasks

    def learn(self, task: Task, seconds: float) -> None:
        """Take note of how long a task took."""
        known = self.seconds.get(task.kind, seconds)
        self.seconds[task.kind] = (1 - FORGET) * known + FORGET * seconds

    def tasks(self) -> Iterator[Task]:
        """Yield the tasks that have not started."""
        for lane in self.lanes.values():
            yield from lane.tasks
        for waiting in self.blocked.values():
            yield from waiting

    def take(self, name: str, hosts: int) -> list[Task]:
        """Take a batch of tasks from a lane: one where the time is not known, else as many as fill the target.

        At the tail a batch is at most half a host's fair share of what is left in the lane, so that all end together.
        """
        lane = self.lanes[name]
        target = min(TARGET_SECONDS, self.left(name) / (2 * max(hosts, 1)))
        batch: list[Task] = []
        total = 0.0
        while lane.tasks:
            cost = self.seconds.get(lane.tasks[0].kind)
            if batch and (cost is None or total + cost > target):
                break
            batch.append(lane.tasks.popleft())
            lane.kinds[batch[-1].kind] -= 1
            if cost is None:
                break
            total += cost
        self.waiting -= len(batch)
        return batch

    def choose(self, home: str | None, at_work: Mapping[str, int]) -> str | None:
        """Choose the lane that an idle host should serve, or None.

        Args:
            home: the model that the host has loaded.
            at_work: model -> number of hosts that serve it now.
        """
        names = [name for name, lane in self.lanes.items() if lane.tasks]
        if home in names:
            return home
        alone = [name for name in names if not at_work.get(name)]
        if alone:
            return max(alone, key=self.left)
        share = {name: self.left(name) / (1 + at_work[name]) for name in names}
        best = max(names, key=share.__getitem__, default=None)
        return best if best is not None and share[best] > LOAD_SECONDS else None

    def left(self, name: str) -> float:
        """Return the seconds of work left in a lane; a task of unknown time counts as a whole call's."""
        return sum(n * self.seconds.get(kind, TARGET_SECONDS) for kind, n in self.lanes[name].kinds.items())


def plan_tasks(
    scores: Iterable[Score], scored: set[str], crafted: set[str], fitted: Container[str] = frozenset()
) -> Backlog:
    """Arrange all units that are not done yet.

    Args:
        scores: the plan's score units.
        scored: keys of score units that are done.
        crafted: keys of craft units whose examples are there.
        fitted: keys of fit units that are done.
    """
    backlog = Backlog()
    fits: dict[str, Fit] = {}
    tasks: list[Task] = []
    needed: dict[str, tuple[Craft, list[Score]]] = {}
    seen = set(scored)
    for score in scores:
        if score.key not in seen:
            seen.add(score.key)
            needed.setdefault(score.craft.key, (score.craft, []))[1].append(score)
    chains: list[list[Unit]] = []
    chain_of: dict[str, list[Unit]] = {}
    for craft_key, (craft, waiting) in needed.items():
        by_model: dict[str, list[Score]] = defaultdict(list)
        for score in waiting:
            by_model[score.model.digest].append(score)
        done = craft_key in crafted
        own = by_model.pop(craft.model.digest, [])
        units: list[Unit] = [*([] if done else [craft]), *own]
        chain = chain_of.get(craft.parent.key, []) if craft.parent is not None else []
        if units and not chain:
            chains.append(chain)
        chain += units
        chain_of |= dict.fromkeys((score.key for score in own), chain)
        backlog.missing |= set() if done else {craft_key}
        tasks += [_task(group[0].model, tuple(group), needs=(craft_key,)) for group in by_model.values()]
        fits |= {
            fit.key: fit for fit in fits_of(units + [group[0] for group in by_model.values()]) if fit.key not in fitted
        }
    tasks += [_task(chain[0].model, tuple(chain)) for chain in chains]
    backlog.missing |= fits.keys()
    for fit in fits.values():
        kind = f"{fit.model.digest} Fit {fit.what.component.name} {fit.what.params}"
        needs = tuple(before.key for before in fit.model.fits)
        backlog.place(Task(fit.model, fit.shard.key, (fit,), intern(kind), needs))
    for task in tasks:
        backlog.place(task)
    return backlog


def fits_of(units: Iterable[Unit]) -> Iterator[Fit]:
    """Yield what units need that is fitted, once for each that needs it."""
    for unit in units:
        found = (*unit.model.fits, *_own_fits(unit))
        yield from (fit for fit in found if fit is not None)


def _own_fits(unit: Unit) -> tuple[Fit | None, ...]:
    """Return what a unit itself uses that is fitted, its model's defense aside."""
    match unit:
        case Craft():
            return unit.fit, unit.enrolled
        case Score():
            return (unit.enrolled,)
        case Fit():
            return ()


def _task(model: Model, units: tuple[Unit, ...], needs: tuple[str, ...] = ()) -> Task:
    first = units[0]
    craft = first.craft if isinstance(first, Score) else first
    what = craft.what if isinstance(craft, Fit) else craft.attack
    norm = what.norm if isinstance(what, AttackSpec) else ""
    kind = f"{model.digest} {type(first).__name__} {len(units)} {what.component.name} {norm} {what.params}"
    needs += tuple(dict.fromkeys(fit.key for fit in fits_of(units)))
    return Task(model, craft.shard.key, units, intern(kind), needs)  # a million tasks share a few kinds
