"""Where hosts live: the interface that the driver works against. Imports no torch: the driver holds no tensors."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import pyarrow as pa


class Outcome(NamedTuple):
    """How a call to a host ended."""

    ticket: int
    value: Any = None
    lost: str = ""
    """Why the host is gone; empty where it answered."""


class Executor(Protocol):
    """Hosts, by name."""

    @property
    def hosts(self) -> list[str]:
        """Names of the hosts."""

    def put(self, table: pa.Table) -> Any:
        """Make a shard known to all hosts once; the result goes into calls."""

    def call(self, host: str, method: str, first: Any, tables: Sequence[Any]) -> int:
        """Start `method(first, *tables)` on a host and return a ticket. A host runs its calls in order."""

    def wait(self, seconds: float) -> list[Outcome]:
        """Return the calls that ended, at once or within the given time."""

    def replace(self, host: str) -> str:
        """End a host and start another in its place; returns its name. Open calls of the old one are forgotten."""

    def stop(self) -> None:
        """Ask all hosts to return after the unit at hand."""

    def close(self) -> None:
        """End all hosts."""
