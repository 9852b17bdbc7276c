"""How the times of one model version's requests are distributed: histograms, and summaries of the last minute."""

import bisect
import threading
import time
from collections import Counter, deque
from collections.abc import Sequence

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_server.observability.metrics_options import (
    BATCH_SIZE,
    FIRST_RESPONSE,
    HISTOGRAM_BUCKETS,
    REQUEST_DURATION,
    MetricsOptions,
)
from tcli_server.request import InferenceRequest, InferenceResponse, Reply

REQUEST, QUEUE = "nv_inference_request_summary_us", "nv_inference_queue_summary_us"
COMPUTE_INPUT = "nv_inference_compute_input_summary_us"
COMPUTE_INFER = "nv_inference_compute_infer_summary_us"
COMPUTE_OUTPUT = "nv_inference_compute_output_summary_us"
CACHE_HIT, CACHE_MISS = "nv_cache_hit_summary_per_model", "nv_cache_miss_summary_per_model"

_SLICES = 5
_SLICE_NS = 12 * 10**9
"""A summary shows the last 48 to 60 s, in as many slices as Triton's."""

_FINENESS = 6
_PARTS = 1 << _FINENESS
"""Each power of two has so many bins, so that the middle of a bin is within 0.8 % of all that is in it."""


class Histogram:
    """Counts values by buckets.

    Args:
        bounds: the buckets' upper bounds, ascending.
    """

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float, count: int = 1) -> None:
        """Count a value, or several alike."""
        self.counts[bisect.bisect_left(self.bounds, value)] += count
        self.total += value * count


class Summary:
    """Quantiles of what was observed in the last minute, and the sum of all that ever was.

    Values are counted in bins whose width grows with the value. So an observation costs the same however many there are, the rank of
    a quantile is exact, and what is off is its value, by 0.8 % at most. Triton's estimator promises the rank within an error
    that is chosen for each quantile; Python's version of it (`quantile-estimator`) takes fifty times as long.

    Attributes:
        count: observations since the model was loaded.
        total_ns: their sum, nanoseconds.
    """

    def __init__(self) -> None:
        self.count = self.total_ns = 0
        self._slices: deque[dict[int, int]] = deque([{}], _SLICES)
        self._slice_began_ns = time.monotonic_ns()

    def observe(self, ns: int, now_ns: int) -> None:
        """Count a time, at a moment of `time.monotonic_ns()`."""
        if now_ns - self._slice_began_ns >= _SLICE_NS:
            self._turn(now_ns)
        self.count += 1
        self.total_ns += ns
        shift = ns.bit_length() - _FINENESS - 1
        place = (shift << _FINENESS) + (ns >> shift) if shift > 0 else ns
        current = self._slices[-1]
        current[place] = current.get(place, 0) + 1

    def quantiles(self, wanted: Sequence[float], now_ns: int) -> list[float]:
        """The times below which such shares of the last minute's observations are, nanoseconds; NaN if there were none.

        Args:
            wanted: ascending, between 0 and 1.
        """
        self._turn(now_ns)
        counts: Counter[int] = Counter()
        for one in self._slices:
            counts.update(one)
        total = counts.total()
        if not total:
            return [float("nan")] * len(wanted)
        found: list[float] = []
        below = 0
        places = iter(sorted(counts))
        place = next(places)
        for quantile in wanted:
            while below + counts[place] < quantile * total:
                below += counts[place]
                place = next(places)
            found.append(_middle(place))
        return found

    def _turn(self, now_ns: int) -> None:
        passed = (now_ns - self._slice_began_ns) // _SLICE_NS
        for _ in range(min(passed, _SLICES)):
            self._slices.append({})
        self._slice_began_ns += max(0, passed) * _SLICE_NS


def _middle(place: int) -> float:
    shift = (place >> _FINENESS) - 1
    if shift <= 0:
        return place
    return ((place - (shift << _FINENESS)) << shift) + (1 << shift) / 2


class Distributions:
    """What is kept of one model version beside its sums; for any thread.

    Of a request that its model gets several times (`iterative_sequence`), the times in the queue and of computing are those of its
    last step.

    Args:
        config: the model's; its `model_metrics` may say other buckets.
        is_cached: its answers are kept.
        options: what is wanted.

    Attributes:
        request_duration, first_response: None where it is not wanted, the second one also where the model gives one response.
        batch_buckets: for the sizes of batches, which the statistics have; empty where they are not wanted.
        summaries: by family.
    """

    def __init__(self, config: ModelConfig, is_cached: bool, options: MetricsOptions) -> None:
        buckets = HISTOGRAM_BUCKETS | {
            control.metric_identifier.family: tuple(control.histogram_options.buckets)
            for control in config.model_metrics.metric_control
        }
        self.lock = threading.Lock()
        self.request_duration: Histogram | None = None
        self.first_response: Histogram | None = None
        self.batch_buckets: Sequence[float] = ()
        if options.histogram_latencies:
            self.request_duration = Histogram(buckets[REQUEST_DURATION])
            self.batch_buckets = buckets[BATCH_SIZE]
            if config.model_transaction_policy.decoupled:
                self.first_response = Histogram(buckets[FIRST_RESPONSE])
        self.summaries: dict[str, Summary] = {}
        if options.summary_latencies:
            # As in Triton: a hit and a miss are no requests of one kind.
            own = (CACHE_HIT, CACHE_MISS) if is_cached else (REQUEST,)
            of_all = (QUEUE, COMPUTE_INPUT, COMPUTE_INFER, COMPUTE_OUTPUT)
            self.summaries = {family: Summary() for family in (*own, *of_all)}

    def success(self, request: InferenceRequest, end_ns: int) -> None:
        """Count a request that was answered, by its stamps."""
        duration_ns = end_ns - request.arrival_ns
        with self.lock:
            if self.request_duration is not None:
                self.request_duration.observe(duration_ns / 1e9)
            if self.summaries:
                if REQUEST in self.summaries:
                    self._summarise(REQUEST, duration_ns, end_ns)
                self._summarise(QUEUE, request.compute_start_ns - request.queue_ns, end_ns)
                self._summarise(COMPUTE_INPUT, request.compute_input_end_ns - request.compute_start_ns, end_ns)
                self._summarise(COMPUTE_INFER, request.compute_output_start_ns - request.compute_input_end_ns, end_ns)
                self._summarise(COMPUTE_OUTPUT, request.compute_end_ns - request.compute_output_start_ns, end_ns)

    def cache_hit(self, request: InferenceRequest, lookup_ns: int, end_ns: int) -> None:
        """Count a request that was answered from the response cache."""
        with self.lock:
            if self.request_duration is not None:
                self.request_duration.observe((end_ns - request.arrival_ns) / 1e9)
            if self.summaries:
                self._summarise(QUEUE, request.queue_ns - request.arrival_ns, end_ns)
                self._summarise(CACHE_HIT, lookup_ns, end_ns)

    def cache_miss(self, duration_ns: int) -> None:
        """Count looking for an answer that was not in the response cache, and keeping it."""
        with self.lock:
            if self.summaries:
                self._summarise(CACHE_MISS, duration_ns, time.monotonic_ns())

    def watch_first_response(self, request: InferenceRequest) -> None:
        """Count when the first response comes."""
        request.reply = _FirstResponse(self, request)

    def first_response_came(self, arrival_ns: int) -> None:
        """Count a first response, which comes now."""
        with self.lock:
            if self.first_response is not None:
                self.first_response.observe((time.monotonic_ns() - arrival_ns) / 1e6)

    def _summarise(self, family: str, ns: int, now_ns: int) -> None:
        self.summaries[family].observe(max(0, ns), now_ns)


class _FirstResponse:
    """A `Reply` before another one."""

    __slots__ = ("_arrival_ns", "_came", "_distributions", "_reply")

    def __init__(self, distributions: Distributions, request: InferenceRequest) -> None:
        self._distributions = distributions
        self._arrival_ns = request.arrival_ns
        self._reply: Reply = request.reply
        self._came = False

    def __call__(self, response: InferenceResponse) -> None:
        if not self._came and response.error is None and not response.empty:
            self._came = True
            self._distributions.first_response_came(self._arrival_ns)
        self._reply(response)
