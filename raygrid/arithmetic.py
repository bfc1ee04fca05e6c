"""How a GPU computes: in float32 where float32 is said, and the same each time. No verdict hangs on torch's defaults, which let
convolutions drop 13 of 23 bits (TF32): that moves scores by a thousandth, and an attack that is told of a success so has none."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

SETTINGS: tuple[tuple[Any, str, bool], ...] = (
    (torch.backends.cudnn, "allow_tf32", False),
    (torch.backends.cuda.matmul, "allow_tf32", False),
    (torch.backends.cudnn, "benchmark", False),
    (torch.backends.cudnn, "deterministic", True),
)


def compute_exactly() -> None:
    """Compute so in this process from now on."""
    for backend, name, value in SETTINGS:
        setattr(backend, name, value)


@contextmanager
def exact_arithmetic() -> Iterator[None]:
    """Compute so for the duration."""
    before = [getattr(backend, name) for backend, name, _ in SETTINGS]
    compute_exactly()
    try:
        yield
    finally:
        for (backend, name, _), value in zip(SETTINGS, before, strict=True):
            setattr(backend, name, value)
