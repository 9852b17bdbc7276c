"""What other programs, and a hypervisor, took away from the processes that are measured.

A thread that could run but does not, waits: the kernel counts that for each (`schedstat`). It waits for others if others were
busy meanwhile, else for its own kind, which is the measured configuration's own doing. Stolen time comes on top. The share that
was lost predicts what a window lost: throughput x (1 - share) for single threads, x (1 - share)^2 for a pool over all cores.
"""

import os
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

CLEAN_SHARE = 0.02
DISTURBED_SHARE = 0.10

_PROC = Path("/proc")
_BUSY_FIELDS = (0, 1, 2, 5, 6)
"""Of a line of /proc/stat: user (guests are inside), nice, system, irq, softirq."""
_STEAL_FIELD = 7


class Disturbance(StrEnum):
    """How much of a window's processor time others took."""

    CLEAN = "clean"
    MARKED = "marked"
    DISTURBED = "disturbed"
    UNOBSERVED = "unobserved"


@dataclass(frozen=True, slots=True)
class ProcessorTime:
    """What became of the processor time that the measured processes wanted in a window, all in seconds.

    Attributes:
        own: they ran.
        wait: they could have run, but did not.
        other: all other processes ran on the cores that these may use.
        steal: the hypervisor gave these cores to others.
        throttled: the container had used its quota up. No neighbour's doing: it would be so at any time.
        elapsed: on the clock.
    """

    own: float
    wait: float
    other: float
    steal: float
    throttled: float = 0.0
    elapsed: float = 0.0

    @property
    def lost(self) -> float:
        """Seconds that others took: no more than was waited for, and no more than others ran."""
        return min(self.wait, self.other) + self.steal

    @property
    def lost_share(self) -> float:
        """`lost` against all that the processes wanted of the machine, 0 to 1.

        What hardly computes, as it waits for a GPU or sleeps, is delayed by no more than what it lost against the clock.
        """
        wanted = max(self.own + self.lost, self.elapsed)
        return self.lost / wanted if wanted > 0 else 0.0

    @property
    def disturbance(self) -> Disturbance:
        """What a window of this kind may be used for: only a clean one carries a claim."""
        if self.lost_share <= CLEAN_SHARE:
            return Disturbance.CLEAN
        return Disturbance.MARKED if self.lost_share <= DISTURBED_SHARE else Disturbance.DISTURBED


class ProcessorMeter:
    """Meters processes from one `take` to the next, on Linux.

    `sample` in between, some 50 times a second, keeps what threads had run that end before the window does.

    Args:
        pids: the processes that are measured, the load generator's among them.
    """

    def __init__(self, pids: Iterable[int]) -> None:
        self._pids = tuple(pids)
        self._cores = _usable_cores()
        self._threads: dict[str, tuple[int, int]] = {}
        self._own_ns = self._wait_ns = 0
        self._machine = _machine(self._cores)
        self._throttled = _throttled()
        self._taken = time.monotonic()
        self.sample()
        self._own_ns = self._wait_ns = 0

    @staticmethod
    def is_possible() -> bool:
        """Whether this system tells what is needed."""
        return (_PROC / "self" / "schedstat").exists() and (_PROC / "stat").exists()

    def sample(self) -> None:
        """Read all threads once more."""
        seen: dict[str, tuple[int, int]] = {}
        for pid in self._pids:
            with suppress(OSError):  # it has ended
                for thread in (_PROC / str(pid) / "task").iterdir():
                    key = f"{pid}/task/{thread.name}"
                    with suppress(OSError, ValueError):
                        ran, waited, _ = (_PROC / key / "schedstat").read_text().split()
                        seen[key] = int(ran), int(waited)
        for key, (own, wait) in seen.items():
            before = self._threads.get(key, (0, 0))
            self._own_ns += own - before[0]
            self._wait_ns += wait - before[1]
        self._threads = seen

    def take(self) -> ProcessorTime:
        """What happened since the last `take`, or since the meter was made."""
        self.sample()
        now = time.monotonic()
        busy, steal = _machine(self._cores)
        before_busy, before_steal = self._machine
        throttled = _throttled()
        own = self._own_ns / 1e9
        taken = ProcessorTime(
            own=own,
            wait=self._wait_ns / 1e9,
            other=max(0.0, busy - before_busy - own),
            steal=max(0.0, steal - before_steal),
            throttled=max(0.0, throttled - self._throttled),
            elapsed=now - self._taken,
        )
        self._machine, self._throttled, self._taken = (busy, steal), throttled, now
        self._own_ns = self._wait_ns = 0
        return taken


def _usable_cores() -> frozenset[int]:
    return frozenset(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else frozenset()


def _machine(cores: frozenset[int]) -> tuple[float, float]:
    """Seconds that these cores were busy, and stolen, since the machine started."""
    ticks = os.sysconf("SC_CLK_TCK")
    busy = steal = 0
    for line in (_PROC / "stat").read_text().splitlines():
        name, _, rest = line.partition(" ")
        if name[:3] == "cpu" and name[3:].isdigit() and int(name[3:]) in cores:
            fields = [int(field) for field in rest.split()]
            busy += sum(fields[field] for field in _BUSY_FIELDS)
            steal += fields[_STEAL_FIELD]
    return busy / ticks, steal / ticks


def _throttled() -> float:
    """Seconds for which this container was held back by its quota (cgroup v2); 0 where there is none."""
    with suppress(OSError, ValueError):
        for line in Path("/sys/fs/cgroup/cpu.stat").read_text().splitlines():
            name, _, value = line.partition(" ")
            if name == "throttled_usec":
                return int(value) / 1e6
    return 0.0
