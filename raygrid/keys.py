"""Content keys: the hash of everything that determines a result, as canonical JSON. Imports no torch."""

import json
from hashlib import blake2b
from typing import Any

KEY_BYTES = 16


def canonical(value: Any) -> str:
    """Write a JSON value in the one form that is hashed: sorted keys, no spaces, NaN refused."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def content_key(value: Any) -> str:
    """Return 32 hex digits that change when anything in the value changes."""
    return blake2b(canonical(value).encode(), digest_size=KEY_BYTES).hexdigest()
