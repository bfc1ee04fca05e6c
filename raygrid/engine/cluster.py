"""Where the hosts run: a Ray of our own on this machine, or a cluster that is there already; and how many fit."""

import logging
import os
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import ray

from raygrid.engine.ray_executor import HostOptions
from raygrid.errors import UsageError

OBJECT_STORE_BYTES = 512 << 20
"""Of a local Ray. Shards are its largest tenants: 512 MB hold 10,000 images of 128 x 128."""

KNOCK_SECONDS = 10.0


@contextmanager
def connected(address: str | None) -> Iterator[None]:
    """Connect to the Ray cluster at the address, or start a local one; leave or end it at the end.

    Raises:
        UsageError: there is no cluster at the address.
    """
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    init: Any = partial(ray.init, log_to_driver=False, logging_level=logging.ERROR)
    if address is None:
        init(address="local", include_dashboard=False, object_store_memory=OBJECT_STORE_BYTES)
    else:
        _join(address, init)
    try:
        yield
    finally:
        ray.shutdown()


def _join(address: str, init: Callable[..., Any]) -> None:
    try:
        if found := re.fullmatch(r"\[?([^/]+?)\]?:(\d+)", address):  # where nobody listens, Ray would try for minutes
            socket.create_connection((found[1], int(found[2])), KNOCK_SECONDS).close()
        init(address=address)
    except (OSError, ValueError, ray.exceptions.RayError) as error:
        raise UsageError(
            f"--address {address}: no Ray cluster answers there ({error}); `ray status --address {address}` tells more, "
            "and a cluster with token authentication needs RAY_AUTH_MODE=token"
        ) from error


def host_options(tasks: int, hosts: int | None, gpus: float | None, cpus: int, micro_batch: int | None) -> HostOptions:
    """Choose how many hosts to start: as many as fit, one a GPU where there are GPUs, never more than there are tasks.

    Args:
        tasks: how many tasks there are.
        hosts: as many as this, where a person has said so.
        gpus: GPUs of a host; None: one where the cluster has any.
        cpus: CPU cores of a host.
        micro_batch: samples in one pass at most.

    Raises:
        UsageError: not one host fits into the cluster as it is, and nobody has said how many to wait for.
    """
    have: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    if gpus is None:
        gpus = 1.0 if have.get("GPU", 0) >= 1 else 0.0
    room = int(have.get("GPU", 0) / gpus) if gpus else int(have.get("CPU", 0) // cpus)
    if hosts is None and room < 1:
        raise UsageError(
            f"no host of {cpus} CPUs and {gpus:g} GPUs fits into the cluster, which has {have.get('CPU', 0):g} CPUs and "
            f"{have.get('GPU', 0):g} GPUs; ask for less, or say --hosts N to wait until an autoscaler adds nodes"
        )
    return HostOptions(max(1, min(hosts or room, tasks)), gpus, cpus, micro_batch)
