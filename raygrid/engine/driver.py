"""The driver: hands tasks to hosts, supervises them, records what failed. Holds no tensors.

A host runs its tasks in order and commits each unit as it is done. So where a host dies or hangs, the store tells which tasks are
done, and the first that is not is the one it died on; that one alone is blamed, the others go back.
A host gets tasks once it has said that it is ready: it may wait for a node, and no task must wait with it.
"""

import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from raygrid.engine.executor import Executor, Outcome
from raygrid.engine.work import Backlog, Report, Task, Unit
from raygrid.errors import UsageError
from raygrid.results.folder import WHOLE_CRAFT, Parts
from raygrid.units import Craft, Fit, Score

IN_FLIGHT = 2
"""Batches a host has at a time, so that it never waits for the driver (1, 2 and 4 gave 86, 87 and 86 % of 10 ms calls)."""
ATTEMPTS = 3
"""Hosts that may die on one task before it is recorded as an error. A lost machine must not blame an innocent task."""
DEATHS_IN_A_ROW = 6
"""Tasks that hosts may die on, and hosts that may die idle, with nothing done in between, before the run gives up: something is
wrong with all of them."""
WAIT_SECONDS = 0.25
DRAIN_SECONDS = 20.0
"""How long running units may go on after Ctrl-C before they are given up."""
LIMIT_SECONDS, LIMIT_SAMPLES = 3600.0, 32
"""What a unit may take where nobody says otherwise, and how many samples it may attack or judge in that time; with more of them it
may take longer in proportion. Generous: AutoAttack's FAB takes 32 digits of a small net half a minute, and photos half an hour."""


class Watcher(Protocol):
    """What wants to know how the run goes on."""

    def done(self, score: Score, counts: Mapping[str, int]) -> None:
        """A score unit was committed."""

    def failed(self, score: Score, status: str, error: str) -> None:
        """A score unit failed as a whole; it is to be recorded beside the trials."""

    def lost(self, host: str, why: str) -> None:
        """A host died or was ended."""

    def tick(self, hosts: int, waiting: int) -> None:
        """Some time has passed; so many hosts are at work or ready to be, and so many tasks have not started."""


@dataclass
class Running:
    """A batch on a host; without tasks where the host has been asked whether it is ready."""

    ticket: int
    tasks: list[Task]
    since: float
    """When the unit at hand was last seen to begin."""
    committed: int = 0
    """Units of the batch that were seen to be committed then."""


@dataclass
class Driver:
    """One run over a backlog. `run` returns when all is done, or when `stop_requested` says so."""

    executor: Executor
    backlog: Backlog
    shards: Mapping[str, Any]
    """Shard key -> what the executor's `put` returned."""
    is_done: Callable[[Parts, str], bool]
    """(table, key) -> whether the part is committed."""
    watcher: Watcher
    token: str
    """Name of a file of this run, by which hosts tell the results folder."""
    time_limit: float | None
    """Seconds that a unit may take, None: what `usual_limit` says; one that takes more is ended after twice as many at most."""
    fail_fast: bool = False
    stop_requested: Callable[[], bool] = lambda: False
    clock: Callable[[], float] = time.monotonic
    _busy: dict[str, deque[Running]] = field(default_factory=dict)
    _home: dict[str, str] = field(default_factory=dict)
    _blame: Counter[str] = field(default_factory=Counter)
    _deaths: int = 0
    _stopping: bool = False

    def run(self) -> None:
        """Work until nothing is left to do.

        Raises:
            UsageError: a host met what only a person can mend (a full disk), or hosts die whatever they are given.
        """
        for host in self.executor.hosts:
            self._greet(host)
        while not self._stopping and not self.stop_requested():
            self._dispatch()
            if not self.backlog.waiting and not self._at_work():
                return
            self._step()
        self._drain()

    def _greet(self, host: str) -> None:
        ticket = self.executor.call(host, "ready", self.token, [])
        self._busy[host] = deque([Running(ticket, [], self.clock())])

    def _at_work(self) -> bool:
        return any(running.tasks for queue in self._busy.values() for running in queue)

    def _step(self) -> None:
        for outcome in self.executor.wait(WAIT_SECONDS):
            self._settle(outcome)
        self._end_overdue()
        ready = sum(not _is_starting(queue) for queue in self._busy.values())
        self.watcher.tick(ready, self.backlog.waiting)

    def _drain(self) -> None:
        self.executor.stop()
        until = self.clock() + DRAIN_SECONDS
        while self._at_work() and self.clock() < until:
            self._step()

    def _dispatch(self) -> None:
        for _ in range(IN_FLIGHT):
            for host, running in self._busy.items():
                if len(running) >= IN_FLIGHT or _is_starting(running):
                    continue
                at_work = Counter(name for other, name in self._home.items() if other != host and self._busy[other])
                lane = self.backlog.choose(self._home.get(host), at_work)
                if lane is None:
                    continue
                batch = self.backlog.take(lane, at_work[lane] + 1)
                ticket = self.executor.call(host, "run", batch, [self.shards[task.shard] for task in batch])
                running.append(Running(ticket, batch, self.clock()))
                self._home[host] = lane

    def _settle(self, outcome: Outcome) -> None:
        calls = ((host, batch) for host, queue in self._busy.items() for batch in queue)
        host, running = next((call for call in calls if call[1].ticket == outcome.ticket), ("", None))
        if running is None:
            return  # asked before this run, of a host that was not ready then
        if outcome.lost:
            self._bury(host, "error", outcome.lost)
            return
        self._busy[host].remove(running)
        if self._busy[host]:
            self._busy[host][0].since = self.clock()
        if not running.tasks:
            if outcome.value:
                raise UsageError(*outcome.value)
            return
        self._deaths = 0
        reports: dict[str, Report] = {report.key: report for report in outcome.value}
        for task in running.tasks:
            self._account(task, reports)

    def _account(self, task: Task, reports: Mapping[str, Report]) -> None:
        """Take note of what became of a task that a host has reported on."""
        found = [reports[unit.key] for unit in task.units if unit.key in reports]
        for report in found:
            if report.fatal:
                raise UsageError(*report.error.splitlines())
        wrong = next((report for report in found if report.error), None)
        if wrong:
            failed = task.units[len(found) - 1]
            self._fail(task, failed.key, "error", wrong.error, {report.key for report in found[:-1]})
        elif len(found) < len(task.units):
            return  # the host was asked to stop before it came to them
        else:
            self.backlog.learn(task, sum(report.seconds for report in found))
        for score in task.scores:
            if score.key in reports and not reports[score.key].error:
                self.watcher.done(score, reports[score.key].counts)
        for unit in task.makers:
            if unit.key in reports and not reports[unit.key].error:
                self.backlog.release(unit.key)

    def _fail(self, task: Task, failed: str, status: str, error: str, done: set[str]) -> None:
        """Record that a unit of a task failed, and with it the units that come after it or need its examples."""
        lost = [score for score in task.scores if score.key not in done]
        keys = [unit.key for unit in task.units]
        for unit in task.makers:
            if keys.index(unit.key) >= keys.index(failed):
                lost += [score for other in self.backlog.drop(unit.key) for score in other.scores]
        for score in lost:
            self.watcher.failed(score, status, error)
        self._stopping = self._stopping or self.fail_fast

    def _end_overdue(self) -> None:
        for host, queue in list(self._busy.items()):
            if not queue or _is_starting(queue):
                continue
            batch = queue[0]
            limit = self.time_limit or usual_limit(batch.tasks)
            if self.clock() - batch.since <= limit:
                continue
            committed = sum(self._is_committed(unit) for task in batch.tasks for unit in task.units)
            if committed == batch.committed:
                self._bury(host, "timeout", f"not done after {limit:g} s")
            else:
                batch.since, batch.committed = self.clock(), committed

    def _bury(self, host: str, status: str, why: str) -> None:
        """Replace a host that died or hangs, and find out what became of its tasks."""
        self.watcher.lost(host, why)
        self._home.pop(host, None)
        tasks = [task for running in self._busy.pop(host) for task in running.tasks]
        left = [rest for task in tasks if (rest := self._uncommitted(task))]
        blame = self._blame_for(left[0]) if left else 1
        if status == "timeout" or left != tasks:
            self._deaths = 0  # it was at work
        elif blame == 1:
            self._deaths += 1
        if left and (status == "timeout" or blame >= ATTEMPTS):
            suspect = left.pop(0)
            self._fail(suspect, suspect.units[0].key, status, why, set())
        for task in reversed(left):
            self.backlog.add(task, first=True)
        if self._deaths > DEATHS_IN_A_ROW:
            raise UsageError(
                f"hosts are lost whatever they are given, with nothing done in between; the last one: {why}"
            )
        self._greet(self.executor.replace(host))

    def _blame_for(self, suspect: Task) -> int:
        """Blame a task for the loss of its host, and return how often it has been blamed."""
        key = suspect.units[-1].key
        self._blame[key] += 1
        return self._blame[key]

    def _is_committed(self, unit: Unit) -> bool:
        parts: dict[type[Unit], tuple[Parts, ...]] = {Fit: ("fits",), Craft: WHOLE_CRAFT, Score: ("trials",)}
        return all(self.is_done(part, unit.key) for part in parts[type(unit)])

    def _uncommitted(self, task: Task) -> Task | None:
        """Take note of the units of a task that were committed before its host was lost, and return the others."""
        left: list[Unit] = []
        for unit in task.units:
            if not self._is_committed(unit):
                left.append(unit)
            elif isinstance(unit, Score):
                self.watcher.done(unit, {})
            else:
                self.backlog.release(unit.key)
        return task._replace(units=tuple(left)) if left else None


def usual_limit(tasks: Sequence[Task]) -> float:
    """Return how many seconds a unit of these tasks may take where nobody says otherwise."""
    return LIMIT_SECONDS * max([1.0, *(task.samples / LIMIT_SAMPLES for task in tasks)])


def _is_starting(queue: deque[Running]) -> bool:
    return bool(queue) and not queue[0].tasks
