"""Counters of one loaded model version: the source of both the statistics extension and the Prometheus metrics."""

import threading
import time
from dataclasses import dataclass, field, fields

from tritonclient.grpc import service_pb2

from tcli_server.observability.distributions import Distributions
from tcli_server.request import FailureReason, InferenceRequest


@dataclass(slots=True)
class BatchStatistics:
    """Executions of one batch size; times in nanoseconds."""

    count: int = 0
    input_ns: int = 0
    infer_ns: int = 0
    output_ns: int = 0


@dataclass(slots=True)
class InferenceStatistics:
    """Totals since the model version was loaded; times in nanoseconds.

    As in Triton, each request of a batch is charged the whole batch's compute times, while `batches` counts each
    execution once.

    Attributes:
        distributions: what is kept beside the totals; None for nothing.
    """

    success_count: int = 0
    success_ns: int = 0
    fail_count: int = 0
    fail_ns: int = 0
    queue_ns: int = 0
    compute_input_ns: int = 0
    compute_infer_ns: int = 0
    compute_output_ns: int = 0
    inference_count: int = 0
    execution_count: int = 0
    last_inference_ms: int = 0
    hit_count: int = 0
    hit_ns: int = 0
    miss_count: int = 0
    miss_ns: int = 0
    failure_count: dict[str, int] = field(default_factory=lambda: dict.fromkeys(FailureReason, 0))
    batches: dict[int, BatchStatistics] = field(default_factory=dict)
    distributions: Distributions | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def go_on_from(self, before: "InferenceStatistics") -> None:
        """Take over the counts of an earlier copy of the model, in place of one's own."""
        with self._lock:
            for each in fields(self):
                if each.name != "_lock":
                    setattr(self, each.name, getattr(before, each.name))

    def record_execution(self, batch_size: int, input_ns: int, infer_ns: int, output_ns: int, count: int = 1) -> None:
        """Count executions of the model.

        Args:
            batch_size: inferences in the batch, the sum of the requests' batch sizes.
            input_ns: time that each took to gather the inputs; likewise infer_ns and output_ns.
            count: executions that were alike.
        """
        with self._lock:
            self.execution_count += count
            batch = self.batches.get(batch_size)
            if batch is None:
                batch = self.batches[batch_size] = BatchStatistics()
            batch.count += count
            batch.input_ns += input_ns * count
            batch.infer_ns += infer_ns * count
            batch.output_ns += output_ns * count

    def record_step(self, request: InferenceRequest) -> None:
        """Count the times of a step of a request that the model gets again, by its stamps; the request counts at its end."""
        with self._lock:
            self.queue_ns += request.compute_start_ns - request.queue_ns
            self.compute_input_ns += request.compute_input_end_ns - request.compute_start_ns
            self.compute_infer_ns += request.compute_output_start_ns - request.compute_input_end_ns
            self.compute_output_ns += request.compute_end_ns - request.compute_output_start_ns

    def success(self, request: InferenceRequest, end_ns: int) -> None:
        """Count a request that was answered, by its stamps."""
        with self._lock:
            self.success_count += 1
            self.success_ns += end_ns - request.arrival_ns
            self.queue_ns += request.compute_start_ns - request.queue_ns
            self.compute_input_ns += request.compute_input_end_ns - request.compute_start_ns
            self.compute_infer_ns += request.compute_output_start_ns - request.compute_input_end_ns
            self.compute_output_ns += request.compute_end_ns - request.compute_output_start_ns
            self.inference_count += request.batch_size
            self.last_inference_ms = time.time_ns() // 1_000_000
        if self.distributions is not None:
            self.distributions.success(request, end_ns)

    def cache_hit(self, request: InferenceRequest, lookup_ns: int, end_ns: int) -> None:
        """Count a request that was answered from the response cache: no inference, and no computing."""
        with self._lock:
            self.success_count += 1
            self.success_ns += end_ns - request.arrival_ns
            self.queue_ns += request.queue_ns - request.arrival_ns
            self.hit_count += 1
            self.hit_ns += lookup_ns
        if self.distributions is not None:
            self.distributions.cache_hit(request, lookup_ns, end_ns)

    def cache_miss(self, duration_ns: int) -> None:
        """Count a request that was not in the response cache; looking for it and keeping its answer took so long."""
        with self._lock:
            self.miss_count += 1
            self.miss_ns += duration_ns
            self.success_ns += duration_ns
        if self.distributions is not None:
            self.distributions.cache_miss(duration_ns)

    def failure(self, request: InferenceRequest, reason: FailureReason, end_ns: int) -> None:
        """Count a request that failed."""
        with self._lock:
            self.fail_count += 1
            self.fail_ns += end_ns - request.arrival_ns
            self.failure_count[reason] += 1

    def executions(self) -> dict[int, int]:
        """How many executions there were, by the size of their batch."""
        with self._lock:
            return {size: batch.count for size, batch in self.batches.items()}

    def to_message(self, name: str, version: str) -> service_pb2.ModelStatistics:
        """The statistics extension's object (fields as in Triton's `ModelStatistics`)."""
        message = service_pb2.ModelStatistics(name=name, version=version)
        with self._lock:
            message.last_inference = self.last_inference_ms
            message.inference_count = self.inference_count
            message.execution_count = self.execution_count
            ran = self.success_count - self.hit_count
            durations = {
                "success": (self.success_count, self.success_ns),
                "fail": (self.fail_count, self.fail_ns),
                "queue": (self.success_count, self.queue_ns),
                "compute_input": (ran, self.compute_input_ns),
                "compute_infer": (ran, self.compute_infer_ns),
                "compute_output": (ran, self.compute_output_ns),
                "cache_hit": (self.hit_count, self.hit_ns),
                "cache_miss": (self.miss_count, self.miss_ns),
            }
            for key, (count, ns) in durations.items():
                duration = getattr(message.inference_stats, key)
                duration.count, duration.ns = count, ns
                duration.SetInParent()
            for size, batch in sorted(self.batches.items()):
                entry = message.batch_stats.add(batch_size=size)
                for key, ns in (
                    ("compute_input", batch.input_ns),
                    ("compute_infer", batch.infer_ns),
                    ("compute_output", batch.output_ns),
                ):
                    duration = getattr(entry, key)
                    duration.count, duration.ns = batch.count, ns
        return message
