"""From a stream of replies to numbers: windows, when they are stable, and what they say together."""

import threading
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from time import perf_counter_ns

import numpy as np

from tcli_analyzer.inputs import Inputs
from tcli_analyzer.load.closed import ClosedLoop
from tcli_analyzer.resources import GpuUse, ResourceMeter, Usage
from tcli_analyzer.target import Counters, Target

REPORTED_WINDOWS = 3
POLL_SECONDS = 0.02


class Stopped(Exception):  # noqa: N818 - not an error: the user asked to stop
    """The measurement was given up because the user asked to stop."""


class MeasurementError(Exception):
    """A request of the load failed; the message is the server's."""


@dataclass(frozen=True, slots=True)
class MeasurementOptions:
    """How long a window is and when windows agree.

    Attributes:
        interval_ms: least length of a window.
        stability_percentage: windows agree if the largest is at most this much above the smallest.
        max_trials: windows at most, before the last ones are taken although they do not agree.
        min_requests: a window goes on until it has this many replies ...
        max_interval_factor: ... or is this many times the interval long (and has one reply per caller).
    """

    interval_ms: float = 500.0
    stability_percentage: float = 10.0
    max_trials: int = 10
    min_requests: int = 34
    max_interval_factor: float = 5.0

    def window_seconds(self, latency_s: float, concurrency: int) -> float:
        """About how long a window takes if each request takes `latency_s` and requests do not speed each other up."""
        interval = self.interval_ms / 1000
        longest = max(self.max_interval_factor * interval, latency_s * (concurrency + 1))
        return max(interval, min(self.min_requests * latency_s, longest))


@dataclass(frozen=True, slots=True)
class Window:
    """What happened between two replies.

    Attributes:
        seconds: length.
        latencies_ms: submit to reply, of each request that ended in the window, in ms; float64 [n].
        counters: the server's statistics, their growth over the window.
        usage: CPU, memory and GPU of the window.
    """

    seconds: float
    latencies_ms: np.ndarray
    counters: Counters
    usage: Usage

    @property
    def throughput(self) -> float:
        return len(self.latencies_ms) / self.seconds

    @property
    def latency_ms(self) -> float:
        return float(self.latencies_ms.mean())


@dataclass(frozen=True)
class Measurement:
    """Merged windows of one configuration under one load. Times in ms.

    Attributes:
        windows: those reported: normally the last three.
        trials: how many windows were measured to get there.
        stable: whether the last three agreed in throughput and in average latency.
    """

    windows: tuple[Window, ...]
    trials: int
    stable: bool
    _latencies_ms: np.ndarray = field(init=False, repr=False)
    _counters: Counters = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_latencies_ms", np.concatenate([w.latencies_ms for w in self.windows]))
        object.__setattr__(self, "_counters", sum((w.counters for w in self.windows), Counters()))

    def with_repeat(self, other: "Measurement") -> "Measurement":
        """This measurement and a later one of the same thing, as one: the spread then covers both moments."""
        return Measurement(self.windows + other.windows, self.trials + other.trials, self.stable and other.stable)

    @property
    def requests(self) -> int:
        return len(self._latencies_ms)

    @property
    def seconds(self) -> float:
        return sum(w.seconds for w in self.windows)

    @property
    def throughput(self) -> float:
        """Requests (each of one item) per second."""
        return self.requests / self.seconds

    @property
    def throughput_spread(self) -> float:
        """(max - min) / mean over the windows."""
        return _spread([w.throughput for w in self.windows])

    @property
    def latency_avg_ms(self) -> float:
        return float(self._latencies_ms.mean())

    def latency_ms(self, percentile: float) -> float:
        return float(np.percentile(self._latencies_ms, percentile))

    def latency_spread(self, percentile: float) -> float:
        """(max - min) / mean over the windows, of this percentile."""
        return _spread([float(np.percentile(w.latencies_ms, percentile)) for w in self.windows])

    @property
    def queue_ms(self) -> float:
        return self._per_request(self._counters.queue_ns)

    @property
    def compute_input_ms(self) -> float:
        return self._per_request(self._counters.compute_input_ns)

    @property
    def compute_infer_ms(self) -> float:
        return self._per_request(self._counters.compute_infer_ns)

    @property
    def compute_output_ms(self) -> float:
        return self._per_request(self._counters.compute_output_ns)

    @property
    def other_ms(self) -> float:
        """Latency that the server's statistics do not account for: submitting, handing over threads, replying."""
        parts = self.queue_ms + self.compute_input_ms + self.compute_infer_ms + self.compute_output_ms
        return max(0.0, self.latency_avg_ms - parts)

    @property
    def batch_avg(self) -> float:
        """Average size of an executed batch."""
        return self._counters.inferences / self._counters.executions if self._counters.executions else 0.0

    @property
    def cpu_percent(self) -> float:
        """CPU time of this process, load generator included: 100 = one core."""
        return 100 * sum(w.usage.cpu_seconds for w in self.windows) / self.seconds

    @property
    def other_cpu_percent(self) -> float:
        """CPU time that other processes took at the same time: 100 = one core."""
        return 100 * sum(w.usage.other_cpu_seconds for w in self.windows) / self.seconds

    @property
    def memory_mib(self) -> float:
        """Resident memory of this process, the largest seen, in MiB."""
        return max(w.usage.memory_mib for w in self.windows)

    @property
    def gpu(self) -> GpuUse | None:
        """Average utilisation and largest memory; None without a GPU."""
        uses = [w.usage.gpu for w in self.windows if w.usage.gpu]
        if not uses:
            return None
        utilisation = sum(u.utilisation_percent for u in uses) / len(uses)
        return GpuUse(utilisation, max(u.memory_mib for u in uses))

    def _per_request(self, ns: int) -> float:
        return ns / self._counters.requests / 1e6 if self._counters.requests else 0.0


def _spread(values: Sequence[float]) -> float:
    return (max(values) - min(values)) / (sum(values) / len(values))


def agree(windows: Sequence[Window], stability_percentage: float) -> bool:
    """perf_analyzer's rule: over the windows, max <= (1 + s) x min of the throughput, and of the average latency."""
    limit = 1 + stability_percentage / 100

    def close(values: list[float]) -> bool:
        return min(values) > 0 and max(values) <= limit * min(values)

    return close([w.throughput for w in windows]) and close([w.latency_ms for w in windows])


def measure(
    target: Target,
    requests: Sequence[Inputs],
    concurrency: int,
    options: MeasurementOptions,
    stop: threading.Event,
) -> Measurement:
    """Put a loaded target under load until three windows in a row agree, or `max_trials` windows have passed.

    A warm-up comes first: half a window and two requests per caller, none of which is counted.

    Raises:
        MeasurementError: a request failed.
        Stopped: `stop` was set.
    """
    with ClosedLoop(target, requests, concurrency) as load, ResourceMeter() as meter:
        watch = _Watch(load, stop, meter)
        interval_ns = int(options.interval_ms * 1e6)
        watch.next_end(interval_ns // 2, 2 * concurrency, interval_ns // 2)
        windows: list[Window] = []
        counters = target.counters()
        meter.take()
        while len(windows) < max(options.max_trials, REPORTED_WINDOWS):
            first = watch.position
            start_ns = load.replies[first - 1].at_ns
            longest_ns = int(interval_ns * options.max_interval_factor)
            last = watch.next_end(interval_ns, max(options.min_requests, concurrency), longest_ns, concurrency)
            before, counters = counters, target.counters()
            ended = load.replies[first:last]
            windows.append(
                Window(
                    seconds=(ended[-1].at_ns - start_ns) / 1e9,
                    latencies_ms=np.array([reply.latency_ns for reply in ended]) / 1e6,
                    counters=counters - before,
                    usage=meter.take(),
                )
            )
            recent = windows[-REPORTED_WINDOWS:]
            if len(recent) == REPORTED_WINDOWS and agree(recent, options.stability_percentage):
                return Measurement(tuple(recent), len(windows), stable=True)
        return Measurement(tuple(windows[-REPORTED_WINDOWS:]), len(windows), stable=False)


class _Watch:
    """Finds where windows end in the growing list of replies.

    A window ends with a reply, not at a moment: with few, slow requests a fixed moment would cut whole batches off.
    """

    def __init__(self, load: ClosedLoop, stop: threading.Event, meter: ResourceMeter) -> None:
        self._load = load
        self._stop = stop
        self._meter = meter
        self._start_ns = perf_counter_ns()
        self.position = 0

    def next_end(self, least_ns: int, enough: int, longest_ns: int, at_least: int = 1) -> int:
        """Wait for the end of the window: `least_ns` and `enough` replies, or `longest_ns` and `at_least` replies.

        Returns:
            The end's index into the replies, the first that does not belong to the window; also left in `position`.
        """
        replies = self._load.replies
        while True:
            if self._load.error is not None:
                raise MeasurementError(str(self._load.error))
            by_time = bisect_left(replies, (self._start_ns + least_ns,), lo=self.position)
            late = bisect_left(replies, (self._start_ns + longest_ns,), lo=self.position)
            wanted = min(max(by_time, self.position + enough - 1), max(late, self.position + at_least - 1))
            if wanted < len(replies):
                break
            if self._stop.wait(POLL_SECONDS):
                raise Stopped
            self._meter.sample()
        self.position = wanted + 1
        self._start_ns = replies[wanted].at_ns
        return self.position
