"""What is known of one load after it was measured."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from tcli_analyzer.evidence.disturbance import Disturbance, ProcessorTime
from tcli_analyzer.evidence.percentiles import Percentile
from tcli_analyzer.load import ClosedLoad, Load
from tcli_analyzer.load.failing import LoadFailedError
from tcli_analyzer.measuring.balance import imbalance
from tcli_analyzer.measuring.window import Window, Windows
from tcli_analyzer.target import Counters
from tcli_server.errors import ServerError

BUSY_CORES = 0.8
"""A generator that keeps one core busier than this measures itself."""

_LATE_MS = 1.0
_LATE_SHARE = 0.05


@dataclass(frozen=True, slots=True)
class PerfWindow:
    """A window, and what only this command asks for.

    Attributes:
        replies_ns: of each request when it was sent and when it was answered, in ns since the epoch; int64 [n, 2].
        service_ms: of each request from sending to answer; float64 [n].
        generator_cores: how many cores this process kept busy.
        responses: of a decoupled model, how many came.
    """

    window: Window
    replies_ns: np.ndarray = field(repr=False)
    service_ms: np.ndarray = field(repr=False)
    generator_cores: float
    responses: int = 0


@dataclass(frozen=True)
class ServerTimes:
    """Of a successful request on average, in the server; all in microseconds."""

    total: float
    queue: float
    compute_input: float
    compute_infer: float
    compute_output: float
    cache_hit: float
    cache_miss: float

    @property
    def accounted(self) -> float:
        return (
            self.queue
            + self.compute_input
            + self.compute_infer
            + self.compute_output
            + self.cache_hit
            + self.cache_miss
        )

    @property
    def overhead(self) -> float:
        """What none of the parts accounts for."""
        return max(0.0, self.total - self.accounted)


@dataclass(frozen=True)
class Measured:
    """One load.

    Attributes:
        windows: those that are reported, merged: the last three, or the only one.
        trials: how many windows there were.
        stable: the reported windows agree; None where that was not asked for.
        over_limit: the latency limit was exceeded.
        interrupted: the user stopped it.
        counted: the server has statistics.
        failed: what ended it after these windows: a request that failed, or the server does not tell its statistics any more.
    """

    load: Load
    windows: tuple[PerfWindow, ...]
    trials: int
    stable: bool | None
    over_limit: bool = False
    interrupted: bool = False
    counted: bool = True
    failed: LoadFailedError | ServerError | None = None

    @property
    def merged(self) -> Windows:
        return Windows([each.window for each in self.windows])

    @property
    def requests(self) -> int:
        return self.merged.requests

    @property
    def throughput(self) -> float:
        """Inferences per second."""
        return self.merged.throughput

    @property
    def response_throughput(self) -> float:
        """Of a decoupled model, responses per second; 0 where a request has one answer."""
        return sum(each.responses for each in self.windows) / self.merged.seconds

    @property
    def counters(self) -> Counters:
        return self.merged.counters

    @property
    def latencies_ms(self) -> np.ndarray:
        """Since requests were due."""
        return np.concatenate([each.window.latencies_ms for each in self.windows])

    @property
    def service_us(self) -> float:
        """From sending to answer on average, in microseconds."""
        return 1e3 * float(np.concatenate([each.service_ms for each in self.windows]).mean())

    @property
    def average_us(self) -> float:
        """Since requests were due, in microseconds."""
        return 1e3 * float(self.latencies_ms.mean())

    @property
    def deviation_us(self) -> float:
        """Standard deviation of latencies, in microseconds."""
        return 1e3 * float(self.latencies_ms.std())

    @property
    def delay_us(self) -> float:
        """How long after they were due requests were sent, on average, in microseconds."""
        return max(0.0, self.average_us - self.service_us)

    @property
    def late_ms(self) -> float:
        """How long after they were due requests were sent: the 99th percentile of the worst window."""
        return max(each.window.late_ms for each in self.windows)

    @property
    def overloaded(self) -> bool:
        return any(each.window.overloaded for each in self.windows)

    @property
    def server(self) -> ServerTimes | None:
        """None where the server tells nothing, or answered nothing."""
        counted = self.counters
        if not self.counted or not counted.requests:
            return None
        count = 1e3 * counted.requests
        return ServerTimes(
            counted.success_ns / count,
            counted.queue_ns / count,
            counted.compute_input_ns / count,
            counted.compute_infer_ns / count,
            counted.compute_output_ns / count,
            counted.cache_hit_ns / count,
            counted.cache_miss_ns / count,
        )

    @property
    def network_us(self) -> float:
        """What the client waited for beyond the server's parts, in microseconds; never below 0."""
        server = self.server
        return max(0.0, self.service_us - (server.accounted if server is not None else 0.0))

    def percentile(self, share: float) -> Percentile:
        """With its interval."""
        return self.merged.percentile(share)

    @property
    def generator_cores(self) -> float:
        """How many cores this process kept busy, on average."""
        return sum(each.generator_cores * each.window.seconds for each in self.windows) / self.merged.seconds

    @property
    def processor(self) -> ProcessorTime | None:
        """Of all windows together; None where it cannot be seen."""
        return added([each.window.processor for each in self.windows])

    @property
    def disturbance(self) -> Disturbance:
        processor = self.processor
        return processor.disturbance if processor is not None else Disturbance.UNOBSERVED

    @property
    def imbalance(self) -> str:
        """What does not add up in most windows, see `measuring.balance`; empty where all does.

        A window of an exact number of requests has their beginning and end in it, and need not.
        """
        if self.stable is None:
            return ""
        found = [text for each in self.windows if (text := imbalance(each.window, self.load))]
        return found[0] if 2 * len(found) > len(self.windows) else ""

    @property
    def generator_limit(self) -> str:
        """How these values say more about the load generator than about the server; empty where they do not."""
        if self.generator_cores > BUSY_CORES:
            return f"it kept {self.generator_cores:.1f} cores busy: the server may be able to do more"
        if isinstance(self.load, ClosedLoad):
            return ""
        usual = float(np.median(self.latencies_ms))
        if self.late_ms > max(_LATE_MS, _LATE_SHARE * usual):
            return f"1 % of the requests were sent {self.late_ms:.3g} ms late or more"
        return ""


def added(times: Sequence[ProcessorTime | None]) -> ProcessorTime | None:
    """All together; None where one of them is missing."""
    known = [time for time in times if time is not None]
    if not known or len(known) < len(times):
        return None
    return ProcessorTime(
        own=sum(time.own for time in known),
        wait=sum(time.wait for time in known),
        other=sum(time.other for time in known),
        steal=sum(time.steal for time in known),
        throttled=sum(time.throttled for time in known),
        elapsed=sum(time.elapsed for time in known),
    )
