"""How much memory this process may use, and giving back what it no longer needs."""

import ctypes
import gc
import sys
from functools import cache
from pathlib import Path

import psutil

_CGROUP_LIMITS = (
    Path("/sys/fs/cgroup/memory.max"),  # v2
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),  # v1
)


def _cgroup_limit(file: Path) -> float:
    """A container's limit in bytes, infinite where there is none."""
    try:
        return int(file.read_text())
    except (OSError, ValueError):  # another version of cgroups, or "max"
        return float("inf")


@cache
def usable_memory() -> int:
    """Bytes that this process may use: the machine's memory or the container's limit, whichever is less."""
    return int(min(psutil.virtual_memory().total, *map(_cgroup_limit, _CGROUP_LIMITS)))


def return_freed_memory() -> None:
    """Collect what is unreachable and have the C library's allocator let go of free pages.

    glibc keeps them otherwise, so that a process looks as large after unloading its models as before.
    """
    gc.collect()
    trim_heap()


def trim_heap() -> None:
    """Have the C library's allocator let go of free pages, without looking for unreachable objects first."""
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's own; musl has none
        if trim is not None:
            trim(0)
