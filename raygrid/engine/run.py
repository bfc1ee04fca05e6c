"""`raygrid run`: from a job to a published result, by way of the driver."""

import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from raygrid.assets import Report, fetch_all
from raygrid.data.dataset import usual_shard
from raygrid.data.pins import MTCNN
from raygrid.engine.driver import Driver
from raygrid.engine.executor import Executor
from raygrid.engine.inputs import Inputs
from raygrid.engine.measures import facts
from raygrid.engine.preflight import preflight, preflights
from raygrid.engine.progress import Progress
from raygrid.engine.rows import face_rows, failure_rows, index_rows, sample_rows
from raygrid.engine.work import plan_tasks
from raygrid.errors import UsageError
from raygrid.keys import content_key
from raygrid.pins import ASSETS
from raygrid.results.folder import commit_failure, forsake, keys, part_name, prepare, write_index, write_run
from raygrid.results.publish import publish
from raygrid.results.status import write_status
from raygrid.results.store import STAGING, Store, open_store
from raygrid.spec import Job
from raygrid.units import Score

STATUS_SECONDS = 2.0
"""Between two writes of status.json."""
VERSIONS = ("raygrid", "torch", "torchvision", "torchaudio", "ray", "pyarrow", "numpy")
Show = Callable[[Mapping[str, Any]], None]


@dataclass(frozen=True)
class Options:
    """What a run may be told beside its job."""

    time_limit: float | None = None
    """Seconds that one unit may take before its host is ended and it is recorded as `timeout`; None: an hour for 32 samples, and in
    proportion for more."""
    fail_fast: bool = False
    """Stop at the first unit that fails."""


@dataclass(frozen=True)
class Done:
    """What the store holds already."""

    scored: set[str]
    crafted: set[str]
    fitted: set[str]


@dataclass(frozen=True)
class Outcome:
    """How a run ended."""

    run: str
    state: str
    """complete, failed (some units failed), or stopped."""
    computed: int
    reused: int
    failed: int
    seconds: float
    unpublished: str | None = None
    """Why a complete run could not be published: somebody else touched its files."""


def what_is_done(store: Store) -> Done:
    """Read off the store which units need not run again."""
    return Done(keys(store, "trials"), keys(store, "crafts") & keys(store, "examples"), keys(store, "fits"))


def run(
    job: Job,
    inputs: Inputs,
    start: Callable[[int], Executor],
    options: Options | None = None,
    show: Show = lambda status: None,
    report: Report | None = None,
) -> Outcome:
    """Run what is not done yet, and publish.

    Args:
        job: the job.
        inputs: what `read_inputs` made of it.
        start: starts an executor for this many tasks; not called where nothing is to do.
        options: time limit and the like.
        show: called now and then with the status.
        report: called while weights are fetched.

    Raises:
        UsageError: a victim is not fit, the disk is full, and whatever else a person must mend. What was committed stays;
                where nothing was, no folder does.
    """
    options = options or Options()
    started = time.monotonic()
    store = open_store(job.results)
    new = prepare(store)
    plan = inputs.plan
    done = what_is_done(store)
    backlog = plan_tasks(plan.scores, done.scored, done.crafted, done.fitted)
    progress = Progress.of(plan.scores, done.scored)
    executor = None
    handles: dict[str, Any] = {}
    run_id = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{content_key([os.getpid(), time.time_ns()])[:6]}"
    token = f"{STAGING}/{run_id}"
    try:
        if backlog.waiting:
            show(progress.status("starting"))
            weights = {sha256 for task in backlog.tasks() for sha256 in task.model.info.weights}
            needed_by_detector = MTCNN if any(score.cell.detector for score in plan.scores) else ()
            fetch_all([*(asset for asset in ASSETS.values() if asset.sha256 in weights), *needed_by_detector], report)
            store.put(token, b"")
            executor = start(backlog.waiting)
            needed = dict.fromkeys(task.shard for task in backlog.tasks())
            handles = {key: executor.put(inputs.shards[key]) for key in needed}
            preflight(executor, preflights(backlog.tasks()), handles, token)
        write_index(store, run_id, index_rows(plan.scores, done.scored))
        recorder = Recorder(store, inputs, progress, show)
        with _on_record(store, run_id, _manifest(job, inputs), progress) as ending:
            stopped = False
            if executor:
                with _stop_on_interrupt() as stop_requested:
                    Driver(
                        executor,
                        backlog,
                        handles,
                        lambda parts, key: store.exists(part_name(parts, key)),
                        recorder,
                        token,
                        options.time_limit,
                        options.fail_fast,
                        stop_requested,
                    ).run()
                    stopped = stop_requested()
            unfinished = recorder.failures or backlog.waiting
            ending.state = "stopped" if stopped else "failed" if unfinished else "complete"
    finally:
        if executor:
            executor.close()
        store.delete(token)
        if new:
            forsake(store)  # a run that was refused leaves nothing
    unpublished = publish(store, run_id) if ending.state == "complete" else None
    computed = sum(line.done for line in progress.lines.values())
    reused = sum(line.reused for line in progress.lines.values())
    return Outcome(run_id, ending.state, computed, reused, recorder.failures, time.monotonic() - started, unpublished)


class Recorder:
    """Writes down how a run goes on: failed units beside the trials, the status beside the results."""

    def __init__(self, store: Store, inputs: Inputs, progress: Progress, show: Show) -> None:
        self.store, self.inputs, self.progress, self.show = store, inputs, progress, show
        self.failures = 0
        self._written = 0.0

    def done(self, score: Score, counts: Mapping[str, int]) -> None:
        """A score unit was committed."""
        self.progress.done(score, counts)

    def failed(self, score: Score, status: str, error: str) -> None:
        """A score unit failed as a whole."""
        table = self.inputs.shards[score.craft.shard.key]
        samples = sample_rows(table)
        if score.enrolled is not None:
            faces = face_rows(score, table, None)
            samples = [{**sample, **face} for sample, face in zip(samples, faces, strict=True)]
        commit_failure(self.store, score.key, failure_rows(score, samples, status, error), score.craft.shard.size)
        self.failures += 1
        self.progress.failed(score)

    def lost(self, host: str, why: str) -> None:
        """A host died or was ended."""
        self.progress.losses += 1
        self.progress.last_loss = why

    def tick(self, hosts: int, waiting: int) -> None:
        """Show and write the status now and then."""
        self.progress.hosts = hosts
        status = self.progress.status("running")
        self.show(status)
        if time.monotonic() - self._written >= STATUS_SECONDS:
            self._written = time.monotonic()
            write_status(self.store, status)


@dataclass
class _Ending:
    state: str = "stopped"
    """That of a run that did not come to its end."""


@contextmanager
def _on_record(store: Store, run_id: str, manifest: Mapping[str, Any], progress: Progress) -> Iterator[_Ending]:
    """Write down that a run goes on, and in the end, whatever it is, how it ended."""
    write_run(store, run_id, {**manifest, "state": "running"})
    ending = _Ending()

    def conclude() -> None:
        write_run(store, run_id, {**manifest, "state": ending.state, "finished": _now()})
        write_status(store, progress.status(ending.state))

    try:
        yield ending
    except BaseException:
        with suppress(UsageError):  # where the disk is full, the first error tells it
            conclude()
        raise
    conclude()


@contextmanager
def _stop_on_interrupt() -> Iterator[Callable[[], bool]]:
    """Turn the first Ctrl-C into a wish to stop; the second ends the program as usual."""
    requests: list[int] = []

    def ask(number: int, frame: object) -> None:
        requests.append(number)
        signal.signal(signal.SIGINT, signal.default_int_handler)

    before = signal.signal(signal.SIGINT, ask)
    try:
        yield lambda: bool(requests)
    finally:
        signal.signal(signal.SIGINT, before)


def _manifest(job: Job, inputs: Inputs) -> dict[str, Any]:
    return {
        "name": job.name,
        "job": job.resolved,
        "file": job.file,
        "started": _now(),
        "command": sys.argv,
        "versions": {name: _version(name) for name in VERSIONS},
        "python": platform.python_version(),
        "git": _git_revision(),
        "hardware": {"machine": platform.machine(), "node": platform.node(), "cpus": os.cpu_count()},
        "victims": {info.id: info.facts() for info in inputs.infos.values()},
        "data": {
            d.name: {"license": d.license, "source": d.source, "notes": d.notes} for d in inputs.datasets.values()
        },
        "shards": {key: usual_shard(dataset.shape) for key, dataset in inputs.datasets.items()},
        "measures": facts(job),
        "costs": [{"grid": grid, **cost._asdict()} for grid, costs in inputs.costs.items() for cost in costs],
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _git_revision() -> str | None:
    """Return the revision of the checkout that the code runs from, marked where it was changed; None outside of one."""
    here = Path(__file__).parent
    command = ["git", "-C", str(here), "describe", "--always", "--dirty", "--abbrev=40"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603
    except (OSError, subprocess.CalledProcessError):
        return None


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")  # by this the latest run is known
