"""Memory of a process that runs passes on a CPU: what tensors freed is kept for the next ones."""

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -4, -8
"""Options of glibc's mallopt(3)."""
_MOST = 2**31 - 1


def keep_freed_memory() -> None:
    """Ask glibc not to give freed memory back to the system; does nothing where there is no glibc.

    Each tensor of a pass is freed before the next pass wants one of its size. Given back in between, its pages are cleared and
    mapped anew each time. The process keeps the most that it ever used. Call it before threads are started that run passes: they
    are to allocate from where this holds.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return
    for option, value in ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, _MOST), (_M_ARENA_MAX, 1)):
        mallopt(option, value)
