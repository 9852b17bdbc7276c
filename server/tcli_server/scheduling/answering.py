"""Runs batches on an instance that answers its requests one by one, now or later: what `Executor` is for the others."""

import time
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from tcli_server.backends import Answer, AnsweringInstance, Call, UnservedError
from tcli_server.datatypes import BY_DTYPE
from tcli_server.errors import InternalError, InvalidArgumentError, ServerError, error_of_kind, request_prefix
from tcli_server.observability.log import LOG
from tcli_server.observability.statistics import InferenceStatistics
from tcli_server.request import FailureReason, InferenceRequest, InferenceResponse, Inputs
from tcli_server.scheduling.execution import Executor, Outcome
from tcli_server.spec import ModelSpec, Shape, TensorSpec

_TOGETHER_NS = 1_000_000
"""How long the first of the requests that are handed over together may have to wait for the last of them."""

_MOST_TOGETHER = 32

_TRIES = 2
"""How often requests that are not the reason of its end are given to a model again if none was the reason."""

_LONGEST_REST_SECS = 30.0
"""How long they wait for the model to be there again."""

_NOT_AGAIN = (
    "Request is released with TRITONSERVER_REQUEST_RELEASE_RESCHEDULE, while the model is not configured to handle such a "
    "flag. Fix: set sequence_batching {{ iterative_sequence: true }} in the configuration of model '{}'"
)


class AnsweringExecutor:
    """As `Executor`.

    Args:
        states: outputs that requests of a sequence hand on to the next one; see `Step.keep`.
        alone: no two requests share a batch. Those of a small model go to it together all the same, as handing them over
            one by one would cost more than they do.
        limited: each batch needs a permit of its own.

    Attributes:
        together: requests that may be handed over together.
        answers_later: any thread may `begin` and `finish` a small batch, and need not wait in between.
        open: what the instance was given and nobody has the answer of yet.
    """

    steady_limit = 0
    lanes = 1
    """As `Executor.lanes`."""

    def __init__(
        self,
        spec: ModelSpec,
        instance: AnsweringInstance,
        statistics: InferenceStatistics,
        states: Sequence[str] = (),
        alone: bool = False,
        limited: bool = False,
    ) -> None:
        self.together = 1
        self.answers_later = not limited
        self._unfinished: tuple[list[RequestCall], object] | None = None
        self._most_together = 1 if limited else _MOST_TOGETHER
        self._alone = alone
        self.version = spec.version
        self.open: set[RequestCall] = set()
        self._spec = spec
        self._instance = instance
        self._statistics = statistics
        self._states = states
        self._all_outputs = [*spec.outputs, *states]
        self._odd: set[str] = set()
        self._seen: dict[str, tuple[Shape, np.dtype]] = {}  # of each output, what the last one was like
        self._reshapes_inputs = any(tensor.reshaped for tensor in spec.inputs.values())

    @property
    def fit(self) -> bool:
        """As `AnsweringInstance.fit`."""
        return self._instance.fit

    @property
    def generation(self) -> int:
        """As `AnsweringInstance.generation`."""
        return self._instance.generation

    def await_fit(self, secs: float) -> bool:
        """As `AnsweringInstance.await_fit`."""
        return self._instance.await_fit(secs)

    def run(self, batch: Sequence[InferenceRequest]) -> list[Outcome]:
        """What became of each request that is answered now; raises nothing."""
        calls, order = self._unfinished or (self._calls(batch), None)
        self._unfinished = None
        return self._outcomes(calls, self._execute(calls, order)) if calls else []

    def begin(self, batch: Sequence[InferenceRequest]) -> int | list[Outcome] | None:
        """Give a batch to the model without waiting for it.

        Returns:
            A descriptor that can be read when something of the answer has come, for `finish`; what became of the batch if
            that is known already; None if only `run` can go on.
        """
        calls = self._calls(batch)
        if not calls:
            return []
        try:
            order = self._instance.begin(calls, self._alone)
        except BaseException as error:  # as in `run`
            return self._outcomes(calls, [Answer({}, {}, self._as_error(error))] * len(calls))
        self._unfinished = calls, order
        return self._instance.descriptor(order)

    def finish(self) -> list[Outcome] | bool:
        """What became of the batch that was begun; False if that is still to come, True if `run` has to go on."""
        assert self._unfinished is not None
        calls, order = self._unfinished
        done = self._instance.is_done(order)
        if not done:
            return done is None
        self._unfinished = None
        return self._outcomes(calls, self._try(calls, order))

    def _calls(self, batch: Sequence[InferenceRequest]) -> "list[RequestCall]":
        start_ns = time.monotonic_ns()
        calls = [call for request in batch if (call := self._call(request)) is not None]
        for call in calls:
            call.request.compute_start_ns = call.request.compute_input_end_ns = start_ns
        return calls

    def _outcomes(self, calls: "Sequence[RequestCall]", answers: Sequence[Answer | None]) -> list[Outcome]:
        ran_ns = time.monotonic_ns()
        outcomes = [
            (call.request, self.result(call, answer))
            for call, answer in zip(calls, answers, strict=True)
            if answer is not None
        ]
        end_ns = time.monotonic_ns()
        for call in calls:
            call.request.compute_output_start_ns, call.request.compute_end_ns = ran_ns, end_ns
            if call.again and (refused := self._again(call.request)) is not None:
                outcomes.append(refused)
        self._record(calls, ran_ns - calls[0].request.compute_start_ns, end_ns - ran_ns)
        return outcomes

    def _execute(self, calls: "Sequence[RequestCall]", order: object) -> list[Answer | None]:
        answers: list[Answer | None] = [None] * len(calls)
        places = list(range(len(calls)))
        if calls[0].request.step is not None:  # what it goes on from is gone
            return self._try(calls, order)
        for _ in range(_TRIES + len(calls)):
            left = []
            for place, answer in zip(places, self._try([calls[place] for place in places], order), strict=True):
                answers[place] = answer
                if answer is not None and isinstance(answer.error, UnservedError):
                    left.append(place)
            if not left or not (self._instance.await_fit(_LONGEST_REST_SECS) and self._instance.fit):
                break
            places, order = left, None
        return answers

    def _try(self, calls: "Sequence[RequestCall]", order: object) -> list[Answer | None]:
        try:
            return self._instance.end(self._instance.begin(calls, self._alone) if order is None else order)
        except BaseException as error:  # whatever it is, it must not take the instance's thread down
            return [Answer({}, {}, self._as_error(error))] * len(calls)

    def _record(self, calls: "Sequence[RequestCall]", infer_ns: int, output_ns: int) -> None:
        if not self._alone:
            size = sum([call.request.batch_size for call in calls])
            self._statistics.record_execution(size, 0, infer_ns, output_ns)
            return
        count = len(calls)
        for size, alike in Counter([call.request.batch_size for call in calls]).items():
            self._statistics.record_execution(size, 0, infer_ns // count, output_ns // count, alike)
        took_ns = self._instance.took_ns or infer_ns
        self.together = max(1, min(self._most_together, 2 * self.together, _TOGETHER_NS * count // took_ns))

    def result(self, call: "RequestCall", answer: Answer) -> InferenceResponse | ServerError:
        """What the client gets of an answer."""
        request, spec = call.request, self._spec
        if answer.error is not None:
            return error_of_kind(answer.error.kind, str(answer.error))  # as the model said it: Triton adds nothing
        try:
            outputs = {name: self._to_client(name, array) for name, array in answer.outputs.items()}
        except ServerError as error:
            return error_of_kind(error.kind, f"{request_prefix(request.id)}{error}")
        if self._states and request.step is not None:
            request.step.keep({name: outputs.pop(name) for name in self._states if name in outputs})
        return InferenceResponse(request.model_name, spec.version, request.id, outputs, answer.parameters, spec=spec)

    def _again(self, request: InferenceRequest) -> Outcome | None:
        """The model wants a request once more: None, or the error if it must not."""
        if request.step is None or not request.step.again():
            text = _NOT_AGAIN.format(self._spec.name)
            return request, InvalidArgumentError(f"{request_prefix(request.id)}{text}")
        self._statistics.record_step(request)
        request.compute_end_ns = 0
        return None

    def _call(self, request: InferenceRequest) -> "RequestCall | None":
        call = RequestCall(request, self)
        self.open.add(call)
        inputs = request.begin(call)
        if request.step is not None:
            inputs = request.step.inputs
        if request.ended:  # before it was known that this has to hear of it
            self.open.discard(call)
        if inputs is None:  # it ended in the queue
            return None
        call.inputs = self._to_backend(inputs) if self._reshapes_inputs else inputs
        call.outputs = [*request.outputs, *self._states] if request.outputs else self._all_outputs
        return call

    def _to_backend(self, inputs: Inputs) -> Inputs:
        reshaped = {}
        for name, array in inputs.items():
            spec = self._spec.inputs.get(name)
            if spec is None or not spec.reshaped:
                reshaped[name] = array
            elif self._spec.max_batch_size:
                reshaped[name] = array.reshape(array.shape[0], *spec.to_backend(array.shape[1:]))
            else:
                reshaped[name] = array.reshape(spec.to_backend(array.shape))
        return reshaped

    def _to_client(self, name: str, array: np.ndarray) -> np.ndarray:
        """An output in the client's shape.

        Raises:
            InternalError: it is not of the shape that the configuration wants to reshape.
        """
        spec = self._spec.outputs.get(name)
        if spec is None:  # a state
            return array
        looks = array.shape, array.dtype
        if not spec.reshaped and looks == self._seen.get(name):
            return array
        self._seen[name] = looks
        own = array.shape[1:] if self._spec.max_batch_size else array.shape
        is_odd = array.dtype != spec.dtype or (own != spec.backend_dims and not _fits(own, spec.backend_dims))
        if is_odd and name not in self._odd:
            self._odd.add(name)
            self._warn(spec, array)
        if not spec.reshaped:
            return array
        try:
            shape = spec.to_client(own)
            return array.reshape(array.shape[0], *shape) if self._spec.max_batch_size else array.reshape(shape)
        except ValueError:
            raise InternalError(
                f"output '{name}' of model '{self._spec.name}': the model gave shape {list(array.shape)}, but its "
                f"configuration expects {list(spec.backend_dims)} to reshape to {list(spec.dims)}"
            ) from None

    def _warn(self, spec: TensorSpec, array: np.ndarray) -> None:
        """Say once that an output is not as configured; clients get it all the same, as from Triton."""
        dims = (-1, *spec.backend_dims) if self._spec.max_batch_size else spec.backend_dims
        LOG.warning(
            "output '%s' of model '%s': the model gave %s %s, its configuration says %s %s; fix the one or the other",
            spec.name,
            self._spec.name,
            BY_DTYPE[array.dtype].name,
            list(array.shape),
            spec.datatype.name,
            list(dims),
        )

    def _as_error(self, error: BaseException) -> ServerError:
        if isinstance(error, ServerError):
            return error
        LOG.error("model '%s' failed", self._spec.name, exc_info=error)
        return InternalError(f"{type(error).__name__}: {error}")


def _fits(shape: Shape, dims: Shape) -> bool:
    return len(shape) == len(dims) and all(dim in (-1, size) for dim, size in zip(dims, shape, strict=True))


AnyExecutor = Executor | AnsweringExecutor
"""What runs the batches of an instance."""


class RequestCall:
    """As `Call`; also the request's holder, which hears of its end."""

    __slots__ = ("_executor", "again", "inputs", "number", "on_end", "outputs", "request")

    def __init__(self, request: InferenceRequest, executor: AnsweringExecutor) -> None:
        self.request = request
        self.inputs: Inputs = {}
        self.outputs: Sequence[str] = ()
        self.on_end: Callable[[Call], None] | None = None
        self.number = 0
        self.again = False
        self._executor = executor

    def respond(self, answer: Answer, final: bool) -> None:
        """As `Call.respond`."""
        result = self._executor.result(self, answer)
        self._stamp()
        if isinstance(result, InferenceResponse):
            self.request.send(result, final)
        elif final:
            self.request.fail(result, FailureReason.BACKEND)
        else:
            response = InferenceResponse(self.request.model_name, self._executor.version, self.request.id, error=result)
            self.request.send(response, final=False)

    def finish(self) -> None:
        """As `Call.finish`."""
        self._stamp()
        self.request.finish()

    def release(self, _: InferenceRequest) -> None:
        """As `Holder.release`."""
        self._executor.open.discard(self)
        if self.on_end is not None:
            self.on_end(self)

    def stop(self) -> None:
        """As `Work.stop`."""
        if self.on_end is not None:
            self.on_end(self)

    def _stamp(self) -> None:
        """A response may come before `execute` has returned; the request's times end with it, then."""
        if not self.request.compute_end_ns:
            self.request.compute_output_start_ns = self.request.compute_end_ns = time.monotonic_ns()
