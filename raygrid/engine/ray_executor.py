"""Hosts as Ray actors, on this machine or on a cluster. All that the project knows of Ray stands here and in `cluster.py`."""

import os
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import ray

from raygrid.engine.executor import Outcome
from raygrid.engine.placement import HostOptions

BROKEN_DEVICE = "CUDA error:"
"""How torch's messages begin where a kernel failed; an out-of-memory error says otherwise and breaks nothing."""


class HostActor:
    """A process around a VictimHost."""

    def __init__(self, results: str, gpus: float, cpus: int, micro_batch: int | None) -> None:
        import torch  # in the host's process only

        from raygrid.arithmetic import compute_exactly
        from raygrid.engine.host import VictimHost
        from raygrid.memory import keep_freed_memory

        keep_freed_memory()
        torch.set_num_threads(cpus)
        compute_exactly()
        if 0 < gpus < 1 and torch.cuda.is_available():
            torch.cuda.set_per_process_memory_fraction(gpus)
        self.host = VictimHost(results, "cuda" if gpus else "cpu", micro_batch)

    def call(self, method: str, first: Any, *tables: pa.Table) -> Any:
        """Pass a call on to the host. A process whose CUDA context is broken fails whatever it is given: it ends itself."""
        answer = getattr(self.host, method)(first, *tables)
        if method == "run" and any(BROKEN_DEVICE in report.error for report in answer):
            os._exit(1)
        return answer

    @ray.method(concurrency_group="control")
    def stop(self) -> None:
        """Pass the wish to stop on while `call` runs."""
        self.host.stop()


class RayExecutor:
    """Hosts on the Ray cluster that `ray.init` has connected to."""

    def __init__(self, results: str, options: HostOptions) -> None:
        self.results = results
        self.options = options
        self._actors: dict[str, Any] = {}
        self._calls: dict[Any, tuple[int, str]] = {}
        self._count = 0
        self._tickets = 0
        for _ in range(options.hosts):
            self._start()

    @property
    def hosts(self) -> list[str]:
        """Names of the hosts."""
        return list(self._actors)

    def put(self, table: pa.Table) -> Any:
        """Put the table into the object store."""
        return ray.put(table)

    def call(self, host: str, method: str, first: Any, tables: Sequence[Any]) -> int:
        """Start a call; tables are references, resolved where the host runs."""
        self._tickets += 1
        reference = self._actors[host].call.remote(method, first, *tables)
        self._calls[reference] = (self._tickets, host)
        return self._tickets

    def wait(self, seconds: float) -> list[Outcome]:
        """Return the calls that have ended."""
        if not self._calls:
            return []
        ready, _ = ray.wait(list(self._calls), num_returns=1, timeout=seconds)
        outcomes = []
        for reference in ready:
            ticket, _ = self._calls.pop(reference)
            try:
                outcomes.append(Outcome(ticket, ray.get(reference)))
            except ray.exceptions.RayTaskError as error:
                outcomes.append(Outcome(ticket, lost=str(error)))
            except ray.exceptions.RayError as error:
                outcomes.append(Outcome(ticket, lost=_cause(error)))
        return outcomes

    def replace(self, host: str) -> str:
        """Kill the host and start another."""
        self._calls = {reference: call for reference, call in self._calls.items() if call[1] != host}
        ray.kill(self._actors.pop(host), no_restart=True)
        return self._start()

    def stop(self) -> None:
        """Ask all hosts to return after the unit at hand."""
        for actor in self._actors.values():
            actor.stop.remote()

    def close(self) -> None:
        """Kill all hosts."""
        for actor in self._actors.values():
            ray.kill(actor, no_restart=True)
        self._actors.clear()
        self._calls.clear()

    def _start(self) -> str:
        o = self.options
        self._count += 1
        name = f"host-{self._count}"
        # Ray restarts and retries nothing: the driver supervises, and commits decide (ray.md 1.3).
        options: dict[str, Any] = {"num_cpus": o.cpus, "num_gpus": o.gpus, "max_restarts": 0, "max_task_retries": 0}
        if not o.gpus:  # Ray no longer hides GPUs from actors that asked for none
            options["runtime_env"] = {"env_vars": {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": str(o.cpus)}}
        remote: Any = ray.remote
        actor = remote(concurrency_groups={"control": 1})(HostActor)
        self._actors[name] = actor.options(**options).remote(self.results, o.gpus, o.cpus, o.micro_batch)
        return name


def _cause(error: Exception) -> str:
    """Return the line of Ray's message that says what happened, without the advice that follows it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1].partition(" Some common causes")[0] if lines else type(error).__name__
