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
    """A server's cumulative statistics of one model (Triton's `ModelStatistics`), or a difference of two."""

    requests: int = 0
    inferences: int = 0
    executions: int = 0
    queue_ns: int = 0
    compute_input_ns: int = 0
    compute_infer_ns: int = 0
    compute_output_ns: int = 0

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
        )


class Target(Protocol):
    """One model somewhere, in one configuration at a time."""

    def load(self, config: ModelConfig | None = None) -> ModelConfig:
        """Load the model, with its own configuration or another, in place of what was loaded; answer the complete one.

        Raises:
            ServerError: the model cannot be loaded like this.
        """

    def unload(self) -> None:
        """Unload the model if it is loaded."""

    def submit(self, inputs: Mapping[str, np.ndarray], reply: OnReply) -> None:
        """Send one request; `reply` is called exactly once, from any thread, with the error or None.

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
        self.unload()
        self._engine.load(self._model, config)
        self._loaded = True
        return self._engine.model_config(self._model)

    def unload(self) -> None:
        if self._loaded:
            self._loaded = False
            self._engine.unload(self._model)

    def submit(self, inputs: Mapping[str, np.ndarray], reply: OnReply) -> None:
        def on_response(response: InferenceResponse) -> None:
            reply(response.error)

        self._engine.submit(InferenceRequest(model_name=self._model, inputs=dict(inputs), reply=on_response))

    def counters(self) -> Counters:
        return Counters.of(self._engine.statistics(self._model).model_stats[0])
