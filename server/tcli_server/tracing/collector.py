"""Takes finished traces to where they are written, in a thread of its own, so that nobody else waits for a disk or a network."""

import math
import threading
import time
from collections import deque
from typing import Protocol

from tcli_server.observability.log import LOG
from tcli_server.tracing.trace import Trace

_LAST_SECS = 5.0
"""For what waits at the end."""

_FAREWELL_SECS = 1.0
"""For counting what could not be written."""

_CALM_SECS = 10.0
"""How long none must be lost before that is told, or told anew: a disk that is nearly full takes one trace, and not the next."""


class LostError(Exception):
    """So many traces could not be written; says why."""

    def __init__(self, reason: str, count: int) -> None:
        super().__init__(reason)
        self.count = count


class Exporter(Protocol):
    """Writes traces, in the collector's thread.

    Attributes:
        pause_secs: how long others may come to be written with a trace, which costs less.
        enough: weight with which it begins without a pause, and the most that it is given at once, unless one trace has more.
        most: weight that may wait or be about to be written, unless one trace has more; more is lost.
    """

    pause_secs: float
    enough: int
    most: int

    def weight(self, trace: Trace) -> int:
        """How much it counts of `enough` and `most`."""

    def export(self, traces: list[Trace]) -> None:
        """Write them.

        Raises:
            LostError: some could not be written.
        """

    def hurry(self) -> None:
        """End what is being written, written or not, as the server ends; from another thread."""

    def close(self) -> None:
        """Nothing more comes."""


class Collector:
    """A queue of a limited length, and the thread that empties it.

    Attributes:
        lost: traces that were not written.
    """

    def __init__(self, exporter: Exporter) -> None:
        self._exporter = exporter
        # With its weight as it came: the end of a response that was cut off may be noted yet.
        self._waiting: deque[tuple[Trace, int]] = deque()
        self._weight = 0
        self._change = threading.Condition()
        self._closed = False
        self._failing = False
        self._failed = self._full = -math.inf  # when, the last time
        self._thread: threading.Thread | None = None
        self.lost = 0

    def put(self, trace: Trace) -> None:
        """Have it written; from any thread."""
        exporter = self._exporter
        weight = exporter.weight(trace)
        with self._change:
            if self._closed:
                return
            if self._thread is None:  # most servers never trace anything
                self._thread = threading.Thread(target=self._run, name="traces", daemon=True)
                self._thread.start()
            if not self._weight or self._weight + weight <= exporter.most:
                before, self._weight = self._weight, self._weight + weight
                self._waiting.append((trace, weight))
                if not before or before < exporter.enough <= self._weight:
                    self._change.notify()
                return
            self.lost += 1
            now = time.monotonic()
            calm, self._full = now - self._full, now
        if calm >= _CALM_SECS:
            LOG.warning("traces are lost: too many wait to be written; use a higher trace_rate")

    def close(self, timeout: float = _LAST_SECS) -> None:
        """Write what waits, within so many seconds, and nothing more."""
        with self._change:
            if self._closed:
                return
            self._closed = True
            self._change.notify()
            thread = self._thread
        if thread is not None:
            thread.join(timeout)
            if thread.is_alive():
                LOG.warning("the last traces could not be written within %g seconds", timeout)
                self._exporter.hurry()
                thread.join(_FAREWELL_SECS)
        if self.lost:
            LOG.warning("%d traces were lost", self.lost)

    def _run(self) -> None:
        while True:
            traces, weight = self._take()
            if not traces:
                break
            self._export(traces)
            with self._change:
                self._weight -= weight
        self._exporter.close()

    def _take(self) -> tuple[list[Trace], int]:
        """The next traces to be written, and what they weigh; none at the end."""
        exporter = self._exporter
        with self._change:
            self._change.wait_for(lambda: self._waiting or self._closed)
            self._change.wait_for(lambda: self._closed or self._weight >= exporter.enough, exporter.pause_secs)
            traces: list[Trace] = []
            weight = 0
            while self._waiting:
                trace, more = self._waiting[0]
                if traces and weight + more > exporter.enough:
                    break
                self._waiting.popleft()
                traces.append(trace)
                weight += more
            return traces, weight

    def _export(self, traces: list[Trace]) -> None:
        try:
            self._exporter.export(traces)
        except LostError as error:
            self._lose(error.count, str(error))
        except Exception as error:  # a defect must not end the thread
            LOG.exception("traces could not be written")
            self._lose(len(traces), f"{type(error).__name__}: {error}")
        else:
            if self._failing and time.monotonic() - self._failed >= _CALM_SECS:
                self._failing = False
                LOG.info("traces are written again; %d were lost until now", self.lost)

    def _lose(self, count: int, reason: str) -> None:
        with self._change:
            self.lost += count
        self._failed = time.monotonic()
        if not self._failing:
            self._failing = True
            LOG.error("traces are lost, requests are not concerned: %s", reason)
