"""Finds where windows of a running load end."""

import threading
from bisect import bisect_left
from collections.abc import Callable, Sequence
from time import perf_counter_ns

from tcli_analyzer.load import RunningLoad
from tcli_analyzer.load.failing import LoadFailedError
from tcli_analyzer.measuring.silence import SILENCE_SECONDS, Silence

_POLL_SECONDS = 0.02


class Stopped(Exception):  # noqa: N818 - not an error: the user asked to stop
    """The measurement was given up because the user asked to stop."""


class Watch:
    """Finds where windows end in the growing list of replies.

    A window ends with a reply, not at a moment: with few, slow requests a fixed moment would cut whole batches off.

    Args:
        samples: called some 50 times a second.
        silence: seconds without an answer after which it hangs, see `Silence`.

    Attributes:
        position: index of the first reply of the window that runs.
        start_ns: when that window began, in `perf_counter_ns`.
        is_over: the load ended by itself, and no more replies come.
    """

    def __init__(
        self,
        load: RunningLoad,
        stop: threading.Event,
        samples: Sequence[Callable[[], None]],
        silence: float = SILENCE_SECONDS,
    ) -> None:
        self._load = load
        self._stop = stop
        self._samples = samples
        self._silence = Silence(load, silence)
        self._began_ns = self.start_ns = perf_counter_ns()
        self.position = 0
        self.is_over = False

    def next_end(self, least_ns: int, enough: int, longest_ns: int, at_least: int = 0) -> int:
        """Wait for the end of the window: `least_ns` and `enough` replies, or `longest_ns`, a reply and `at_least` replies.

        Where the load has ended as it is too much, `at_least` replies are all that is waited for.

        Returns:
            The end's index into the replies, the first that does not belong to the window; also left in `position`.

        Raises:
            LoadFailedError: a request failed.
            StuckError: no answer comes any more.
            Stopped: the user asked to stop.
        """
        replies = self._load.replies
        while True:
            if self._load.error is not None:
                raise LoadFailedError(str(self._load.error))
            finished = self._load.is_finished  # asked before the answers are counted: no more come after it
            if self._load.overloaded and (finished or len(replies) >= self.position + at_least):
                return self._end_at(len(replies) - 1)
            by_time = bisect_left(replies, (self.start_ns + least_ns,), lo=self.position)
            late = bisect_left(replies, (self.start_ns + longest_ns,), lo=self.position)
            wanted = min(max(by_time, self.position + enough - 1), max(late, self.position + at_least - 1))
            if wanted < len(replies):
                return self._end_at(wanted)
            if finished:
                self.is_over = True
                return self._end_at(len(replies) - 1)
            self._silence.check()
            if self._stop.wait(_POLL_SECONDS):
                raise Stopped
            for sample in self._samples:
                sample()

    def begin_anew(self) -> None:
        """Let the window that runs have begun with the load."""
        self.position, self.start_ns = 0, self._began_ns

    def _end_at(self, last: int) -> int:
        self.position = last + 1
        self.start_ns = self._load.replies[last].at_ns if last >= 0 else perf_counter_ns()
        return self.position
