"""Counters of one loaded model version: the source of both the statistics extension and the Prometheus metrics."""

import threading
import time
from dataclasses import dataclass, field
from enum import StrEnum

from tritonclient.grpc import service_pb2


class FailureReason(StrEnum):
    """Why a request failed, as `nv_inference_request_failure` labels it."""

    REJECTED = "REJECTED"
    CANCELED = "CANCELED"
    BACKEND = "BACKEND"
    OTHER = "OTHER"


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
    failure_count: dict[str, int] = field(default_factory=lambda: dict.fromkeys(FailureReason, 0))
    batches: dict[int, BatchStatistics] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def record_batch(
        self,
        *,
        requests: int,
        batch_size: int,
        total_ns: int,
        queue_ns: int,
        input_ns: int,
        infer_ns: int,
        output_ns: int,
    ) -> None:
        """Count one successful execution.

        Args:
            requests: requests in the batch.
            batch_size: inferences in the batch, the sum of the requests' batch sizes.
            total_ns: sum over the requests of the time from arrival to response.
            queue_ns: sum over the requests of the time in the queue.
            input_ns: time to gather the inputs; likewise infer_ns and output_ns, once for the batch.
        """
        with self._lock:
            self.success_count += requests
            self.success_ns += total_ns
            self.queue_ns += queue_ns
            self.compute_input_ns += input_ns * requests
            self.compute_infer_ns += infer_ns * requests
            self.compute_output_ns += output_ns * requests
            self.inference_count += batch_size
            self.execution_count += 1
            self.last_inference_ms = time.time_ns() // 1_000_000
            batch = self.batches.get(batch_size)
            if batch is None:
                batch = self.batches[batch_size] = BatchStatistics()
            batch.count += 1
            batch.input_ns += input_ns
            batch.infer_ns += infer_ns
            batch.output_ns += output_ns

    def record_failures(self, reason: FailureReason, count: int, total_ns: int) -> None:
        """Count failed requests and the time that they spent in the server."""
        with self._lock:
            self.fail_count += count
            self.fail_ns += total_ns
            self.failure_count[reason] += count

    def to_message(self, name: str, version: str) -> service_pb2.ModelStatistics:
        """The statistics extension's object (fields as in Triton's `ModelStatistics`)."""
        message = service_pb2.ModelStatistics(name=name, version=version)
        with self._lock:
            message.last_inference = self.last_inference_ms
            message.inference_count = self.inference_count
            message.execution_count = self.execution_count
            durations = {
                "success": (self.success_count, self.success_ns),
                "fail": (self.fail_count, self.fail_ns),
                "queue": (self.success_count, self.queue_ns),
                "compute_input": (self.success_count, self.compute_input_ns),
                "compute_infer": (self.success_count, self.compute_infer_ns),
                "compute_output": (self.success_count, self.compute_output_ns),
                "cache_hit": (0, 0),
                "cache_miss": (0, 0),
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
