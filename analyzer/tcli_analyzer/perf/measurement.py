"""Measures one load: windows until three in a row agree, or an exact number of requests."""

import gc
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from time import perf_counter_ns
from types import TracebackType
from typing import Protocol, Self

import numpy as np

from tcli_analyzer.arrivals import endless, replayed
from tcli_analyzer.inputs import Inputs
from tcli_analyzer.load import ClosedLoad, Load, RunningLoad
from tcli_analyzer.load.closed import ClosedLoop
from tcli_analyzer.load.failing import LoadFailedError
from tcli_analyzer.load.open import OpenLoop
from tcli_analyzer.measuring.watch import Stopped, Watch
from tcli_analyzer.perf.measured import Measured, PerfWindow
from tcli_analyzer.perf.metering import Metering
from tcli_analyzer.target import Target
from tcli_server.errors import ServerError

RECENT = 3
"""So many windows in a row have to agree."""

_COUNT_SECONDS = 1.0
"""The least length of a window that counts requests, as in perf_analyzer."""

_PARTING_SECONDS = 2.0
"""For which a load that was stopped waits for answers that nobody wants any more: the server may be stuck."""

_POLL_SECONDS = 0.02
_SWITCH_SECONDS = 0.0005
_EVER_NS = 1 << 62


class NothingAnsweredError(Exception):
    """The measurement was stopped before anything was answered."""


@dataclass(frozen=True, slots=True)
class PerfOptions:
    """By which rules a load is measured; perf_analyzer's names and defaults.

    Attributes:
        interval_seconds: length of a window; of windows by time.
        window_requests: a window ends after so many answers, and a second at least; 0 for windows by time.
        stability: windows agree if the largest is at most 1 + this times the smallest.
        max_trials: windows at most.
        percentile: judge latency by this one, 1 to 99; None for the average.
        latency_limit_ms: 0 for none.
        warm_up_requests: sent and answered before the measurement.
        requests: send exactly so many, and measure them all in one window; 0 for windows until they agree.
        items: inferences in a request.
        decoupled: a request may have any number of responses, which are counted.
    """

    interval_seconds: float = 5.0
    window_requests: int = 0
    stability: float = 0.1
    max_trials: int = 10
    percentile: int | None = None
    latency_limit_ms: float = 0.0
    warm_up_requests: int = 0
    requests: int = 0
    items: int = 1
    decoupled: bool = False

    def judged_ms(self, latencies_ms: np.ndarray) -> float:
        """The latency that stability and the limit look at."""
        if self.percentile is None:
            return float(latencies_ms.mean())
        return float(np.percentile(latencies_ms, self.percentile))

    def agree(self, windows: Sequence[PerfWindow]) -> bool:
        """Whether the last three are equal enough, in throughput and in latency."""
        recent = [each.window for each in windows[-RECENT:]]
        if len(recent) < RECENT:
            return False
        rates = [window.throughput for window in recent]
        latencies = [self.judged_ms(window.latencies_ms) for window in recent]
        return all(
            min(values) > 0 and max(values) <= (1 + self.stability) * min(values) for values in (rates, latencies)
        )

    def exceeds(self, latencies_ms: np.ndarray) -> bool:
        """Whether the latency limit is broken."""
        return bool(self.latency_limit_ms) and self.judged_ms(latencies_ms) > self.latency_limit_ms


class Observer(Protocol):
    """Is told how it goes."""

    def begins(self, load: Load) -> None:
        """This one is next."""

    def window(self, load: Load, number: int, window: PerfWindow) -> None:
        """One more window is done."""


def measure(
    target: Target,
    requests: Sequence[Inputs],
    load: Load,
    options: PerfOptions,
    stop: threading.Event,
    pids: Iterable[int] = (),
    observer: Observer | None = None,
) -> Measured:
    """Measure one load.

    Args:
        pids: processes whose processor time is watched, this one's among them; none where nothing can be told.
        stop: ends it with what was measured until then.

    Raises:
        LoadFailedError: a request failed before a window had ended; later, `Measured.failed` has it.
        NothingAnsweredError: `stop` was set before anything was answered.
        ServerError: the server's statistics cannot be read, likewise.
    """
    with _undisturbed():
        try:
            if options.warm_up_requests:
                with _running(target, requests, load, options.warm_up_requests) as warming:
                    try:
                        _wait_for_all(warming, options.warm_up_requests, stop, ())
                    except Stopped:
                        warming.drain_seconds = _PARTING_SECONDS
                        raise
            metering = Metering(target, pids, options.items, options.decoupled, stop)
            if options.requests:
                return _all_in_one(target, requests, load, options, stop, metering)
            return _until_stable(target, requests, load, options, stop, metering, observer)
        except Stopped:
            raise NothingAnsweredError from None


def _until_stable(
    target: Target,
    requests: Sequence[Inputs],
    load: Load,
    options: PerfOptions,
    stop: threading.Event,
    metering: Metering,
    observer: Observer | None,
) -> Measured:
    found: list[PerfWindow] = []
    interrupted = False
    with _Failure(found) as failure, _running(target, requests, load) as running:
        watch = Watch(running, stop, metering.samples)
        outstanding = load.concurrency if isinstance(load, ClosedLoad) else 1
        warm = False
        metering.begin()
        while len(found) < options.max_trials and not interrupted:
            first, start_ns = watch.position, watch.start_ns
            try:
                if not warm:  # connections are made, and what is made once is made
                    watch.next_end(0, outstanding, _EVER_NS)
                    metering.begin()
                    warm = True
                    continue
                last = _next_end(watch, options)
            except Stopped:
                interrupted = True
                running.drain_seconds = _PARTING_SECONDS
                last = len(running.replies)
            if last > first:
                end_ns = running.replies[last - 1].at_ns
                found.append(
                    metering.window(running.replies[first:last], (end_ns - start_ns) / 1e9, running.overloaded)
                )
                if observer is not None and not interrupted:
                    observer.window(load, len(found), found[-1])
            if running.overloaded or (found and (options.agree(found) or _all_exceed(found, options))):
                break
    if not found and not interrupted:  # too many requests at once, before the first answer
        found.append(_of_all(running, watch.start_ns, metering))
    if not found:
        raise Stopped
    recent = tuple(found[-RECENT:])
    latencies = np.concatenate([each.window.latencies_ms for each in recent])
    return Measured(
        load,
        recent,
        len(found),
        options.agree(found) and not recent[-1].window.overloaded,
        options.exceeds(latencies),
        interrupted,
        metering.counted,
        failure.error,
    )


class _Failure:
    """What ends a load that has windows already: these are worth something. Without one it is raised.

    Attributes:
        error: None while all is well.
    """

    def __init__(self, found: Sequence[PerfWindow]) -> None:
        self.error: LoadFailedError | ServerError | None = None
        self._found = found

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if not self._found or not isinstance(error, LoadFailedError | ServerError):
            return False
        self.error = error
        return True


def _next_end(watch: Watch, options: PerfOptions) -> int:
    if options.window_requests:
        return watch.next_end(int(_COUNT_SECONDS * 1e9), options.window_requests, _EVER_NS)
    least = int(options.interval_seconds * 1e9)
    return watch.next_end(least, 1, least)


def _all_exceed(found: Sequence[PerfWindow], options: PerfOptions) -> bool:
    recent = found[-RECENT:]
    return len(recent) == RECENT and all(options.exceeds(each.window.latencies_ms) for each in recent)


def _all_in_one(
    target: Target,
    requests: Sequence[Inputs],
    load: Load,
    options: PerfOptions,
    stop: threading.Event,
    metering: Metering,
) -> Measured:
    metering.begin()
    start_ns = perf_counter_ns()
    interrupted = False
    with _running(target, requests, load, options.requests) as running:
        try:
            _wait_for_all(running, options.requests, stop, metering.samples)
        except Stopped:
            interrupted = True
            running.drain_seconds = _PARTING_SECONDS
    if interrupted and not running.replies:
        raise Stopped
    window = _of_all(running, start_ns, metering)
    return Measured(
        load, (window,), 1, None, options.exceeds(window.window.latencies_ms), interrupted, metering.counted
    )


def _of_all(running: RunningLoad, start_ns: int, metering: Metering) -> PerfWindow:
    """Everything that a load that has ended had answered."""
    replies = list(running.replies)
    if not replies:
        raise LoadFailedError(str(running.error or "none was answered in time"))
    return metering.window(replies, (replies[-1].at_ns - start_ns) / 1e9, running.overloaded)


def _wait_for_all(running: RunningLoad, count: int, stop: threading.Event, samples: Iterable[object]) -> None:
    while len(running.replies) < count:
        if running.error is not None:
            raise LoadFailedError(str(running.error))
        if running.overloaded:
            return
        if stop.wait(_POLL_SECONDS):
            raise Stopped
        for sample in samples:
            sample()  # type: ignore[operator]


@contextmanager
def _running(target: Target, requests: Sequence[Inputs], load: Load, most: int = 0) -> Iterator[RunningLoad]:
    if isinstance(load, ClosedLoad):
        with ClosedLoop(target, requests, load.concurrency, load.sequences, most) as running:
            yield running
    else:
        moments = replayed(load.gaps_seconds) if load.gaps_seconds else endless(load.rate, load.distribution, load.seed)
        due = islice(moments, most) if most else moments
        # perf_analyzer's search for a rate goes on until a window shows the overload.
        with OpenLoop(target, requests, due, load.sequences, gives_up=False) as sending:
            yield sending


@contextmanager
def _undisturbed() -> Iterator[None]:
    """What this process does besides must not be seen in latencies.

    Hundreds of thousands of replies make the collector's pauses long; and the thread of the connections is not to wait the
    usual 5 ms for the interpreter.
    """
    enabled, switch_seconds = gc.isenabled(), sys.getswitchinterval()
    gc.collect()
    gc.disable()
    sys.setswitchinterval(min(_SWITCH_SECONDS, switch_seconds))
    try:
        yield
    finally:
        sys.setswitchinterval(switch_seconds)
        if enabled:
            gc.enable()
