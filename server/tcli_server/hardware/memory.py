"""How much memory this process may use, and how much it has."""

import contextlib
import os
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


def _process_limit() -> float:
    """What is left of the process's own limit (`ulimit -v`) in bytes, infinite where there is none.

    Unlike memory, addresses are used up by what is only reserved: for threads, for programs, and for bodies to come.
    """
    if sys.platform == "win32":
        return float("inf")
    import resource

    limits = [resource.getrlimit(kind)[0] for kind in (resource.RLIMIT_AS, resource.RLIMIT_DATA)]
    limited = [limit for limit in limits if limit != resource.RLIM_INFINITY]
    return max(0, min(limited) - psutil.Process().memory_info().vms) if limited else float("inf")


@cache
def usable_memory() -> int:
    """Bytes that this process may use: the machine's memory, the container's limit or its own, whichever is least."""
    return int(min(psutil.virtual_memory().total, _process_limit(), *map(_cgroup_limit, _CGROUP_LIMITS)))


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
