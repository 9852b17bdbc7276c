"""A bench on which no time passes: queues whose answers are known, behind the interface through which searches measure."""

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_analyzer.arrivals import endless, replayed
from tcli_analyzer.configuration import Configuration
from tcli_analyzer.evidence.disturbance import ProcessorTime
from tcli_analyzer.load import ClosedLoad, Load, OpenLoad, Reply
from tcli_analyzer.load.backlog import Backlog
from tcli_analyzer.measuring.visit import VisitOptions
from tcli_analyzer.measuring.window import Window
from tcli_analyzer.target import Counters

QUIET = ProcessorTime(own=1.0, wait=0.0, other=0.0, steal=0.0)
BUSY = ProcessorTime(own=1.0, wait=1.0, other=1.0, steal=0.0)


def configuration(instances: int = 1, max_batch_size: int = 0, config: ModelConfig | None = None) -> Configuration:
    return Configuration("queue", max_batch_size, instances, config or ModelConfig())


@dataclass
class VirtualBench:
    """First come, first served, by so many servers.

    Attributes:
        service: seconds that the n-th request of a visit takes at a server, at this rate.
        extra: seconds that its answer is late beside that, at this rate.
        disturbed: whether the visit of this number is, which makes all its services three times as long.
        loads: all that were visited.
    """

    service: Callable[[float, np.random.Generator], float]
    servers: int = 1
    extra: Callable[[float], float] = lambda _: 0.0
    disturbed: Callable[[int], bool] = lambda _: False
    loads: list[Load] = field(default_factory=list)
    seconds: float = 0.0
    """That the visits would have taken."""

    def hold(self, configurations: Sequence[Configuration]) -> None:
        pass

    def visit(self, configuration: Configuration, load: Load, options: VisitOptions) -> list[Window]:  # noqa: ARG002
        random = np.random.default_rng(len(self.loads) + 100)
        busy = self.disturbed(len(self.loads))
        factor = 3.0 if busy else 1.0
        self.loads.append(load)
        end = options.warm_up_seconds + options.seconds
        replies, overloaded = (
            self._closed(load, options, random, factor)
            if isinstance(load, ClosedLoad)
            else self._open(load, end, random, factor)
        )
        counted = [reply for reply in replies if options.warm_up_seconds * 1e9 <= reply.at_ns]
        latencies = np.array([reply.latency_ns for reply in counted]) / 1e6
        last = replies[-1].at_ns if replies else int(end * 1e9)
        self.seconds += last / 1e9
        counters = Counters(len(counted), len(counted), len(counted))
        before = [reply.at_ns for reply in replies if options.warm_up_seconds * 1e9 > reply.at_ns]
        seconds = max(1, last - (before[-1] if before else 0)) / 1e9
        return [Window(0.0, seconds, latencies, counters, BUSY if busy else QUIET, overloaded=overloaded)]

    def _closed(
        self, load: ClosedLoad, options: VisitOptions, random: np.random.Generator, factor: float
    ) -> tuple[list[Reply], bool]:
        free = [0.0] * self.servers
        due = [0.0] * load.concurrency
        replies: list[Reply] = []
        rate = float(load.concurrency)
        wanted = max(options.requests, 2 * load.concurrency)
        while len(replies) < wanted or replies[-1].at_ns / 1e9 < options.seconds:
            moment = heapq.heappop(due)
            begin = max(moment, heapq.heappop(free))
            done = begin + factor * self.service(rate, random)
            heapq.heappush(free, done)
            heapq.heappush(due, done)
            replies.append(Reply(int(done * 1e9), int((done - moment) * 1e9), 0))
        return replies, False

    def _open(self, load: OpenLoad, end: float, random: np.random.Generator, factor: float) -> tuple[list[Reply], bool]:
        moments = (
            replayed(load.gaps_seconds, load.rate * sum(load.gaps_seconds) / len(load.gaps_seconds))
            if load.gaps_seconds
            else endless(load.rate, load.distribution, load.seed)
        )
        free = [0.0] * self.servers
        waiting: list[tuple[float, float]] = []
        replies: list[Reply] = []
        backlog = Backlog()
        for moment in islice(moments, 1_000_000):
            while waiting and waiting[0][0] <= min(moment, end):
                done, came = heapq.heappop(waiting)
                replies.append(Reply(int(done * 1e9), int((done - came) * 1e9), 0))
            if moment > end:
                break
            begin = max(moment, heapq.heappop(free))
            done = begin + factor * self.service(load.rate, random)
            heapq.heappush(free, done)
            heapq.heappush(waiting, (done + self.extra(load.rate), moment))
            if backlog.grows(len(waiting), int(moment * 1e9), replies):
                return replies, True
        return replies, False


def fixed(seconds: float) -> Callable[[float, np.random.Generator], float]:
    return lambda _rate, _random: seconds


def exponential(seconds: float) -> Callable[[float, np.random.Generator], float]:
    return lambda _rate, random: random.exponential(seconds)
