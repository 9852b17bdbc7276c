"""Runs the dynamic batcher's rules on imagined requests: seconds of load in a few milliseconds.

The rules are those of `tcli_server.scheduling`; how long executions take comes from `ServiceTimes`. Instances that run side by side
slow each other down as they share the machine: each has an amount of work left, which shrinks slower the more run.
"""

import heapq
import math
import random
from collections import deque
from dataclasses import dataclass, field

import numpy as np

from tcli_analyzer.prediction.service import ServiceTimes
from tcli_server.scheduling.batching import BatchRules

WARM_UP_SHARE = 0.1
_MOST_WAITING = 20_000
"""Requests in the queue at which a rate is given up as too high."""
_INSTANT = 1e-12
"""Seconds: less is the rounding of additions."""

_ARRIVAL, _REPLY, _FREE, _TIMER = range(4)


@dataclass(frozen=True, slots=True)
class Setup:
    """What of a configuration decides how requests wait.

    Attributes:
        instances: at least 1.
        rules: of the batcher.
        shares: free instances divide what is queued, as they do on a CPU.
    """

    instances: int
    rules: BatchRules = field(default_factory=BatchRules)
    shares: bool = True


@dataclass(frozen=True, slots=True)
class ClosedLoad:
    """So many requests are always outstanding."""

    concurrency: int


@dataclass(frozen=True, slots=True)
class OpenLoad:
    """Requests come at these moments, in seconds, whatever was answered; float64 [n]."""

    moments: np.ndarray


@dataclass(frozen=True, slots=True)
class Simulated:
    """What came out, without the warm-up.

    Attributes:
        throughput: inferences per second.
        latencies_ms: float64 [n], in the order of the replies.
        batch_avg: average size of an executed batch.
        utilisation: share of the time in which an instance runs, averaged over the instances.
        overloaded: requests came faster than they were answered, so that latencies have no end.
    """

    throughput: float
    latencies_ms: np.ndarray
    batch_avg: float
    utilisation: float
    overloaded: bool

    def latency_ms(self, percentile: float) -> float:
        return float(np.percentile(self.latencies_ms, percentile)) if self.latencies_ms.size else math.nan


def simulate(
    setup: Setup, service: ServiceTimes, load: ClosedLoad | OpenLoad, requests: int, seed: int = 0
) -> Simulated:
    """Run so many requests of one item each, or as many as the load has.

    Raises:
        ValueError: the table lacks a batch size that comes up.
    """
    return _Run(setup, service, load, requests, seed).result()


@dataclass(slots=True)
class _Execution:
    work: float  # seconds that it would take alone
    arrivals: list[float]


class _Run:
    def __init__(
        self, setup: Setup, service: ServiceTimes, load: ClosedLoad | OpenLoad, requests: int, seed: int
    ) -> None:
        self._setup = setup
        self._service = service
        self._random = random.Random(seed)
        self._closed = isinstance(load, ClosedLoad)
        self._wanted = requests if isinstance(load, ClosedLoad) else min(requests, len(load.moments))
        self._now = 0.0
        self._order = 0
        self._events: list[tuple[float, int, int, float]] = []
        self._queue: deque[float] = deque()
        self._running: list[_Execution] = []
        self._idle = setup.instances
        self._ends: list[tuple[float, float]] = []  # of each request: its end, its latency
        self._batches: list[tuple[float, int]] = []  # of each execution: its start, its size
        self._busy_seconds = 0.0
        self._timer = math.inf
        if isinstance(load, ClosedLoad):
            for _ in range(load.concurrency):
                self._push(0.0, _ARRIVAL)
        else:
            for moment in load.moments[: self._wanted].tolist():
                self._push(moment, _ARRIVAL)

    def result(self) -> Simulated:
        overloaded = False
        while len(self._ends) < self._wanted:
            self._step()
            if not self._closed and len(self._queue) > _MOST_WAITING:
                overloaded = True
                break
        return self._summary(overloaded)

    def _push(self, moment: float, kind: int, arrival: float = 0.0) -> None:
        self._order += 1
        heapq.heappush(self._events, (moment, self._order, kind, arrival))

    def _step(self) -> None:
        """Go on to what happens next."""
        factor = self._service.factor(len(self._running)) if self._running else 1.0
        first = min(self._running, key=lambda one: one.work, default=None)
        ends = self._now + first.work * factor if first is not None else math.inf
        event = self._events[0][0] if self._events else math.inf
        moment = min(ends, event)
        passed = moment - self._now
        for one in self._running:
            one.work -= passed / factor
        self._busy_seconds += passed * len(self._running)
        self._now = moment
        if first is not None and ends <= event:
            self._finish(first)
        else:
            self._happen()
        self._start()

    def _finish(self, execution: _Execution) -> None:
        self._running.remove(execution)
        moment = self._now
        for arrival in execution.arrivals:
            moment += self._service.reply_seconds
            self._push(moment, _REPLY, arrival)
        self._push(moment, _FREE)

    def _happen(self) -> None:
        moment, _, kind, arrival = heapq.heappop(self._events)
        if kind == _ARRIVAL:
            self._queue.append(moment)
        elif kind == _REPLY:
            self._ends.append((moment, moment - arrival))
            if self._closed:
                self._queue.append(moment)
        elif kind == _FREE:
            self._idle += 1
        else:
            self._timer = math.inf

    def _start(self) -> None:
        """Give idle instances what may run now."""
        while self._queue and self._idle:
            count = self._plan()
            if not count:
                return
            arrivals = [self._queue.popleft() for _ in range(count)]
            residuals = self._service.residuals(count)
            work = self._service.seconds(count) * self._random.choice(residuals)
            self._running.append(_Execution(work, arrivals))
            self._batches.append((self._now, count))
            self._idle -= 1

    def _plan(self) -> int:
        """How many requests start now; 0 to wait for more."""
        rules, queued = self._setup.rules, len(self._queue)
        limit = rules.limit
        free = self._setup.instances - len(self._running)
        if self._setup.shares and free > 1 and not rules.max_delay_ns:
            limit = min(limit, -(-queued // free))
        # After hours of simulated time the rounding of a sum is more than a moment: what is due now must not be due for ever.
        count, left = plan(rules, limit, queued, self._now - self._queue[0] + 4 * math.ulp(self._now))
        due = self._now + left
        if not count and due < self._timer:
            self._timer = due
            self._push(due, _TIMER)
        return count

    def _summary(self, overloaded: bool) -> Simulated:
        skipped = int(len(self._ends) * WARM_UP_SHARE)
        counted = self._ends[skipped:]
        if len(counted) < 2:
            return Simulated(0.0, np.empty(0), 0.0, 0.0, overloaded)
        begin, end = (self._ends[skipped - 1][0] if skipped else 0.0), counted[-1][0]
        latencies = np.array([latency for _, latency in counted]) * 1e3
        sizes = [size for start, size in self._batches if start >= begin] or [0]
        return Simulated(
            throughput=len(counted) / (end - begin),
            latencies_ms=latencies,
            batch_avg=sum(sizes) / len(sizes),
            utilisation=self._busy_seconds / (self._now * self._setup.instances),
            overloaded=overloaded or (not self._closed and _grows(latencies)),
        )


def plan(rules: BatchRules, limit: int, queued: int, waited: float) -> tuple[int, float]:
    """As `tcli_server.scheduling.batching.plan_batch`, where all requests are of one item and one shape.

    Args:
        limit: as there.
        queued: requests, at least one.
        waited: seconds for which the oldest has been queued.

    Returns:
        How many to run now, or 0 and the seconds that may still be waited.
    """
    most = min(queued, limit)
    left = rules.max_delay_ns / 1e9 - waited
    if left <= _INSTANT:
        return most, 0.0
    best = max((size for size in rules.preferred if size <= most), default=0)
    if best:
        return best, 0.0
    if most >= min(limit, rules.largest_preferred):
        return most, 0.0
    return 0, left


def _grows(latencies: np.ndarray) -> bool:
    """Whether the later half of them waited far longer than the earlier."""
    half = len(latencies) // 2
    return half >= 100 and latencies[half:].mean() > 1.5 * latencies[:half].mean()
