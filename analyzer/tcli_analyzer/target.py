"""What is put under load. Today the engine in this process; anything with these few methods can be measured."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import numpy as np
from tritonclient.grpc.model_config_pb2 import ModelConfig
from tritonclient.grpc.service_pb2 import ModelStatistics

from tcli_server.engine import Engine
from tcli_server.errors import ServerError
from tcli_server.options import EngineOptions
from tcli_server.request import InferenceRequest, InferenceResponse

OnReply = Callable[[ServerError | None], None]


@dataclass(frozen=True, slots=True)
class Counters:
    """A server's cumulative statistics of one model (Triton's `ModelStatistics`), or a difference of two.

    Attributes:
        success_ns: of all successful requests, from their arrival to their answer.
    """

    requests: int = 0
    inferences: int = 0
    executions: int = 0
    queue_ns: int = 0
    compute_input_ns: int = 0
    compute_infer_ns: int = 0
    compute_output_ns: int = 0
    success_ns: int = 0
    cache_hits: int = 0
    cache_hit_ns: int = 0
    cache_misses: int = 0
    cache_miss_ns: int = 0

    @classmethod
    def of(cls, model: ModelStatistics) -> Self:
        """What a server says of one version of a model."""
        per_request = model.inference_stats
        return cls(
            requests=per_request.success.count,
            inferences=model.inference_count,
            executions=model.execution_count,
            queue_ns=per_request.queue.ns,
            compute_input_ns=per_request.compute_input.ns,
            compute_infer_ns=per_request.compute_infer.ns,
            compute_output_ns=per_request.compute_output.ns,
            success_ns=per_request.success.ns,
            cache_hits=per_request.cache_hit.count,
            cache_hit_ns=per_request.cache_hit.ns,
            cache_misses=per_request.cache_miss.count,
            cache_miss_ns=per_request.cache_miss.ns,
        )

    def __add__(self, other: "Counters") -> "Counters":
        return Counters(*(a + b for a, b in zip(self._values(), other._values(), strict=True)))

    def __sub__(self, other: "Counters") -> "Counters":
        return Counters(*(a - b for a, b in zip(self._values(), other._values(), strict=True)))

    def _values(self) -> tuple[int, ...]:
        return (
            self.requests,
            self.inferences,
            self.executions,
            self.queue_ns,
            self.compute_input_ns,
            self.compute_infer_ns,
            self.compute_output_ns,
            self.success_ns,
            self.cache_hits,
            self.cache_hit_ns,
            self.cache_misses,
            self.cache_miss_ns,
        )


@dataclass(frozen=True, slots=True)
class SequenceMark:
    """Which sequence a request belongs to.

    Attributes:
        id: Triton's correlation id, a number above 0 or a text.
        start: it is the sequence's first request.
        end: it is the last one.
    """

    id: int | str
    start: bool = False
    end: bool = False


class Target(Protocol):
    """One model somewhere, as it is loaded."""

    def submit(self, inputs: Mapping[str, np.ndarray], reply: OnReply, sequence: SequenceMark | None = None) -> None:
        """Send one request; `reply` is called exactly once, from any thread, with the error or None.

        Args:
            sequence: that it belongs to; None for a model without state.

        Raises:
            ServerError: the request was refused at once; `reply` is not called.
        """

    def counters(self) -> Counters:
        """The model's cumulative statistics since it was loaded."""


class EngineTarget:
    """A model of a repository on this machine, run by an engine in this process."""

    def __init__(self, repository: Path, model: str) -> None:
        self._model = model
        self._engine = Engine(repository, options=EngineOptions(model_control_mode="explicit"))
        self._loaded = False

    def __enter__(self) -> Self:
        self._engine.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._engine.shutdown()

    def load(self, config: ModelConfig | None = None) -> ModelConfig:
        """Load the model, with its own configuration or another, in place of what was loaded; answer the complete one.

        Raises:
            ServerError: the model cannot be loaded like this.
        """
        self.unload()
        self._engine.load(self._model, config)
        self._loaded = True
        return self._engine.model_config(self._model)

    def unload(self) -> None:
        """Unload the model if it is loaded."""
        if self._loaded:
            self._loaded = False
            self._engine.unload(self._model)

    def submit(self, inputs: Mapping[str, np.ndarray], reply: OnReply, sequence: SequenceMark | None = None) -> None:
        def on_response(response: InferenceResponse) -> None:
            reply(response.error)

        request = InferenceRequest(model_name=self._model, inputs=dict(inputs), reply=on_response)
        if sequence is not None:
            request.sequence_id = sequence.id
            request.sequence_start = sequence.start
            request.sequence_end = sequence.end
        self._engine.submit(request)

    def counters(self) -> Counters:
        return Counters.of(self._engine.statistics(self._model).model_stats[0])
