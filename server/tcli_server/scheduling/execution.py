"""Runs a batch: gather the requests' inputs, run the instance, give each request its share of the outputs."""

import contextlib
import time
from collections.abc import Collection, Sequence
from math import prod

import numpy as np

from tcli_server.backends import Instance
from tcli_server.backends.rows import RowsError
from tcli_server.errors import InternalError, InvalidArgumentError, ServerError, error_of_kind, request_prefix
from tcli_server.observability.log import LOG
from tcli_server.observability.statistics import InferenceStatistics
from tcli_server.request import InferenceRequest, InferenceResponse, Inputs
from tcli_server.scheduling.gathering import Gatherer
from tcli_server.scheduling.kinds import ResponseKinds
from tcli_server.spec import ModelSpec, TensorSpec

Outcome = tuple[InferenceRequest, InferenceResponse | ServerError]
"""A request and what became of it."""

LOST_BATCH = "the model does not keep the batch dimension"
"""What is said of a model whose outputs have not a row for each item."""

_MOST_COPIED = 1 << 18
"""Bytes whose copying takes so little time that it does not matter whether they are copied."""

_LENDERS = (np.ndarray, memoryview, bytes)

Part = tuple[InferenceRequest, Inputs]
"""A request that runs, and its inputs as the instance wants them."""


class Executor:
    """Runs batches on one instance, in one thread at a time.

    Args:
        states: outputs that requests of a sequence hand on to the next one; see `Step.keep`.
        limited: it may have to wait for resources, so no caller runs a batch in passing, nor a second one side by side.

    Attributes:
        lanes: as `Instance.lanes`: each has an executor of its own.
        open: as `AnsweringExecutor.open`: nothing, as every answer is there when a batch has run.
    """

    answers_later = False
    """As `AnsweringExecutor.answers_later`."""

    together = 1
    """As `AnsweringExecutor.together`."""

    generation = 0
    """As `AnsweringInstance.generation`."""

    open: Collection[object] = ()

    fit = True
    """As `AnsweringInstance.fit`."""

    def __init__(
        self,
        spec: ModelSpec,
        instance: Instance,
        statistics: InferenceStatistics,
        states: Sequence[str] = (),
        limited: bool = False,
    ) -> None:
        self.lanes = 1 if limited else instance.lanes
        self._limited = limited
        self._spec = spec
        self._instance = instance
        self._statistics = statistics
        self._states = states
        self._gatherer = Gatherer()
        self._kinds = ResponseKinds()
        self._all_outputs = tuple(spec.outputs)
        self._reshapes_inputs = any(tensor.reshaped for tensor in spec.inputs.values())
        self._reshapes_outputs = any(output.reshaped for output in spec.outputs.values())

    @property
    def steady_limit(self) -> int:
        """Inferences up to which batches of one size take about equally long.

        Inputs are copied where they lie at an odd place, which is for the client to say, or where they must be joined.
        """
        if self._limited or not (self._instance.steady and self._spec.uniform):
            return 0
        inputs = self._spec.inputs.values()
        return _MOST_COPIED // max(1, sum(prod(spec.dims) * spec.dtype.itemsize for spec in inputs))

    def run(self, batch: Sequence[InferenceRequest]) -> list[Outcome]:
        """What became of each request that has not ended yet; raises nothing.

        One request must not fail another: what the instance refuses in a request is found before the batch runs, and if
        the batch fails all the same, each of its requests is run once more, alone.
        """
        outcomes: list[Outcome] = []
        parts = self._prepare(batch, outcomes)
        if not parts:
            return outcomes
        try:
            return [*outcomes, *self._run(parts)] if outcomes else self._run(parts)
        except BaseException as error:  # whatever it is, it must not take the instance's thread down
            if len(parts) == 1 or batch[0].step is not None:  # running a stateful model twice is no way out
                return outcomes + [self._failed(request, error) for request, _ in parts]
        for part in parts:
            try:
                outcomes += self._run([part])
            except BaseException as error:
                outcomes.append(self._failed(part[0], error))
        return outcomes

    def _prepare(self, batch: Sequence[InferenceRequest], refused: list[Outcome]) -> list[Part]:
        parts: list[Part] = []
        for request in batch:
            inputs = request.begin() if request.step is None else request.step.inputs
            if inputs is None:  # it ended in the queue
                continue
            try:
                parts.append((request, self._instance.prepare(inputs)))
            except BaseException as error:
                refused.append(self._failed(request, error))
                filler = request.step.filler() if request.step is not None else None
                if filler is not None:
                    with contextlib.suppress(Exception):
                        filler = self._instance.prepare(filler)
                    parts.append((InferenceRequest(request.model_name, {}, request.outputs), filler))
        return parts

    def _failed(self, request: InferenceRequest, error: BaseException) -> Outcome:
        if isinstance(error, ServerError):
            kind, text = error.kind, str(error)
        else:
            LOG.error("model '%s' failed", self._spec.name, exc_info=error)
            kind, text = InternalError.kind, f"{type(error).__name__}: {error}"
        return request, error_of_kind(kind, f"{request_prefix(request.id)}{text}")

    def _run(self, parts: Sequence[Part]) -> list[Outcome]:
        start_ns = time.monotonic_ns()
        wanted = self._wanted(parts)
        outputs = [*wanted, *(name for name in self._states if name not in wanted)] if self._states else wanted
        inputs = self._gather(parts)
        gathered_ns = time.monotonic_ns()
        arrays: Sequence[np.ndarray]
        failed: RowsError | None = None
        try:
            arrays = self._instance.run(inputs, outputs)
        except RowsError as error:
            if parts[0][0].step is not None:  # their states are of no use
                raise
            arrays, failed = error.outputs, error
        ran_ns = time.monotonic_ns()
        outcomes = self._scatter(parts, wanted, outputs, self._own(arrays, inputs))
        if failed is not None:
            outcomes = self._spoiled(outcomes, failed)
        end_ns = time.monotonic_ns()
        size = 0
        for request, _ in parts:
            size += request.batch_size
            request.compute_start_ns, request.compute_input_end_ns = start_ns, gathered_ns
            request.compute_output_start_ns, request.compute_end_ns = ran_ns, end_ns
        self._statistics.record_execution(size, gathered_ns - start_ns, ran_ns - gathered_ns, end_ns - ran_ns)
        return outcomes

    def _spoiled(self, outcomes: Sequence[Outcome], failed: RowsError) -> list[Outcome]:
        """The same, with an error for each request of which a row failed."""
        result: list[Outcome] = []
        start = 0
        for request, response in outcomes:
            end = start + request.batch_size
            error = failed.of(start, end)
            result.append((request, response) if error is None else self._failed(request, error))
            start = end
        return result

    def _wanted(self, parts: Sequence[Part]) -> Sequence[str]:
        """The outputs that at least one request asks for."""
        names: set[str] = set()
        for outputs in {request.outputs for request, _ in parts}:  # nearly always all the same
            if not outputs:
                return self._all_outputs
            names.update(outputs)
        if len(names) == len(self._all_outputs):
            return self._all_outputs
        return [name for name in self._all_outputs if name in names]

    def _gather(self, parts: Sequence[Part]) -> Inputs:
        first = parts[0][1]
        if len(parts) == 1:
            # A view of a request's bytes may start anywhere; what runs the model may not read it there.
            arrays = {name: array if array.flags.aligned else array.copy() for name, array in first.items()}
        else:
            arrays = {name: self._gatherer.join(name, [inputs[name] for _, inputs in parts]) for name in first}
        if not self._reshapes_inputs:
            return arrays
        specs = self._spec.inputs
        return {name: self._to_backend(specs.get(name), array) for name, array in arrays.items()}

    def _to_backend(self, spec: TensorSpec | None, array: np.ndarray) -> np.ndarray:
        if spec is None or not spec.reshaped:  # what a sequence adds is as the model wants it
            return array
        if self._spec.max_batch_size:
            return array.reshape(array.shape[0], *spec.to_backend(array.shape[1:]))
        return array.reshape(spec.to_backend(array.shape))

    def _own(self, arrays: Sequence[np.ndarray], inputs: Inputs) -> Sequence[np.ndarray]:
        """The outputs, apart from the inputs' memory, which belongs to the requests or to the next batch."""
        return [array.copy() if _may_be_lent(array, inputs) else array for array in arrays]

    def _scatter(
        self, parts: Sequence[Part], wanted: Sequence[str], names: Sequence[str], arrays: Sequence[np.ndarray]
    ) -> list[Outcome]:
        spec = self._spec
        if spec.max_batch_size:
            self._check_batch(names, arrays, sum([request.batch_size for request, _ in parts]))
        states: Inputs = {}
        if self._states:
            states = {name: array for name, array in zip(names, arrays, strict=True) if name in self._states}
        if self._reshapes_outputs:
            arrays = [self._to_client(spec.outputs.get(name), a) for name, a in zip(names, arrays, strict=True)]
        named = list(zip(names, arrays, strict=True))
        kinds = self._kinds.of(named, bool(spec.max_batch_size)) if names is wanted else None
        outcomes: list[Outcome] = []
        start = 0
        for request, _ in parts:
            end = start + request.batch_size
            outputs = {}
            for name, array in named:  # several times as fast as a comprehension, which is a function of its own
                outputs[name] = array if len(parts) == 1 else array[start:end]
            if request.step is not None and states:
                kept = states if len(parts) == 1 else {name: array[start:end] for name, array in states.items()}
                # Copies, where the client may change the output it is given, or where a row would keep the whole batch.
                request.step.keep(
                    {name: array.copy() if len(parts) > 1 or name in wanted else array for name, array in kept.items()}
                )
                outputs = {name: outputs[name] for name in wanted}
            if request.outputs and len(request.outputs) < len(wanted):
                outputs = {name: outputs[name] for name in wanted if name in request.outputs}
            response = InferenceResponse(request.model_name, spec.version, request.id, outputs, spec=spec)
            if kinds is not None and len(outputs) == len(named):
                response.kind = kinds[request.batch_size]
            outcomes.append((request, response))
            start = end
        return outcomes

    def _to_client(self, spec: TensorSpec | None, array: np.ndarray) -> np.ndarray:
        if spec is None or not spec.reshaped:
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
                    f"{LOST_BATCH}, so it needs max_batch_size: 0"
                )


def _may_be_lent(array: np.ndarray, inputs: Inputs) -> bool:
    """Whether an output may be one of the inputs or a view of one: it is not where other than Python's objects own it."""
    base = array.base
    if base is not None and not isinstance(base, _LENDERS):
        return False
    return any(np.may_share_memory(array, lent) for lent in inputs.values())
