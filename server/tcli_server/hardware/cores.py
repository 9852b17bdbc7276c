"""How many processor cores this process may really use."""

import os
from functools import cache
from pathlib import Path

from tcli_server.hardware.share import given_cores, sharing_processes

_CGROUP_QUOTA = Path("/sys/fs/cgroup/cpu.max")


def _affinity() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _cgroup_limit(quota_file: Path) -> float:
    """The cgroup v2 CPU quota in cores, infinite where there is none."""
    try:
        quota, period = quota_file.read_text().split()
        return int(quota) / int(period)
    except (OSError, ValueError):  # no cgroup v2, or "max 100000"
        return float("inf")


@cache
def usable_cores() -> int:
    """Cores by affinity and this process's share of a container's quota, at least 1.

    `os.cpu_count()` names the host's cores even in a container that is limited to two, which is how inference servers come
    to run 64 threads on 2 cores.
    """
    cores = min(_affinity(), _cgroup_limit(_CGROUP_QUOTA) / sharing_processes())
    return max(1, int(min(cores, given_cores() or cores)))
