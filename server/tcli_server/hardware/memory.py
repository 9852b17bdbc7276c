"""How much memory this process may use, and how much it has."""

import contextlib
import os
import sys
from functools import cache
from pathlib import Path
from typing import NamedTuple

import psutil

from tcli_server.hardware.share import sharing_processes

_CGROUP = Path("/sys/fs/cgroup")


class _Version(NamedTuple):
    """Where a version of cgroups says of a container, below `_CGROUP`, what it may use and what it uses.

    Attributes:
        cache: the line of `stat` with what was read from files and not used lately.
    """

    limit: str
    used: str
    stat: str
    cache: str


_V2 = _Version("memory.max", "memory.current", "memory.stat", "inactive_file")
_V1 = _Version(
    "memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat", "total_inactive_file"
)
_CGROUP_LIMITS = (_CGROUP / _V2.limit, _CGROUP / _V1.limit)


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
    """Bytes that this process may use: its share of the machine's memory or the container's limit, or its own limit."""
    of_all = min(psutil.virtual_memory().total, *map(_cgroup_limit, _CGROUP_LIMITS))
    return int(min(of_all / sharing_processes(), _process_limit()))


def free_memory(cgroup: Path = _CGROUP) -> int:
    """Bytes that this process and those which it starts could take now: of the machine's, and of what `usable_memory` allows.

    In a container, what it holds is not free, whatever the machine has; but for what was read from files and not used lately,
    which makes room.

    Args:
        cgroup: where the container's limits are.
    """
    left = min(_left(cgroup, version) for version in (_V2, _V1))
    return max(0, int(min(psutil.virtual_memory().available, usable_memory(), left)))


def _left(cgroup: Path, version: _Version) -> float:
    """Of a container's limit in bytes, infinite where there is none."""
    limit = _cgroup_limit(cgroup / version.limit)
    try:
        used = int((cgroup / version.used).read_text())
        lines = (cgroup / version.stat).read_text().splitlines()
        cached = sum(int(line.split()[1]) for line in lines if line.startswith(f"{version.cache} "))
    except (OSError, ValueError, IndexError):
        return limit
    return limit - max(0, used - cached)


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
