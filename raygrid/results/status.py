"""The progress of a run, beside the results: written by the driver, read from anywhere without Ray."""

import json
from collections.abc import Mapping
from typing import Any

from raygrid.errors import UsageError
from raygrid.results.folder import MARKER, check
from raygrid.results.store import Store

STATUS = "status.json"


def write_status(store: Store, status: Mapping[str, Any]) -> None:
    """Replace the status, which is plain JSON values. Readers see the old one or the new one, never half of it."""
    store.put(STATUS, json.dumps(dict(status)).encode())


def read_status(store: Store) -> dict[str, Any]:
    """Return the last status written.

    Raises:
        UsageError: no run has ever started there, or one of a later schema version.
    """
    if store.exists(MARKER):
        check(store)
    try:
        content = store.get(STATUS)
    except (FileNotFoundError, NotADirectoryError):
        raise UsageError(f"{store.locate('')} has no {STATUS}: no run has started there") from None
    status: dict[str, Any] = json.loads(content)
    return status
