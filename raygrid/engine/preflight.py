"""Before any unit runs: are the hosts fit, and is every victim fit for its data? Pure: no ray, no torch."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from raygrid.engine.executor import Executor
from raygrid.engine.work import Preflight, Task
from raygrid.errors import UsageError
from raygrid.units import Score

WAIT_SECONDS = 0.5
LIMIT_SECONDS = 900.0
"""For one victim: its weights may have to come to the host first, over a slow line."""


class Asked(NamedTuple):
    """What a host is busy with: a check, or, without one, saying whether it is ready."""

    host: str
    check: Preflight | None
    since: float


class Fault(NamedTuple):
    """What is wrong with a victim."""

    victim: str
    defense: str
    """That it is behind; empty: none."""
    what: str


def preflights(tasks: Iterable[Task]) -> list[Preflight]:
    """Return one check for every model and number of classes, each over the first shard that the model will see."""
    checks: dict[tuple[str, int], Preflight] = {}
    for task in tasks:
        classes = next(unit.craft if isinstance(unit, Score) else unit for unit in task.units).classes
        suites = all(craft.attack.stage or craft.attack.component.access != "gradient" for craft in task.crafts)
        drawn = all(score.cell.judging.draws > 1 for score in task.scores)
        first = Preflight(task.model, task.shard, classes, may_be_masked=True, may_be_random=True)
        check = checks.get((task.model.digest, classes), first)
        layers = {layer for craft in task.crafts if (layer := craft.attack.params.looks_into())}
        checks[task.model.digest, classes] = check._replace(
            may_be_masked=check.may_be_masked and suites,
            may_be_random=check.may_be_random and drawn,
            layers=tuple(sorted(layers.union(check.layers))),
            perceptual=check.perceptual.union(*(score.cell.perceptual for score in task.scores)),
        )
    return list(checks.values())


def preflight(
    executor: Executor,
    checks: Iterable[Preflight],
    shards: Mapping[str, Any],
    token: str,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Try every victim on its data. A host has one check at a time, so that the victim that ends it can be named.

    Hosts that still wait for a node hold nothing up, as long as there is one that is ready.

    Args:
        executor: the hosts.
        checks: what is to be tried.
        shards: shard key -> what the executor's `put` returned.
        token: name of a file of this run, by which hosts tell the results folder.
        clock: seconds.

    Raises:
        UsageError: a host can't work, or else what is wrong with the victims, all at once.
    """
    waiting, faults = deque(checks), list[Fault]()
    asked: dict[int, Asked] = {}

    def ready(host: str) -> None:
        asked[executor.call(host, "ready", token, [])] = Asked(host, None, clock())

    def next_check(host: str) -> None:
        if waiting:
            check = waiting.popleft()
            ticket = executor.call(host, "preflight", check, [shards[check.shard]])
            asked[ticket] = Asked(host, check, clock())

    for host in executor.hosts:
        ready(host)
    while waiting or any(ask.check for ask in asked.values()):
        for outcome in executor.wait(WAIT_SECONDS):
            ask = asked.pop(outcome.ticket)
            faults += _faults(ask, outcome.value, outcome.lost)
            if outcome.lost:
                ready(executor.replace(ask.host))
            else:
                next_check(ask.host)
        for ticket, ask in _overdue(asked, clock() - LIMIT_SECONDS):
            del asked[ticket]
            faults += _faults(ask, [f"the preflight was not done after {LIMIT_SECONDS:g} s"], "")
            ready(executor.replace(ask.host))
    if faults:
        raise UsageError(*_messages(faults))


def _faults(ask: Asked, found: list[str], lost: str) -> list[Fault]:
    """Say what came of a check.

    Raises:
        UsageError: the host could not say that it is ready.
    """
    if ask.check is None:
        if lost or found:
            raise UsageError(*([f"a host could not start: {lost}"] if lost else found))
        return []
    found = [f"its host was lost in the preflight: {lost}"] if lost else found
    model = ask.check.model
    victim = f'victim "{model.victim.id}"'
    defense = "" if model.defense.is_none else model.defense.params.named(model.defense.component.name)
    return [Fault(victim, defense, message.removeprefix(f"{victim}: ")) for message in found]


def _messages(faults: Iterable[Fault]) -> list[str]:
    """Word each fault once: as the bare victim's where that has it, else with the first defense that shows it."""
    defenses: dict[tuple[str, str], list[str]] = {}
    for fault in faults:
        defenses.setdefault((fault.victim, fault.what), []).append(fault.defense)
    return [
        f"{victim}: {what}" if "" in behind else f"{victim} behind {behind[0]}: {what}"
        for (victim, what), behind in defenses.items()
    ]


def _overdue(asked: Mapping[int, Asked], since: float) -> Iterator[tuple[int, Asked]]:
    yield from [(ticket, ask) for ticket, ask in asked.items() if ask.check and ask.since < since]
