"""How many hosts, and of what size: what a person wishes against what a machine or cluster has. Pure: no ray, no torch."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from raygrid.errors import UsageError


@dataclass(frozen=True)
class HostWishes:
    """Where and on what the hosts should run, as far as a person has said."""

    address: str | None = None
    """A Ray cluster; None: a Ray of our own on this machine."""
    hosts: int | None = None
    gpus: float | None = None
    cpus: int = 1
    micro_batch: int | None = None


@dataclass(frozen=True)
class HostOptions:
    """What a host is given."""

    hosts: int
    gpus: float = 0.0
    """GPUs of a host; 1/n packs n hosts on one GPU."""
    cpus: int = 1
    """CPU cores of a host, and threads of its torch. Results are bit-identical only at equal numbers."""
    micro_batch: int | None = None


def place(have: Mapping[str, float], tasks: int, wishes: HostWishes) -> HostOptions:
    """Choose how many hosts to start: as many as fit, one a GPU where there are GPUs, never more than there are tasks.

    Args:
        have: `CPU` and `GPU` -> how many of them there are.
        tasks: how many tasks there are.
        wishes: what a person has said.

    Raises:
        UsageError: the hosts can't be placed, now or (on a cluster that may grow) at all.
    """
    cpus, gpus = have.get("CPU", 0), have.get("GPU", 0)
    share = (1.0 if gpus >= 1 else 0.0) if wishes.gpus is None else wishes.gpus
    room = int(cpus // wishes.cpus)
    if share:
        room = min(room, int(1 / share + 1e-9) * int(gpus) if share < 1 else int(gpus // share))
    wanted = wishes.hosts or max(room, 1)
    if wanted > room and (wishes.address is None or wishes.hosts is None):
        where = "this machine" if wishes.address is None else f"the cluster at {wishes.address}"
        later = "" if wishes.address is None else "; or say --hosts N to wait until an autoscaler adds nodes"
        raise UsageError(
            f"{wanted} host{'s' if wanted > 1 else ''} of {wishes.cpus} CPUs and {share:g} GPUs can't be placed: {where} has "
            f"{cpus:g} CPUs and {gpus:g} GPUs; ask for less{later}"
        )
    return HostOptions(max(1, min(wanted, tasks)), share, wishes.cpus, wishes.micro_batch)


def local_resources() -> dict[str, float]:
    """Return what this machine has, as `place` takes it."""
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return {"CPU": float(cpus), "GPU": float(len(list(Path("/dev").glob("nvidia[0-9]*"))))}
