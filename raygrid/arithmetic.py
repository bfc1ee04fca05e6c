"""In what numbers are computed: in float32 where float32 is said, and on a GPU the same each time. No verdict hangs on torch's
defaults, by which a GPU's convolutions drop 13 of 23 bits (TF32): that moves scores by a thousandth."""

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import torch

_BACKENDS: Any = torch.backends
PARTS: tuple[Any, ...] = (
    _BACKENDS.cudnn.conv,
    _BACKENDS.cudnn.rnn,
    _BACKENDS.cuda.matmul,
    _BACKENDS.mkldnn.conv,
    _BACKENDS.mkldnn.rnn,
    _BACKENDS.mkldnn.matmul,
)
"""What computes, each with an `fp32_precision` of its own."""
EXACT = ("ieee", "none")
"""`none`: nobody asked for less."""


def compute_exactly() -> ExitStack:
    """Compute so from now on. Returns what puts everything back: `with compute_exactly(): ...`.

    The settings are the process's: not for two threads at once. torch has two ways to say the same, refuses to read by the older
    one what was said by the newer, and libraries read by either. So each setting is changed by the way that can be read, and the
    newer one has the last word.
    """
    with ExitStack() as undo:
        undo.callback(_put_back, [part.fp32_precision for part in PARTS])
        _set(undo, lambda: torch.backends.cudnn.deterministic, _deterministic, True)
        _set(undo, lambda: torch.backends.cudnn.benchmark, _benchmark, False)
        if _loose():
            _set(undo, lambda: torch.backends.cudnn.allow_tf32, _allow_tf32, False)
            _set(undo, torch.get_float32_matmul_precision, torch.set_float32_matmul_precision, "highest")
        for part in _loose():
            part.fp32_precision = "ieee"
        return undo.pop_all()


def _loose() -> list[Any]:
    return [part for part in PARTS if part.fp32_precision not in EXACT]


def _put_back(before: list[str]) -> None:
    for part, value in zip(PARTS, before, strict=True):
        if part.fp32_precision != value:
            part.fp32_precision = value


def _set(undo: ExitStack, read: Callable[[], Any], write: Callable[[Any], None], value: Any) -> None:
    """Change a setting until the stack is undone; leave alone what torch won't have read or written."""
    try:
        before = read()
        if before != value:
            write(value)
            undo.callback(write, before)
    except RuntimeError:
        return


def _deterministic(value: bool) -> None:
    torch.backends.cudnn.deterministic = value


def _benchmark(value: bool) -> None:
    torch.backends.cudnn.benchmark = value


def _allow_tf32(value: bool) -> None:
    torch.backends.cudnn.allow_tf32 = value
