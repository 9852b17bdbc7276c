"""One request on its way through the steps of an ensemble."""

import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Protocol

import numpy as np

from tcli_server.errors import InternalError, InvalidArgumentError, ServerError, UnavailableError, error_of_kind
from tcli_server.observability.log import LOG
from tcli_server.observability.statistics import InferenceStatistics
from tcli_server.request import InferenceRequest, InferenceResponse, Inputs, Parameter
from tcli_server.scheduling import Later
from tcli_server.scheduling.ensembles.graph import Plan, Step
from tcli_server.scheduling.ensembles.shapes import passed_on
from tcli_server.spec import ModelSpec, TensorSpec


class Member(Protocol):
    """A model that takes part in an ensemble."""

    spec: ModelSpec

    def lease(self) -> bool:
        """Have the model take `leased` requests until `give_back`, even if it is stopped meanwhile; False if it is."""

    def give_back(self) -> None:
        """End a lease."""

    def submit(self, request: InferenceRequest, later: Later | None = None, *, leased: bool = False) -> bool:
        """Take over a request; raises InvalidArgumentError where it does not fit."""

    def abandon(self, sequence_id: int | str, connection: object = None) -> None:
        """As `Scheduler.abandon`."""


class Run:
    """Starts each step as soon as its inputs are there, and answers when nothing is left to run.

    It is the request's `queue`: when the request ends otherwise, for example because its client is gone, the steps that
    run are cancelled.

    Args:
        members: step -> its model, leased; given back at the end.
        done: called once, when nothing of it runs any more.
    """

    def __init__(
        self,
        request: InferenceRequest,
        spec: ModelSpec,
        plan: Plan,
        members: Mapping[Step, Member],
        statistics: InferenceStatistics,
        done: Callable[[], None],
    ) -> None:
        self._request = request
        self._spec = spec
        self._plan = plan
        self._members = members
        self._statistics = statistics
        self._done = done
        self._lock = threading.Lock()
        self._waits = dict(plan.waits)
        self._ready = [step for step in plan.steps if not plan.waits[step]]
        self._unstarted = set(plan.steps)
        self._running: dict[Step, InferenceRequest] = {}
        self._readers = dict(plan.readers)
        self._kept = frozenset(request.outputs or spec.outputs)
        self._batches = bool(spec.max_batch_size)
        self._tensors: Inputs = {}
        self._is_batch: dict[str, bool] = {}  # ensemble tensor -> whether its first dimension is a batch
        self._error: ServerError | None = None
        self._going = False  # a thread is about to start steps
        self._given_up = False
        self._over = False
        self._times = [0, 0, 0]  # nanoseconds that all steps together took: inputs, the models, outputs

    def begin(self, later: Later | None) -> None:
        """Start the first steps."""
        inputs = self._request.begin()
        self._request.queue = self
        request = self._request
        request.queue_ns = request.compute_start_ns = time.monotonic_ns()
        if inputs is None or request.ended:
            self._given_up = True
        else:
            self._tensors.update({name: self._inside(self._spec.inputs[name], inputs[name]) for name in inputs})
            self._is_batch.update(dict.fromkeys(inputs, self._batches))
        self._go_on(later)

    def release(self, request: InferenceRequest) -> None:
        """As `Holder.release`: the request has ended, perhaps before its steps have."""
        request.queue = None
        with self._lock:
            gone = not self._over
            self._given_up = True
            running, unstarted = list(self._running.values()), list(self._unstarted)
        for inner in running:
            inner.cancel()
        if gone and request.sequence_id and not request.sequence_start:
            for step in unstarted:  # there, too, nobody will go on with the sequence
                self._members[step].abandon(request.sequence_id, request.connection)

    # --- steps ---

    def _go_on(self, later: Later | None) -> None:
        """Start what can start; end the request if nothing runs any more.

        A step may be answered before its submission returns. Whoever hears of that while somebody is here leaves what
        follows to him, as calls within calls would run out of stack.
        """
        with self._lock:
            if self._going:
                return
            self._going = True
        while True:
            with self._lock:
                ready, self._ready = self._ready, []
                if self._error is not None or self._given_up:
                    ready = []
                started = [(step, self._made(step)) for step in ready]
                self._running.update(started)
                if not started:
                    self._going = False
                    over = not self._running and not self._over
                    self._over = self._over or over
                    break
            for step, inner in started:
                self._submit(step, inner, later)
        if over:
            self._end()

    def _made(self, step: Step) -> InferenceRequest:
        self._unstarted.discard(step)
        spec = self._members[step].spec
        inputs: Inputs = {}
        for name, tensor in step.inputs.items():
            array = self._tensors.get(tensor)
            if array is not None:  # else it was left out, which the model may or may not allow
                wanted = spec.inputs.get(name)
                dims = wanted.dims if wanted is not None else array.shape
                inputs[name] = passed_on(array, self._is_batch[tensor], bool(spec.max_batch_size), dims)
        for tensor in set(step.inputs.values()):
            self._readers[tensor] -= 1
            if not self._readers[tensor] and tensor not in self._kept:
                self._tensors.pop(tensor, None)
        outer = self._request
        return InferenceRequest(
            step.model,
            inputs,
            tuple(name for name, tensor in step.outputs.items() if tensor in self._kept or self._readers.get(tensor)),
            step.version,
            outer.id,
            dict(outer.parameters),
            partial(self._answered, step),
            priority=outer.priority,
            timeout_us=self._time_left_us(),
            sequence_id=outer.sequence_id,
            sequence_start=outer.sequence_start,
            sequence_end=outer.sequence_end,
            connection=outer.connection,
            arrival_ns=time.monotonic_ns(),
        )

    def _time_left_us(self) -> int:
        """What is left of the request's timeout; Triton gives every step all of it anew."""
        timeout_us = self._request.timeout_us
        if not timeout_us:
            return 0
        return max(1, timeout_us - (time.monotonic_ns() - self._request.arrival_ns) // 1000)

    def _submit(self, step: Step, inner: InferenceRequest, later: Later | None) -> None:
        try:
            if not self._members[step].submit(inner, later, leased=True):
                raise UnavailableError(f"model '{step.model}' has stopped")
        except ServerError as error:
            inner.fail(error)
        except Exception as error:
            LOG.exception("a step of ensemble '%s' could not be submitted", self._spec.name)
            inner.fail(InternalError(f"{type(error).__name__}: {error}"))
        if self._request.ended:  # its end did not see this step yet
            inner.cancel()

    def _answered(self, step: Step, response: InferenceResponse) -> None:
        batches = bool(self._members[step].spec.max_batch_size)
        with self._lock:
            inner = self._running.pop(step)
            if response.error is not None:
                self._error = self._error or error_of_kind(
                    response.error.kind,
                    f"in ensemble '{self._spec.name}', {response.error} (step {step.index + 1}, model '{step.model}')",
                )
            else:
                for index, (begin, end) in enumerate(
                    (
                        (inner.compute_start_ns, inner.compute_input_end_ns),
                        (inner.compute_input_end_ns, inner.compute_output_start_ns),
                        (inner.compute_output_start_ns, inner.compute_end_ns),
                    )
                ):
                    self._times[index] += end - begin
                for name, array in response.outputs.items():
                    tensor = step.outputs.get(name)
                    if tensor is not None:
                        self._tensors[tensor] = array
                        self._is_batch[tensor] = batches
                for follower in self._plan.followers[step]:
                    self._waits[follower] -= 1
                    if not self._waits[follower]:
                        self._ready.append(follower)
        self._go_on(None)

    # --- the end ---

    def _end(self) -> None:
        request = self._request
        outputs = {} if self._error is not None or request.ended else self._outputs()
        self._tensors.clear()
        for member in self._members.values():
            member.give_back()
        if self._error is not None:
            request.fail(self._error)
        elif not request.ended:
            self._stamp()
            if outputs or not self._kept:
                sequence: dict[str, Parameter] = {  # Triton's ensembles answer with these, in sequences or not
                    "sequence_id": request.sequence_id,
                    "sequence_start": request.sequence_start,
                    "sequence_end": request.sequence_end,
                }
                request.send(
                    InferenceResponse(
                        request.model_name, self._spec.version, request.id, outputs, sequence, spec=self._spec
                    )
                )
            else:
                request.fail(
                    InvalidArgumentError(
                        f"in ensemble '{self._spec.name}', unexpected deadlock, at least one output is not set while no "
                        "more ensemble steps can be made"
                    )
                )
        self._done()

    def _outputs(self) -> Inputs:
        outputs: Inputs = {}
        for name, spec in self._spec.outputs.items():
            if name in self._kept and name in self._tensors:
                array = passed_on(self._tensors[name], self._is_batch[name], self._batches, spec.backend_dims)
                outputs[name] = self._outside(spec, array)
        return outputs

    def _inside(self, spec: TensorSpec, array: np.ndarray) -> np.ndarray:
        """An input of the ensemble in the shape that `reshape` gives it."""
        if not spec.reshaped:
            return array
        batch = array.shape[: self._batches]
        return array.reshape((*batch, *spec.to_backend(array.shape[len(batch) :])))

    def _outside(self, spec: TensorSpec, array: np.ndarray) -> np.ndarray:
        """An output of the ensemble in the shape that clients see."""
        if not spec.reshaped:
            return array
        batch = array.shape[: self._batches]
        return array.reshape((*batch, *spec.to_client(array.shape[len(batch) :])))

    def _stamp(self) -> None:
        """Charge the request what its steps took together, as Triton does; that may be more than passed."""
        request, times = self._request, self._times
        request.compute_input_end_ns = request.compute_start_ns + times[0]
        request.compute_output_start_ns = request.compute_input_end_ns + times[1]
        request.compute_end_ns = request.compute_output_start_ns + times[2]
        self._statistics.record_execution(request.batch_size, times[0], times[1], times[2])
