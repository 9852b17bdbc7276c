"""Runs a batch: gather the requests' inputs, run the instance, give each request its share of the outputs."""

import threading
import time
from collections.abc import Sequence
from functools import partial

import numpy as np

from tcli_server.backends import Instance
from tcli_server.errors import InternalError, InvalidArgumentError, ServerError
from tcli_server.models.validation import prefix
from tcli_server.observability.statistics import FailureReason, InferenceStatistics
from tcli_server.request import InferenceRequest, InferenceResponse
from tcli_server.scheduling.batcher import Batcher
from tcli_server.scheduling.gathering import Gatherer
from tcli_server.scheduling.ordering import InOrder
from tcli_server.spec import ModelSpec, TensorSpec

Batch = list[InferenceRequest]


class Worker:
    """One thread that feeds one instance until the batcher is stopped and empty."""

    def __init__(
        self,
        name: str,
        spec: ModelSpec,
        instance: Instance,
        batcher: Batcher,
        statistics: InferenceStatistics,
        order: InOrder | None,
    ) -> None:
        self._spec = spec
        self._instance = instance
        self._batcher = batcher
        self._statistics = statistics
        self._order = order
        self._gatherer = Gatherer()
        self._all_outputs = tuple(spec.outputs)
        self._reshapes_outputs = any(output.reshaped for output in spec.outputs.values())
        self._thread = threading.Thread(target=self._serve, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def join(self, timeout: float | None = None) -> bool:
        """Wait until the last batch is answered; True if it is."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _serve(self) -> None:
        while (taken := self._batcher.take()) is not None:
            number, batch = taken
            responses = self._execute(batch)
            self._batcher.finished()
            if self._order is None:
                _reply(batch, responses)
            else:
                self._order.send(number, partial(_reply, batch, responses))
        self._instance.close()

    def _execute(self, batch: Batch) -> Sequence[InferenceResponse]:
        start_ns = time.monotonic_ns()
        try:
            outputs = self._wanted(batch)
            inputs = self._gather(batch)
            gathered_ns = time.monotonic_ns()
            arrays = self._instance.run(inputs, outputs)
            ran_ns = time.monotonic_ns()
            responses = self._scatter(batch, outputs, arrays)
            end_ns = time.monotonic_ns()
        except ServerError as error:
            return self._fail(batch, error)
        except Exception as error:  # a defect here must not take the instance down or leave requests unanswered
            return self._fail(batch, InternalError(f"{type(error).__name__}: {error}"))
        self._statistics.record_batch(
            requests=len(batch),
            batch_size=sum(request.batch_size for request in batch),
            total_ns=end_ns * len(batch) - sum(request.arrival_ns for request in batch),
            queue_ns=start_ns * len(batch) - sum(request.queue_ns for request in batch),
            input_ns=gathered_ns - start_ns,
            infer_ns=ran_ns - gathered_ns,
            output_ns=end_ns - ran_ns,
        )
        return responses

    def _fail(self, batch: Batch, error: ServerError) -> Sequence[InferenceResponse]:
        now = time.monotonic_ns()
        total_ns = sum(now - request.arrival_ns for request in batch)
        self._statistics.record_failures(FailureReason.BACKEND, len(batch), total_ns)
        return [
            InferenceResponse(
                request.model_name, self._spec.version, request.id, error=type(error)(f"{prefix(request.id)}{error}")
            )
            for request in batch
        ]

    def _wanted(self, batch: Batch) -> Sequence[str]:
        """The outputs that at least one request asks for."""
        if any(not request.outputs for request in batch):
            return self._all_outputs
        names = {name for request in batch for name in request.outputs}
        return [name for name in self._all_outputs if name in names]

    def _gather(self, batch: Batch) -> dict[str, np.ndarray]:
        if len(batch) == 1:
            # A view of a request's bytes may start anywhere; what runs the model may not read it there.
            arrays = {name: a if a.flags.aligned else a.copy() for name, a in batch[0].inputs.items()}
        else:
            arrays = {name: self._gatherer.join(name, [r.inputs[name] for r in batch]) for name in batch[0].inputs}
        specs = self._spec.inputs
        return {name: self._to_backend(specs[name], array) for name, array in arrays.items()}

    def _to_backend(self, spec: TensorSpec, array: np.ndarray) -> np.ndarray:
        if not spec.reshaped:
            return array
        if self._spec.max_batch_size:
            return array.reshape(array.shape[0], *spec.to_backend(array.shape[1:]))
        return array.reshape(spec.to_backend(array.shape))

    def _scatter(self, batch: Batch, names: Sequence[str], arrays: Sequence[np.ndarray]) -> Sequence[InferenceResponse]:
        spec = self._spec
        if self._reshapes_outputs:
            arrays = [self._to_client(spec.outputs[name], a) for name, a in zip(names, arrays, strict=True)]
        if len(batch) == 1 and not batch[0].outputs:
            request = batch[0]
            outputs = dict(zip(names, arrays, strict=True))
            return [InferenceResponse(request.model_name, spec.version, request.id, outputs)]
        total = sum(request.batch_size for request in batch)
        if spec.max_batch_size:
            self._check_batch(names, arrays, total)
        responses, start = [], 0
        for request in batch:
            end = start + request.batch_size
            outputs = {
                name: array[start:end] if len(batch) > 1 else array
                for name, array in zip(names, arrays, strict=True)
                if not request.outputs or name in request.outputs
            }
            responses.append(InferenceResponse(request.model_name, spec.version, request.id, outputs))
            start = end
        return responses

    def _to_client(self, spec: TensorSpec, array: np.ndarray) -> np.ndarray:
        if not spec.reshaped:
            return array
        try:
            if self._spec.max_batch_size:
                return array.reshape(array.shape[0], *spec.to_client(array.shape[1:]))
            return array.reshape(spec.to_client(array.shape))
        except ValueError:
            raise InvalidArgumentError(
                f"output '{spec.name}' of model '{self._spec.name}': the model gave shape {list(array.shape)}, but its "
                f"configuration expects {list(spec.backend_dims)} to reshape to {list(spec.dims)}"
            ) from None

    def _check_batch(self, names: Sequence[str], arrays: Sequence[np.ndarray], total: int) -> None:
        for name, array in zip(names, arrays, strict=True):
            if not array.shape or array.shape[0] != total:
                raise InternalError(
                    f"output '{name}' of model '{self._spec.name}' has shape {list(array.shape)} for a batch of {total}: "
                    "the model does not keep the batch dimension, so it needs max_batch_size: 0"
                )


def _reply(batch: Batch, responses: Sequence[InferenceResponse]) -> None:
    for request, response in zip(batch, responses, strict=True):
        request.reply(response)
