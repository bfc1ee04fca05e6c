"""Who is doing what: the driver against hosts that die, hang, fail and wait for nodes, with a clock of its own."""

from collections import deque
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_units import craft, model, score, white_box

from raygrid.engine.driver import ATTEMPTS, DEATHS_IN_A_ROW, DRAIN_SECONDS, Driver, usual_limit
from raygrid.engine.executor import Outcome
from raygrid.engine.work import Report, Task, plan_tasks
from raygrid.errors import UsageError
from raygrid.units import Fit, ShardRef

UNIT_SECONDS = 0.25
"""One wait of the driver is one unit of a host."""
TIME_LIMIT = 10.0


@dataclass
class Call:
    ticket: int
    tasks: deque | None
    """The units that are left of each task; None where the host is asked whether it is ready."""
    reports: list = field(default_factory=list)


@dataclass
class FakeExecutor:
    """Hosts that take UNIT_SECONDS a unit, and meet the fate of units that have one: die, hang, error, fatal.

    A fate may come with how often it strikes: ("die", 2).
    """

    hosts: list = field(default_factory=lambda: ["h1"])
    fates: dict = field(default_factory=dict)
    committed: set = field(default_factory=set)
    now: float = 0.0
    pending: int = 0
    """Replacements that find no node."""
    unfit: str = ""
    """What hosts say when they are asked whether they are ready."""
    stillborn: bool = False
    """Whether hosts die when they are asked whether they are ready."""
    calls: dict = field(default_factory=dict)
    log: list = field(default_factory=list)
    """Every unit that was begun, and every host that was replaced."""
    stopped: bool = False
    tickets: int = 0

    def call(self, host, method, first, tables):
        assert method in {"ready", "run"}
        assert len(tables) == (len(first) if method == "run" else 0)
        self.tickets += 1
        tasks = deque(deque(task.units) for task in first) if method == "run" else None
        self.calls.setdefault(host, deque()).append(Call(self.tickets, tasks))
        return self.tickets

    def wait(self, seconds):
        self.now += seconds
        return [outcome for host in list(self.hosts) if (outcome := self._work(host))]

    def _work(self, host):
        """Let a host do one unit; return an outcome where that ended its call."""
        queue = self.calls.get(host)
        if not queue or host.startswith("pending"):
            return None
        call = queue[0]
        if call.tasks is None:
            queue.popleft()
            return Outcome(call.ticket, [self.unfit] if self.unfit else [], "stillborn" if self.stillborn else "")
        unit = call.tasks[0][0]
        if self.fates.get(unit.key) == "hang":
            return None
        if not self.stopped:
            self.log.append(unit.key)
            fate = self._fate(unit.key)
            if fate == "die":
                del self.calls[host]
                return Outcome(call.ticket, lost="it died")
            self._finish(call, unit, fate)
        if call.tasks and not self.stopped:
            return None
        queue.popleft()
        return Outcome(call.ticket, call.reports)

    def _finish(self, call, unit, error):
        call.reports.append(Report(unit.key, UNIT_SECONDS, {"robust": 1}, error, error == "fatal"))
        call.tasks[0].popleft()
        if not error:
            self.committed.add(unit.key)
        if error or not call.tasks[0]:
            call.tasks.popleft()

    def _fate(self, key):
        fate = self.fates.get(key, "")
        if isinstance(fate, tuple):
            fate, times = fate
            self.fates[key] = (fate, times - 1) if times > 1 else ""
        return fate

    def replace(self, host):
        name = f"pending{len(self.log)}" if self.pending else f"{host}'"
        self.pending = max(0, self.pending - 1)
        self.hosts[self.hosts.index(host)] = name
        self.calls.pop(host, None)
        self.log.append(f"replaced {host}")
        return name

    def stop(self):
        self.stopped = True


@dataclass
class Witness:
    """The driver's watcher."""

    finished: list = field(default_factory=list)
    failures: dict = field(default_factory=dict)
    losses: list = field(default_factory=list)
    hosts: list = field(default_factory=list)

    def done(self, score, counts):
        self.finished.append(score.key)

    def failed(self, score, status, error):
        assert score.key not in self.failures
        self.failures[score.key] = status, error

    def lost(self, host, why):
        self.losses.append(why)

    def tick(self, hosts, waiting):
        self.hosts.append(hosts)


def drive(executor, scores, **options):
    witness = Witness()
    driver = Driver(
        executor,
        plan_tasks(scores, set(), set()),
        {"s": None},
        lambda parts, key: key in executor.committed,
        witness,
        "token",
        time_limit=options.pop("time_limit", TIME_LIMIT),
        clock=lambda: executor.now,
        **options,
    )
    driver.run()
    return witness


def units(n):
    return [white_box(str(i)) for i in range(n)]


def names(*numbers):
    return [f"score-{i}" for i in numbers]


def test_every_unit_is_done_once_by_several_hosts():
    executor = FakeExecutor(["h1", "h2", "h3"])
    witness = drive(executor, units(50))
    assert sorted(witness.finished) == sorted(names(*range(50)))
    assert not witness.failures
    assert len(executor.log) == 2 * 50


def test_a_unit_that_kills_its_host_every_time_is_an_error_and_the_others_are_done():
    executor = FakeExecutor(fates={"craft-7": "die"})
    witness = drive(executor, units(30))
    assert witness.failures == {"score-7": ("error", "it died")}
    assert sorted(witness.finished) == sorted(names(*(i for i in range(30) if i != 7)))
    assert executor.log.count("craft-7") == len(witness.losses) == ATTEMPTS


def test_only_the_unit_that_ran_when_the_host_died_is_blamed_and_no_other_runs_twice():
    executor = FakeExecutor(fates={"craft-20": "die"})
    drive(executor, units(40))
    for i in range(40):
        assert executor.log.count(f"craft-{i}") == (ATTEMPTS if i == 20 else 1)


def test_a_lost_machine_blames_nobody():
    executor = FakeExecutor(fates={f"craft-{i}": ("die", ATTEMPTS - 1) for i in range(0, 30, 6)})
    witness = drive(executor, units(30))
    assert sorted(witness.finished) == sorted(names(*range(30)))
    assert not witness.failures


def test_what_a_host_committed_before_it_died_counts_and_is_not_run_again():
    executor = FakeExecutor(fates={"score-3": ("die", 1)})
    witness = drive(executor, units(6))
    assert sorted(witness.finished) == sorted(names(*range(6)))
    assert executor.log.count("craft-3") == 1
    assert executor.log.count("score-3") == 2


def test_a_unit_that_hangs_is_a_timeout_and_its_host_is_replaced():
    executor = FakeExecutor(fates={"score-7": "hang"})
    witness = drive(executor, units(30))
    assert witness.failures == {"score-7": ("timeout", "not done after 10 s")}
    assert sorted(witness.finished) == sorted(names(*(i for i in range(30) if i != 7)))
    assert executor.log.count("replaced h1") == 1


def test_a_hung_unit_in_a_long_batch_is_noticed_within_two_time_limits():
    scores = units(200)
    executor = FakeExecutor(fates={"score-150": "hang"})
    witness = drive(executor, scores, time_limit=5.0)
    assert list(witness.failures) == ["score-150"]
    work = 2 * 200 * UNIT_SECONDS
    assert executor.now < work + 2 * 5.0 + 2.0


@pytest.mark.parametrize(("samples", "hours"), [(1, 1), (32, 1), (128, 4)])
def test_where_nobody_says_otherwise_a_unit_may_take_longer_the_more_samples_it_has(samples, hours):
    small, large = craft("a"), craft("b")
    units = (large._replace(shard=large.shard._replace(size=samples)), small)
    assert usual_limit([Task(small.model, "s", (unit,), "k") for unit in units]) == hours * 3600


def test_what_is_fitted_on_many_samples_may_take_no_longer_for_that():
    fit = Fit("fit", model("m"), None, 0, ShardRef("s", 10_000), 10)
    assert usual_limit([Task(fit.model, "s", (fit,), "k")]) == 3600


def test_a_hung_unit_is_noticed_though_nobody_said_a_limit():
    executor = FakeExecutor(fates={"score-1": "hang"})
    witness = drive(executor, units(3), time_limit=None)
    assert list(witness.failures) == ["score-1"]
    assert 3600 < executor.now < 2 * 3600 + 10


def test_units_that_together_take_longer_than_the_time_limit_are_no_timeout():
    witness = drive(FakeExecutor(), units(200), time_limit=2 * UNIT_SECONDS)
    assert not witness.failures


def test_hangs_without_end_are_each_a_timeout():
    n = 2 * DEATHS_IN_A_ROW
    witness = drive(FakeExecutor(fates={f"craft-{i}": "hang" for i in range(n)}), units(n))
    assert [status for status, _ in witness.failures.values()] == ["timeout"] * n


def test_neighbors_that_kill_their_host_are_each_an_error():
    witness = drive(FakeExecutor(fates={f"craft-{i}": "die" for i in (3, 4, 5, 6)}), units(10))
    assert sorted(witness.failures) == names(3, 4, 5, 6)
    assert sorted(witness.finished) == names(0, 1, 2, 7, 8, 9)


def test_the_run_gives_up_where_hosts_die_whatever_they_are_given():
    executor = FakeExecutor(fates={f"craft-{i}": "die" for i in range(100)})
    with pytest.raises(UsageError, match=r"hosts are lost whatever they are given.*: it died"):
        drive(executor, units(100))
    assert len([entry for entry in executor.log if entry.startswith("replaced")]) < DEATHS_IN_A_ROW * ATTEMPTS + 1


def test_the_run_gives_up_where_no_host_comes_to_life():
    executor = FakeExecutor(stillborn=True)
    with pytest.raises(UsageError, match="the last one: stillborn"):
        drive(executor, units(1))
    assert len(executor.log) == DEATHS_IN_A_ROW


def test_a_failed_unit_takes_what_needs_its_examples_with_it():
    source = craft("x", of="source")
    scores = [score("own", source), *(score(name, source, on=name) for name in "ab"), white_box("else")]
    witness = drive(FakeExecutor(fates={"craft-x": "error"}), scores)
    assert witness.failures == {f"score-{name}": ("error", "error") for name in ("own", "a", "b")}
    assert witness.finished == ["score-else"]


@pytest.mark.parametrize("fate", ["error", "die", "hang"])
def test_a_failed_judgement_does_not_take_the_examples_from_others(fate):
    source = craft("x", of="source")
    scores = [score("own", source), score("a", source, on="a")]
    witness = drive(FakeExecutor(fates={"score-own": fate}), scores)
    assert list(witness.failures) == ["score-own"]
    assert witness.finished == ["score-a"]


def test_what_only_a_person_can_mend_ends_the_run():
    with pytest.raises(UsageError, match="fatal"):
        drive(FakeExecutor(fates={"score-3": "fatal"}), units(9))


def test_fail_fast_stops_with_the_batch_of_the_first_failure():
    executor = FakeExecutor(fates={"craft-2": "error"})
    witness = drive(executor, units(50), fail_fast=True)
    assert list(witness.failures) == ["score-2"]
    assert len(witness.finished) < 30


def test_a_wish_to_stop_lets_the_unit_at_hand_finish_and_starts_no_other():
    executor = FakeExecutor()
    witness = drive(executor, units(50), stop_requested=lambda: executor.now > 5)
    assert executor.stopped
    assert not witness.failures
    assert {key.replace("craft", "score") for key in executor.committed if "craft" in key} >= set(witness.finished)
    assert 0 < len(witness.finished) < 50


def test_a_unit_that_does_not_finish_is_given_up_after_a_stated_time():
    executor = FakeExecutor(fates={"craft-0": "hang"})
    witness = drive(executor, units(3), stop_requested=lambda: executor.now >= 1, time_limit=3600)
    assert not witness.finished
    assert executor.now == pytest.approx(1 + DRAIN_SECONDS, abs=1)


def test_no_task_waits_with_a_host_that_finds_no_node():
    executor = FakeExecutor(["h1", "h2"], fates={"craft-0": ("die", 1)}, pending=1)
    witness = drive(executor, units(40))
    assert sorted(witness.finished) == sorted(names(*range(40)))
    assert not witness.failures
    assert witness.hosts[-1] == 1


def test_a_host_that_is_not_fit_ends_the_run_with_its_reason():
    with pytest.raises(UsageError, match="sees no results"):
        drive(FakeExecutor(unfit="sees no results"), units(3))


@settings(deadline=None)
@given(
    st.integers(1, 3),
    st.dictionaries(
        st.integers(0, 39),
        st.tuples(
            st.sampled_from(["craft", "score"]),
            st.sampled_from(["die", "hang", "error", ("die", 1), ("die", 2)]),
        ),
        max_size=DEATHS_IN_A_ROW,
    ),
)
def test_every_unit_is_either_done_or_recorded_as_failed_whatever_happens_to_hosts(hosts, fates):
    executor = FakeExecutor([f"h{i}" for i in range(hosts)], {f"{part}-{i}": fate for i, (part, fate) in fates.items()})
    witness = drive(executor, units(40))
    assert sorted([*witness.finished, *witness.failures]) == sorted(names(*range(40)))
    doomed = {f"score-{i}" for i, (_, fate) in fates.items() if fate in {"die", "hang", "error"}}
    assert set(witness.failures) == doomed
