"""How much memory this process may use, and giving back what it no longer needs."""

import contextlib
import ctypes
import gc
import os
import sys
from functools import cache
from pathlib import Path

import psutil

_CGROUP_LIMITS = (
    Path("/sys/fs/cgroup/memory.max"),  # v2
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),  # v1
)

_M_MMAP_THRESHOLD = -3
"""mallopt's name for the size from which a block is mapped by itself."""

_LARGE_BLOCK = 1 << 20


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


def resident_memory() -> tuple[int, int]:
    """Bytes of memory that this process holds, and that the processes which it started hold (what only they hold)."""
    others = 0
    for process in _started_processes():
        with contextlib.suppress(psutil.Error):  # it has just ended, or is not ours to ask
            others += psutil.Process(process).memory_full_info().uss
    return int(psutil.Process().memory_info().rss), others


def _started_processes() -> list[int]:
    """The processes that this one started, and that these started."""
    found: list[int] = []
    waiting = [os.getpid()]
    while waiting:
        try:
            lists = [file.read_text() for file in Path(f"/proc/{waiting.pop()}/task").glob("*/children")]
        except OSError:  # a thread or a process has just ended
            continue
        if not lists and not found:  # not Linux, or a kernel without these files: look at every process there is
            return [child.pid for child in psutil.Process().children(recursive=True)]
        children = [int(text) for text in " ".join(lists).split()]
        found += children
        waiting += children
    return found


def keep_large_blocks_apart() -> None:
    """Have the C library's allocator give each large block back as soon as it is free, for the rest of the process.

    glibc takes blocks of a size from its heap once such a block was freed. Weights of models that come and go then lie
    among small blocks that stay, and the process grows by what lies between.
    """
    if sys.platform == "linux":
        set_option = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none, and does so anyway
        if set_option is not None:
            set_option(_M_MMAP_THRESHOLD, _LARGE_BLOCK)


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
