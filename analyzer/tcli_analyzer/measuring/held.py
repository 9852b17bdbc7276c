"""A load that goes on until it is ended, cut into windows at moments that somebody else names.

Several targets that are to be measured at the same time each have one: none of them may end before the others' windows do.
"""

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from time import perf_counter_ns
from types import TracebackType
from typing import Self

from tcli_analyzer.inputs import Inputs
from tcli_analyzer.load import Load
from tcli_analyzer.load.failing import LoadFailedError
from tcli_analyzer.measuring.replies import cpu_ns_of, late_ms_of, latencies_of, most_cores, requests_sent, sent_share
from tcli_analyzer.measuring.silence import SILENCE_SECONDS, Silence
from tcli_analyzer.measuring.visit import running_load
from tcli_analyzer.measuring.window import Window
from tcli_analyzer.resources import ResourceMeter
from tcli_analyzer.target import Target


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a window is.

    Attributes:
        answers: since the last cut.
        is_over: no more come: the load was too much, or recorded arrivals are over.
    """

    answers: int
    is_over: bool


class HeldLoad:
    """From `__enter__` until `__exit__`.

    Args:
        requests: sent in turn, each of `items` inferences.
    """

    def __init__(self, target: Target, requests: Sequence[Inputs], load: Load, items: int) -> None:
        self._target = target
        self._load = load
        self._requests = requests
        self._items = items
        self._first = 0

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._running = stack.enter_context(running_load(self._target, self._requests, self._load))
            self._silence = Silence(self._running, SILENCE_SECONDS)
            self._meter = stack.enter_context(ResourceMeter())
            self._counters = self._target.counters()
            self._start_ns, self._began = perf_counter_ns(), time.time()
            self._cpu_ns, self._sent = cpu_ns_of(self._running, self._target), requests_sent(self._running)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def progress(self) -> Progress:
        """How far the window is.

        Raises:
            LoadFailedError: a request failed.
            StuckError: no answer comes any more.
        """
        running = self._running
        if running.error is not None:
            raise LoadFailedError(str(running.error))
        self._silence.check()
        is_over = (
            running.overloaded or running.is_finished
        )  # asked before the answers are counted: no more come after it
        return Progress(len(running.replies) - self._first, is_over)

    def cut(self, at_ns: int) -> Window:
        """The window from the last answer before the last cut to the last answer up to `at_ns`, of `perf_counter_ns`.

        Raises:
            LoadFailedError: a request failed.
        """
        self.progress()
        replies, first = self._running.replies, self._first
        last = first
        while last < len(replies) and replies[last].at_ns <= at_ns:
            last += 1
        end_ns = replies[last - 1].at_ns if last > first else at_ns
        before, self._counters = self._counters, self._target.counters()
        usage = self._meter.take()
        span_ns = max(1, end_ns - self._start_ns)
        cpu_ns, sent = cpu_ns_of(self._running, self._target), requests_sent(self._running)
        window = Window(
            began=self._began,
            seconds=span_ns / 1e9,
            latencies_ms=latencies_of(replies[first:last]),
            counters=self._counters - before,
            memory_mib=usage.memory_mib,
            gpu=usage.gpu,
            items=self._items,
            late_ms=late_ms_of(replies[first:last]),
            overloaded=self._running.overloaded,
            sender_cores=most_cores(self._cpu_ns, cpu_ns, span_ns),
            sent_share=sent_share(self._running, self._load, sent - self._sent),
        )
        self._cpu_ns, self._sent = cpu_ns, sent
        since_end = (perf_counter_ns() - end_ns) / 1e9
        self._first, self._start_ns, self._began = last, end_ns, time.time() - since_end
        return window
