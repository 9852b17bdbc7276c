"""What is read besides the replies, at the ends of windows."""

import threading
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from time import perf_counter_ns

import numpy as np

from tcli_analyzer.evidence.disturbance import ProcessorMeter
from tcli_analyzer.load import Reply
from tcli_analyzer.measuring.window import Window
from tcli_analyzer.perf.measured import PerfWindow
from tcli_analyzer.target import Counters, Target

_SAMPLE_SECONDS = 0.2
_LOOK_SECONDS = 0.05
_PARTING_SECONDS = 1.0
"""For which statistics are waited for that only complete what the user has stopped."""


class Metering:
    """What is read at the ends of windows.

    Args:
        pids: processes whose processor time is watched; none where nothing can be told.
        items: inferences in a request.
        decoupled: responses are counted.
        stop: set it to wait no longer for the server.

    Attributes:
        samples: to be called some times a second.
    """

    def __init__(self, target: Target, pids: Iterable[int], items: int, decoupled: bool, stop: threading.Event) -> None:
        self._stop = stop
        self._counters = Counters()
        self._target = target
        self._items = items
        self._decoupled = decoupled
        self._processor = ProcessorMeter(pids) if pids and ProcessorMeter.is_possible() else None
        self.samples = [self._sample] if self._processor is not None else []
        self._next_sample = 0.0
        self._to_epoch_ns = time.time_ns() - perf_counter_ns()

    @property
    def counted(self) -> bool:
        """Whether the server has statistics."""
        return bool(getattr(self._target, "has_statistics", True))

    def _sample(self) -> None:
        """Not each time that it is asked to: a server may have many threads, and reading them all costs a millisecond."""
        if self._processor is not None and time.perf_counter() >= self._next_sample:
            self._next_sample = time.perf_counter() + _SAMPLE_SECONDS
            self._processor.sample()

    @property
    def _responses(self) -> int:
        return int(getattr(self._target, "responses", 0)) if self._decoupled else 0

    def _counted(self) -> Counters:
        """The server's; those of before where the user wants the end and it does not answer: it may be stuck, or gone."""
        asked: Future[Counters] = Future()

        def ask() -> None:
            try:
                asked.set_result(self._target.counters())
            except Exception as problem:
                asked.set_exception(problem)

        asking = threading.Thread(target=ask, daemon=True)
        asking.start()
        while asking.is_alive() and not self._stop.is_set():
            asking.join(_LOOK_SECONDS)
        asking.join(_PARTING_SECONDS)
        if not self._stop.is_set() or (asked.done() and asked.exception() is None):
            return asked.result()
        return self._counters

    def begin(self) -> None:
        self._answered = self._responses
        self._counters = self._counted()
        self._cpu_seconds, self._at = time.process_time(), time.perf_counter()
        if self._processor is not None:
            self._processor.take()

    def window(self, replies: Sequence[Reply], seconds: float, overloaded: bool) -> PerfWindow:
        """What happened since the last one."""
        processor = self._processor.take() if self._processor is not None else None
        before, self._counters = self._counters, self._counted()
        answered, self._answered = self._answered, self._responses
        cpu_seconds, at = self._cpu_seconds, self._at
        self._cpu_seconds, self._at = time.process_time(), time.perf_counter()
        times = np.array(replies, np.int64)
        service_ms = times[:, 2] / 1e6
        latencies_ms = times[:, 1] / 1e6
        ended = times[:, 0] + self._to_epoch_ns
        return PerfWindow(
            Window(
                began=float(ended[0]) / 1e9,
                seconds=max(seconds, 1e-9),
                latencies_ms=latencies_ms,
                counters=self._counters - before if self.counted else Counters(),
                processor=processor,
                items=self._items,
                late_ms=float(np.percentile(latencies_ms - service_ms, 99)),
                overloaded=overloaded,
            ),
            np.column_stack([ended - times[:, 2], ended]),
            service_ms,
            (self._cpu_seconds - cpu_seconds) / (self._at - at),
            self._answered - answered,
        )
