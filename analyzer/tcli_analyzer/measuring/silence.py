"""Notices that a load gets no answers any more: a model that hangs is to end a measurement, and not the user's patience."""

from time import perf_counter_ns

from tcli_analyzer.load import RunningLoad
from tcli_analyzer.load.failing import StuckError

SILENCE_SECONDS = 120.0
"""Without any answer, although requests wait, before the first one ..."""

SHORT_SILENCE_SECONDS = 30.0
"""... and at least after it: as long as `_TIMES` the slowest answer took, up to `SILENCE_SECONDS`."""

_TIMES = 20

_LONGEST_LOOK_NS = 100_000_000
"""Between two looks no more than this counts: where nobody could look for longer, the machine stood still, and the model with it."""


class Silence:
    """Of one load, which is to be looked at again and again.

    Args:
        seconds: instead of `SILENCE_SECONDS`.
    """

    def __init__(self, load: RunningLoad, seconds: float = SILENCE_SECONDS) -> None:
        self._load = load
        self._seconds = seconds
        self._short_seconds = min(SHORT_SILENCE_SECONDS, seconds)
        self._answers = 0
        self._silent_ns = 0
        self._looked_ns = perf_counter_ns()

    def check(self) -> None:
        """Look.

        Raises:
            StuckError: there was no answer for too long, although requests wait.
        """
        answers, now = len(self._load.replies), perf_counter_ns()
        passed, self._looked_ns = min(now - self._looked_ns, _LONGEST_LOOK_NS), now
        if answers != self._answers or not self._load.outstanding:
            self._answers, self._silent_ns = answers, 0
            return
        self._silent_ns += passed
        silent = self._silent_ns / 1e9
        if silent > self._short_seconds and silent > self.limit:
            raise StuckError(
                f"it hangs: no answer for {silent:.3g} s, {self._load.outstanding} of the requests waiting, after {answers:,} answers"
            )

    @property
    def limit(self) -> float:
        """Seconds without an answer that are too many."""
        if not self._load.replies:
            return self._seconds
        slowest = max(reply.service_ns for reply in self._load.replies) / 1e9
        return min(self._seconds, max(self._short_seconds, _TIMES * slowest))

    def check_end(self) -> None:
        """Look once more, after the load has ended and its last answers were waited for.

        Raises:
            StuckError: some did not come, and nothing else came meanwhile.
        """
        replies, left = self._load.replies, self._load.outstanding
        if left and replies and (perf_counter_ns() - replies[-1].at_ns) / 1e9 > self.limit:
            raise StuckError(f"it hangs: {left} of the requests have no answer {self.limit:.3g} s after the load ended")
