"""Where the hosts run: a Ray of our own on this machine, or a cluster that is there already; and what it has."""

import logging
import os
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import ray

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


def resources() -> dict[str, float]:
    """Return what the cluster has, as `placement.place` takes it."""
    have: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    return have
