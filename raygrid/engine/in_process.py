"""The executor that runs one host in this very process: for tests, and wherever Ray would be in the way."""

from collections import deque
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from raygrid.engine.executor import Outcome
from raygrid.engine.host import VictimHost


class InProcess:
    """One host, here. Calls run while the driver waits; no time limit holds, since nothing can end a call."""

    def __init__(self, results: str, device: str = "cpu", micro_batch: int | None = None) -> None:
        self.hosts = ["in-process"]
        self._host = VictimHost(results, device, micro_batch)
        self._calls: deque[tuple[int, str, Any, Sequence[Any]]] = deque()
        self._tickets = 0

    def put(self, table: pa.Table) -> pa.Table:
        """Return the table itself."""
        return table

    def call(self, host: str, method: str, first: Any, tables: Sequence[Any]) -> int:
        """Queue a call."""
        self._tickets += 1
        self._calls.append((self._tickets, method, first, tables))
        return self._tickets

    def wait(self, seconds: float) -> list[Outcome]:
        """Run the next call."""
        if not self._calls:
            return []
        ticket, method, first, tables = self._calls.popleft()
        return [Outcome(ticket, getattr(self._host, method)(first, *tables))]

    def replace(self, host: str) -> str:
        """Refuse: the host is this process."""
        raise RuntimeError("the host of this process can't be replaced")

    def stop(self) -> None:
        """Ask the host to return after the unit at hand."""
        self._host.stop()

    def close(self) -> None:
        """Nothing to end."""
