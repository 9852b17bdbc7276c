"""Finds where windows of a running load end."""

import threading
from bisect import bisect_left
from collections.abc import Callable, Sequence
from time import perf_counter_ns

from tcli_analyzer.load import RunningLoad

_POLL_SECONDS = 0.02


class Stopped(Exception):  # noqa: N818 - not an error: the user asked to stop
    """The measurement was given up because the user asked to stop."""


class LoadFailedError(Exception):
    """A request of the load failed; the message is the server's."""


class Watch:
    """Finds where windows end in the growing list of replies.

    A window ends with a reply, not at a moment: with few, slow requests a fixed moment would cut whole batches off.

    Args:
        samples: called some 50 times a second.

    Attributes:
        position: index of the first reply of the window that runs.
        start_ns: when that window began, in `perf_counter_ns`.
    """

    def __init__(self, load: RunningLoad, stop: threading.Event, samples: Sequence[Callable[[], None]]) -> None:
        self._load = load
        self._stop = stop
        self._samples = samples
        self.start_ns = perf_counter_ns()
        self.position = 0

    def next_end(self, least_ns: int, enough: int, longest_ns: int, at_least: int = 1) -> int:
        """Wait for the end of the window: `least_ns` and `enough` replies, or `longest_ns` and `at_least` replies.

        Returns:
            The end's index into the replies, the first that does not belong to the window; also left in `position`.

        Raises:
            LoadFailedError: a request failed.
            Stopped: the user asked to stop.
        """
        replies = self._load.replies
        while True:
            if self._load.error is not None:
                raise LoadFailedError(str(self._load.error))
            if self._load.overloaded:
                return self._end_at(len(replies) - 1)
            by_time = bisect_left(replies, (self.start_ns + least_ns,), lo=self.position)
            late = bisect_left(replies, (self.start_ns + longest_ns,), lo=self.position)
            wanted = min(max(by_time, self.position + enough - 1), max(late, self.position + at_least - 1))
            if wanted < len(replies):
                return self._end_at(wanted)
            if self._stop.wait(_POLL_SECONDS):
                raise Stopped
            for sample in self._samples:
                sample()

    def _end_at(self, last: int) -> int:
        self.position = last + 1
        self.start_ns = self._load.replies[last].at_ns if last >= 0 else perf_counter_ns()
        return self.position
