"""Who else uses the processor: the names of other programs, as far as this system shows them."""

from collections import defaultdict
from collections.abc import Callable, Iterable

import psutil

Measured = Callable[[], Iterable[int]]
"""The processes that are measured, as they are now."""


class Neighbours:
    """Counts the processor time of other programs, from one `look` to the next.

    Own are this process, those that are measured, the children of both, and theirs.

    Args:
        measured: of a server on this machine; what this process started need not be named.

    Attributes:
        seconds: processor time by the program's name, in the stretches that counted.
    """

    def __init__(self, measured: Measured = tuple) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._measured = measured
        self._before = _others(measured())

    def look(self, counts: bool) -> None:
        """Take what was used since the last look; `counts` if it is to be remembered."""
        now = _others(self._measured())
        if counts:
            for key, (name, seconds) in now.items():
                used = seconds - self._before.get(key, (name, 0.0))[1]
                if used > 0:
                    self.seconds[name] += used
        self._before = now

    def busiest(self, most: int = 3) -> list[tuple[str, float]]:
        """Names and seconds, most first."""
        ranked = sorted(self.seconds.items(), key=lambda pair: -pair[1])
        return [(name, seconds) for name, seconds in ranked[:most] if seconds >= 0.5]


def _others(measured: Iterable[int]) -> dict[tuple[int, float], tuple[str, float]]:
    """Name and processor seconds of all processes that are not ours, by what tells them apart."""
    own = {psutil.Process().pid, *measured}
    found: dict[tuple[int, float], tuple[str, float]] = {}
    # Parents come before their children where pids rise; a pid that was used again is told apart by its start.
    for process in sorted(psutil.process_iter(["ppid", "name", "cpu_times", "create_time"]), key=lambda one: one.pid):
        info = process.info
        if process.pid in own or info["ppid"] in own:
            own.add(process.pid)
            continue
        times = info["cpu_times"]
        if times is not None:
            found[process.pid, info["create_time"]] = (str(info["name"]), times.user + times.system)
    return found
