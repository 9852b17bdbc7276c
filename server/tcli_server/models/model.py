"""One version of a model, loaded: its configuration, instances, scheduler and statistics."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_server.backends import Instance, Placement
from tcli_server.models.validation import validate
from tcli_server.observability.statistics import FailureReason, InferenceStatistics
from tcli_server.request import InferenceRequest
from tcli_server.scheduling.batcher import Batcher
from tcli_server.scheduling.execution import Worker
from tcli_server.scheduling.ordering import InOrder
from tcli_server.spec import ModelSpec, read_spec


@dataclass(frozen=True, slots=True)
class PlacedInstance:
    """An instance and where it runs."""

    placement: Placement
    instance: Instance


class Model:
    """A loaded model version that accepts requests until it is closed.

    Attributes:
        config: complete and normalised; read only.
        labels: output name -> class names, for outputs with a label file.
        statistics: counters since loading.
        load_seconds: how long loading took.
    """

    def __init__(
        self,
        config: ModelConfig,
        version: int,
        folder: Path,
        labels: Mapping[str, Sequence[str]],
        instances: Sequence[PlacedInstance],
        load_seconds: float,
    ) -> None:
        self.name: str = config.name
        self.version = version
        self.config = config
        self.folder = folder
        self.labels = labels
        self.placements = [placed.placement for placed in instances]
        self.load_seconds = load_seconds
        self.spec: ModelSpec = read_spec(config, version, labels)
        self.statistics = InferenceStatistics()
        self._batcher = _batcher(config, self.placements)
        order = InOrder() if config.dynamic_batching.preserve_ordering and len(instances) > 1 else None
        self._workers = [
            Worker(placed.placement.name, self.spec, placed.instance, self._batcher, self.statistics, order)
            for placed in instances
        ]
        for worker in self._workers:
            worker.start()

    @property
    def pending(self) -> int:
        """Requests that wait for an instance."""
        return self._batcher.pending

    def submit(self, request: InferenceRequest) -> None:
        """Queue a request; `request.reply` gets the answer.

        Raises:
            InvalidArgumentError: the request does not fit the model.
            SchedulerStoppedError: the model is closed.
        """
        request.arrival_ns = time.monotonic_ns()
        validate(request, self.spec)
        self._batcher.put(request)

    def reject(self, request: InferenceRequest) -> None:
        """Count a request that came too late."""
        self.statistics.record_failures(FailureReason.REJECTED, 1, time.monotonic_ns() - request.arrival_ns)

    def close(self, timeout: float | None = None) -> bool:
        """Refuse new requests, answer the queued ones and free the instances; True if all was done in time.

        Args:
            timeout: seconds to wait, None for as long as it takes.
        """
        self._batcher.stop()
        deadline = None if timeout is None else time.monotonic() + timeout
        drained = True
        for worker in self._workers:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            drained = worker.join(left) and drained
        return drained


def _batcher(config: ModelConfig, placements: Sequence[Placement]) -> Batcher:
    if not config.HasField("dynamic_batching"):
        return Batcher(1)
    batching = config.dynamic_batching
    # On a GPU one large batch beats several small ones side by side; cores that each instance has for itself are lost
    # to a batch that another instance runs.
    sharers = len(placements) if all(placement.gpu is None for placement in placements) else 1
    delay_ns = batching.max_queue_delay_microseconds * 1000
    return Batcher(config.max_batch_size, batching.preferred_batch_size, delay_ns, sharers)
