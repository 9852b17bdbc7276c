"""What travels through the server: one inference asked, what is answered to it, and its one end."""

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

import numpy as np

from tcli_server.errors import CancelledError, ServerError
from tcli_server.observability.log import LOG
from tcli_server.window import ResponseWindow

if TYPE_CHECKING:
    from tcli_server.spec import ModelSpec

Parameter = bool | int | float | str
Inputs = dict[str, np.ndarray]
Reply = Callable[["InferenceResponse"], None]

_RESPONSE_OVERHEAD = 1 << 10
"""Bytes of a response beside its tensors: without them, tiny ones could wait by the hundred thousand."""


class FailureReason(StrEnum):
    """Why a request failed, as Triton's `nv_inference_request_failure` labels it."""

    REJECTED = "REJECTED"
    CANCELED = "CANCELED"
    BACKEND = "BACKEND"
    OTHER = "OTHER"


class Observer(Protocol):
    """Counts the ends of requests; called once for each, from any thread."""

    def success(self, request: "InferenceRequest", end_ns: int) -> None:
        """The request was answered."""

    def failure(self, request: "InferenceRequest", reason: FailureReason, end_ns: int) -> None:
        """The request ended with an error."""


class Step(Protocol):
    """What a sequence adds to one of its requests on the way through an instance.

    Attributes:
        inputs: all that the model gets: the request's own, controls and states. They count even if the request ends
            meanwhile, as its row in the batch is its place in the model.
    """

    inputs: Inputs

    def keep(self, states: Inputs) -> None:
        """Take the values of the state outputs, by their names."""

    def again(self) -> bool:
        """The model wants the request once more; False if the model's configuration does not allow that."""

    def filler(self) -> Inputs | None:
        """What the model gets in this row instead if the request is refused; None for no row at all."""


class RequestTrace(Protocol):
    """Notes what happens to a request that was chosen to be traced."""

    @property
    def carrier(self) -> str:
        """The request's W3C context as JSON text, for programs that trace on; empty where nobody needs one."""

    def step(self) -> "RequestTrace | None":
        """Of a request that an ensemble makes of this one; None if that is not to be traced."""

    def child(self) -> "RequestTrace | None":
        """Of a request that a model asks while it works on this one; None if that is not to be traced."""

    def respond(self, request: "InferenceRequest", response: "InferenceResponse") -> None:
        """The request has a response that is not its last; called for each, in their order; must not raise."""

    def end(self, request: "InferenceRequest", response: "InferenceResponse", end_ns: int) -> None:
        """The request has ended; called once."""


class Holder(Protocol):
    """Holds something for a request, which ends with it: a place in a queue, a share of the memory, a model's attention."""

    def release(self, request: "InferenceRequest") -> None:
        """The request has ended; must not block or raise."""


class Work(Holder, Protocol):
    """Computes a request, and can be asked to stop."""

    def stop(self) -> None:
        """Nobody wants more of it; what comes all the same is delivered."""


@dataclass(slots=True, eq=False)
class InferenceResponse:
    """One response to a request: outputs by name in the model's order, or an error.

    Attributes:
        final: False only where a decoupled model has more responses to come.
        empty: it only says that no more responses come (Triton's empty final response).
        spec: the model that answered, for what a protocol still has to look up (labels); None for an error.
        kind: all responses with the same one differ only in what the model's name is, the id and the tensors' bytes, which lie in a
            row and are few; None where nobody compared.
    """

    model_name: str
    model_version: str
    id: str = ""
    outputs: dict[str, np.ndarray] = field(default_factory=dict)
    parameters: dict[str, Parameter] = field(default_factory=dict)
    error: ServerError | None = None
    final: bool = True
    spec: "ModelSpec | None" = None
    empty: bool = False
    kind: object = None

    @property
    def size(self) -> int:
        """Bytes that it takes while it waits for its client, for a `ResponseWindow`."""
        size = _RESPONSE_OVERHEAD
        for array in self.outputs.values():
            size += array.nbytes
            if array.dtype.hasobject:
                size += sum(map(len, array.reshape(-1).tolist()))
        return size


def _no_reply(_: InferenceResponse) -> None:
    """The reply of a request whose caller does not want to know."""


@dataclass(slots=True, eq=False)
class InferenceRequest:
    """One inference request, which ends exactly once: by its last response, an error or a cancellation.

    `send`, `fail` and `cancel` may be called from any thread and as often as anybody likes; what comes after the end
    is dropped. No lock is held while `reply`, `observer` or a holder runs, and none of them can disturb the caller.

    Attributes:
        inputs: name -> array; shapes as clients see them (with the batch dimension where the model batches, without
            `reshape`). BYTES are object arrays of `bytes`, BF16 are `ml_dtypes.bfloat16` arrays. Empty after the end.
        outputs: names wanted, empty for all.
        model_version: decimal digits, empty for the highest version that is ready.
        reply: called with each response in turn, the last one `final`; from any thread; must not block.
        raw_input: instead of `inputs`, the bytes of the model's only input, whose shape the model tells (Triton's raw
            binary request).
        priority: 1 is the highest, 0 the model's default level.
        timeout_us: microseconds that it may wait in the queue, where the model lets requests say so; 0 for the model's.
        sequence_id: the sequence (Triton's correlation id) that it belongs to; 0 or "" for none. A number and a text that
            look alike are two sequences.
        sequence_start: the first request of its sequence; likewise `sequence_end`.
        connection: what it came on, where that tells when its client is gone; see `Scheduler.abandon`.
        takes_many: the caller takes any number of responses, so a decoupled model may answer.
        window: how far the responses may be ahead of the caller; None where it takes them as they come.
    """

    model_name: str
    inputs: Inputs
    outputs: tuple[str, ...] = ()
    model_version: str = ""
    id: str = ""
    parameters: dict[str, Parameter] = field(default_factory=dict)
    reply: Reply = _no_reply
    raw_input: bytes | memoryview | None = None
    priority: int = 0
    timeout_us: int = 0
    sequence_id: int | str = 0
    sequence_start: bool = False
    sequence_end: bool = False
    connection: object = None
    takes_many: bool = False
    window: ResponseWindow | None = None

    # Set on the way. Only requests of equal `shape_key` can share a batch.
    kind: object = None
    """All requests with the same one have inputs of the same names, types and shapes, and want the same outputs; None where nobody
    compared."""
    batch_size: int = 1
    shape_key: tuple[tuple[str, tuple[int, ...]], ...] = ()
    byte_size: int = 0
    step: Step | None = None
    deadline_ns: int = 0
    """When it may wait in the queue no longer, 0 for never."""

    # Stamps, time.monotonic_ns(): accepted, queued, taken by an instance, inputs ready, model ran, outputs ready.
    arrival_ns: int = 0
    queue_ns: int = 0
    compute_start_ns: int = 0
    compute_input_end_ns: int = 0
    compute_output_start_ns: int = 0
    compute_end_ns: int = 0

    observer: Observer | None = None
    trace: RequestTrace | None = None
    queue: Holder | None = None
    """The queue that it waits in; set and cleared by that queue alone."""
    budget: Holder | None = None
    work: Work | None = None
    """What computes it, where that wants to know that nobody needs the answer any more."""

    _lock: threading.Lock = field(default_factory=threading.Lock)
    _ended: bool = False
    _reason: FailureReason | None = None
    _began: bool = False
    _delivering: bool = False
    _outbox: "deque[tuple[InferenceResponse, FailureReason | None]] | None" = None

    @property
    def ended(self) -> bool:
        """Whether the end has come."""
        return self._ended

    @property
    def cancelled(self) -> bool:
        """Whether it has ended because nobody wants the answer any more."""
        return self._reason is FailureReason.CANCELED

    def begin(self, work: Work | None = None) -> Inputs | None:
        """Take the request for execution: its inputs, or None if it has ended while it waited.

        Args:
            work: is told of the request's end.
        """
        with self._lock:
            if self._ended:
                return None
            self._began = True
            self.work = work
            return self.inputs

    def send(self, response: InferenceResponse, final: bool = True) -> bool:
        """Give a response to the caller; with `final` it is the end. False if the request has ended before."""
        response.final = final
        return self._put(response, None)

    def finish(self) -> bool:
        """End without another response, as a decoupled model may. False if the request has ended before."""
        return self.send(InferenceResponse(self.model_name, self.model_version, self.id, empty=True))

    def when_room(self, go_on: Callable[[], None]) -> None:
        """Call `go_on` as soon as the caller can do with another response, or does not want one any more."""
        if self.window is None:
            go_on()
        else:
            self.window.when_room(go_on)

    def fail(self, error: ServerError, reason: FailureReason = FailureReason.OTHER) -> bool:
        """End with an error. False if the request has ended before."""
        return self._put(InferenceResponse(self.model_name, self.model_version, self.id, error=error), reason)

    def cancel(self, only_waiting: bool = False) -> bool:
        """End because nobody wants the answer any more. False if the request has ended before.

        Args:
            only_waiting: leave it alone if an instance runs it already.
        """
        if only_waiting and self._began:
            return False
        return self.fail(CancelledError("Request was cancelled"), FailureReason.CANCELED)

    def stop(self) -> None:
        """Say that no more is wanted, but that what comes all the same is welcome: it is cancelled only if nothing has begun.

        What computes it is told, and decides.
        """
        if self.cancel(only_waiting=True):
            return
        work = self.work
        if work is not None:
            work.stop()
        elif self.queue is not None:  # it waits for several steps, which have nobody else to tell them
            self.cancel()

    def _put(self, response: InferenceResponse, reason: FailureReason | None) -> bool:
        with self._lock:
            if self._ended:
                return False
            self._ended = response.final
            self._reason = reason
            if self._delivering:  # another thread is in the middle of an earlier response: it takes this one too
                self._outbox = self._outbox or deque()
                self._outbox.append((response, reason))
                return True
            self._delivering = True
        if response.final:
            self._end(response, reason)
        else:
            self._deliver(response)
        return True

    def _deliver(self, response: InferenceResponse) -> None:
        """Give out a response that is not the last, and whatever came meanwhile."""
        while True:
            if self.trace is not None:
                self.trace.respond(self, response)
            self._reply(response)
            with self._lock:
                if not self._outbox:
                    self._delivering = False
                    return
                response, reason = self._outbox.popleft()
            if response.final:
                self._end(response, reason)
                return

    def _end(self, response: InferenceResponse, reason: FailureReason | None) -> None:
        """Count, let go of what the request held, and tell the caller."""
        try:
            if self.observer is not None:
                if reason is None:
                    self.observer.success(self, time.monotonic_ns())
                else:
                    self.observer.failure(self, reason, time.monotonic_ns())
            if self.trace is not None:
                self.trace.end(self, response, time.monotonic_ns())
            if self.queue is not None:
                self.queue.release(self)
            if self.budget is not None:
                self.budget.release(self)
            if self.work is not None:
                self.work.release(self)
            if self.window is not None:
                self.window.close()
        except Exception:
            LOG.exception("the end of a request to '%s' could not be recorded", self.model_name)
        self.inputs = {}
        self.raw_input = None
        self.work = None  # it holds the request, and the inputs that were there to compute with
        self._reply(response)
        self.reply = _no_reply  # it may hold the caller, who may hold the request

    def _reply(self, response: InferenceResponse) -> None:
        try:
            self.reply(response)
        except BaseException:  # the caller's own mistake: nobody else may suffer from it
            LOG.exception("the reply of a request to '%s' raised", self.model_name)
