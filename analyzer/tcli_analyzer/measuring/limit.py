"""How many requests the load generator itself can send and take back, and whether it, not the model, made a figure."""

import queue
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from time import perf_counter_ns
from types import TracebackType
from typing import Self

import numpy as np

from tcli_analyzer.inputs import Inputs
from tcli_analyzer.load import ClosedLoad, Load
from tcli_analyzer.load.closed import ClosedLoop
from tcli_analyzer.load.open import OpenLoop
from tcli_analyzer.measuring.window import Window
from tcli_analyzer.target import Counters, OnReply, SequenceMark, Target

RATE_SHARE = 0.5
"""Of what the generator can do at most: up to here it is not what limits."""
MOST_CORES = 0.8
LATE_MS, LATE_SHARE = 1.0, 0.05
LEAST_SENT = 0.99
_LEAST_FOR_LATE = 100
"""Requests: of fewer, 1 % is a single one that the system kept waiting for once."""

_CALLERS = 8
_AT_ONCE = 500
_ROUNDS = 3


@dataclass(frozen=True, slots=True)
class GeneratorLimit:
    """What the generator can do on this machine, with requests of this size, against a target that does nothing.

    Attributes:
        closed: requests per second in a closed loop.
        open: requests per second by a schedule.
        floor_ms: the latency that it measures where there is none.
    """

    closed: float
    open: float
    floor_ms: float

    def rate(self, load: Load) -> float:
        """Requests per second, under this kind of load."""
        return self.closed if isinstance(load, ClosedLoad) else self.open


class NullTarget:
    """Answers every request at once, from a thread of its own as an engine does; from `__enter__` until `__exit__`."""

    def __init__(self) -> None:
        self._asked: queue.SimpleQueue[OnReply | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._answer, name="null target", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._asked.put(None)
        self._thread.join()

    def submit(
        self,
        inputs: Mapping[str, np.ndarray],  # noqa: ARG002 - as of `Target`
        reply: OnReply,
        sequence: SequenceMark | None = None,  # noqa: ARG002
    ) -> None:
        self._asked.put(reply)

    def counters(self) -> Counters:
        return Counters()

    def _answer(self) -> None:
        while (reply := self._asked.get()) is not None:
            reply(None)


def measure_limit(requests: Sequence[Inputs], target: Target | None = None, seconds: float = 0.3) -> GeneratorLimit:
    """Measure it, once in an analysis: for about four times `seconds`.

    Args:
        requests: as they are sent to the model.
        target: that does as good as nothing over the same way, such as a server's smallest model; None for the engine in this
            process, which is called without any way.
        seconds: of load, of each kind.
    """
    if target is None:
        with NullTarget() as null:
            return measure_limit(requests, null, seconds)
    closed, latencies = _closed(target, requests, seconds)
    return GeneratorLimit(closed, median(_open(target, requests) for _ in range(_ROUNDS)), latencies)


def _closed(target: Target, requests: Sequence[Inputs], seconds: float) -> tuple[float, float]:
    rates = {}
    for callers in (1, _CALLERS):
        stop = threading.Event()
        with ClosedLoop(target, requests, callers) as load:
            start, before = perf_counter_ns(), len(load.replies)
            stop.wait(seconds)
            count, taken = len(load.replies) - before, perf_counter_ns() - start
        rates[callers] = count / taken * 1e9
        if callers == 1:
            floor_ms = median(reply.latency_ns for reply in load.replies) / 1e6
    return max(rates.values()), floor_ms


def _open(target: Target, requests: Sequence[Inputs]) -> float:
    """All are due at once: how fast can they be sent, and be taken back?"""
    start = perf_counter_ns()
    with OpenLoop(target, requests, [0.0] * _AT_ONCE, gives_up=False) as load:
        while not load.is_finished and load.error is None:
            threading.Event().wait(0.001)
    last = load.replies[-1].at_ns if load.replies else perf_counter_ns()
    return len(load.replies) / (last - start) * 1e9


def limited_by_generator(
    window: Window, load: Load, limit: GeneratorLimit | None = None, lateness: bool = True
) -> str | None:
    """Why this window shows the generator rather than the model; None if it does not. Such a window must not be ranked.

    Args:
        limit: as `measure_limit` found it; None where it is not known.
        lateness: whether requests that were sent late are a reason.
    """
    reasons = [_behind(window)]
    if window.latencies_ms.size:
        reasons += [
            _late(window) if lateness else "",
            _busy(window),
            _fast(window, load, limit) if limit is not None else "",
        ]
    reason = next(filter(None, reasons), None)
    return f"limited by the load generator: {reason}" if reason is not None else None


def _behind(window: Window) -> str:
    if window.sent_share >= LEAST_SENT:
        return ""
    return f"only {100 * window.sent_share:.1f} % of the requests that were due had been sent"


def _late(window: Window) -> str:
    allowed = max(LATE_MS, LATE_SHARE * float(np.median(window.latencies_ms)))
    if window.late_ms <= allowed or window.latencies_ms.size < _LEAST_FOR_LATE:
        return ""
    return f"1 % of the requests were sent {window.late_ms:.3g} ms late or later, with {allowed:.3g} ms allowed"


def _busy(window: Window) -> str:
    if window.sender_cores <= MOST_CORES:
        return ""
    return f"its thread that sends used {window.sender_cores:.2f} of a core"


def _fast(window: Window, load: Load, limit: GeneratorLimit) -> str:
    rate, most = len(window.latencies_ms) / window.seconds, limit.rate(load)
    if rate <= RATE_SHARE * most:
        return ""
    return f"{rate:,.0f} requests/s are more than half of the {most:,.0f} that it can send to a model that does nothing"
