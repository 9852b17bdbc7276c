"""Who else uses the processor: the names of other programs, as far as this system shows them."""

from collections import defaultdict

import psutil


class Neighbours:
    """Counts the processor time of other programs, from one `look` to the next.

    Own are this process, its children, and theirs.

    Attributes:
        seconds: processor time by the program's name, in the stretches that counted.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._before = _others()

    def look(self, counts: bool) -> None:
        """Take what was used since the last look; `counts` if it is to be remembered."""
        now = _others()
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


def _others() -> dict[tuple[int, float], tuple[str, float]]:
    """Name and processor seconds of all processes that are not ours, by what tells them apart."""
    own = {psutil.Process().pid}
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
