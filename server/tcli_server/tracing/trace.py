"""One client's request that is traced, with all requests that follow from it."""

import contextlib
import itertools
import threading
import time
from collections.abc import Callable, Iterator, Mapping

import numpy as np

from tcli_server.observability.log import LOG
from tcli_server.request import InferenceRequest, InferenceResponse
from tcli_server.tracing import tensors
from tcli_server.tracing.context import TraceContext
from tcli_server.tracing.options import TraceLevel, TraceSettings
from tcli_server.tracing.tensors import TracedTensor

_MOST_REQUESTS = 256
"""Requests of one trace: a model may ask others for as long as it likes."""

_LONGEST_ID = 1024
"""Characters of a request's id that are kept: clients choose them, and thousands may wait to be written."""

_MOST_STAMPS = 1024
"""Of the front end of one trace: a stream has two for each of its responses."""

_NUMBERS = itertools.count(1)

Stamps = list[tuple[str, int]]
"""What happened and when, `time.monotonic_ns()`; names are Triton's."""


class Trace:
    """It is handed on as soon as the front end has answered and all its requests have ended.

    Args:
        settings: by which it was chosen.
        finished: called once then, from any thread; must not block or raise.
        context: of the client's span, or of a new trace's beginning; None where nobody needs one.
        parent: the client's span, of which this is a part.

    Attributes:
        stamps: those of the front end.
        requests: those that have ended.
        tensor_bytes: what the tensors of the requests take.
    """

    def __init__(
        self,
        settings: TraceSettings,
        context: TraceContext | None,
        parent: TraceContext | None,
        finished: Callable[["Trace"], None],
    ) -> None:
        self.log_frequency = settings.log_frequency
        self.timed = TraceLevel.TIMESTAMPS in settings.level
        self.with_tensors = context is None and TraceLevel.TENSORS in settings.level  # spans hold none
        self.context = context
        self.parent = parent
        self.stamps: Stamps = []
        self.requests: list[TracedRequest] = []
        self.tensor_bytes = 0
        self.began_ns = time.monotonic_ns()
        self.end_ns = 0
        self._finished = finished
        self._lock = threading.Lock()
        self._begun = 0
        self._open = 1  # the front end
        self._closed = False

    def begin(self, parent: "TracedRequest | None") -> "TracedRequest | None":
        """A request that belongs to this; None if it comes too late, or is one too many."""
        with self._lock:
            if not self._open or self._begun >= _MOST_REQUESTS:
                return None
            self._open += 1
            self._begun += 1
        return TracedRequest(self, parent)

    def stamp(self, name: str, ns: int = 0) -> None:
        """Something happened in the front end: now, unless it is said when."""
        if self.timed and len(self.stamps) < _MOST_STAMPS:
            self.stamps.append((name, ns or time.monotonic_ns()))

    @contextlib.contextmanager
    def sending(self, protocol: str, last: bool = True) -> Iterator[None]:
        """Around the sending of a response; the last one ends the front end's part."""
        self.stamp(f"{protocol}_SEND_START")
        try:
            yield
        finally:
            self.stamp(f"{protocol}_SEND_END")
            if last:
                self.close()

    def copy(self, activity: str, arrays: Mapping[str, np.ndarray]) -> list[TracedTensor]:
        """Tensors as they are now, as far as there is room for them."""
        copies = []
        with self._lock:
            for name, array in arrays.items():
                room = tensors.MOST_BYTES - self.tensor_bytes
                if room < tensors.OVERHEAD:
                    break
                copy, size = tensors.copied(activity, name, array, room)
                copies.append(copy)
                self.tensor_bytes += size
        return copies

    def close(self) -> None:
        """The front end has nothing more to say; a second call changes nothing."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        self._leave()

    def end(self, traced: "TracedRequest") -> None:
        """One of the requests has ended."""
        self.requests.append(traced)
        self._leave()

    def _leave(self) -> None:
        with self._lock:
            self._open -= 1
            if self._open:
                return
        self.end_ns = time.monotonic_ns()
        self._finished(self)


class TracedRequest:
    """One of the requests of a trace; as `tcli_server.request.RequestTrace`.

    Attributes:
        id: unique in this process.
        parent_id: the request that it follows from, 0 for the client's own.
        context: of its own span.
        model_version: -1 where none has answered, and the client has named none.
        failure: why it failed, empty if it did not.
        tensors: what it was asked with, and what was answered.
    """

    def __init__(self, trace: Trace, parent: "TracedRequest | None") -> None:
        self.id = next(_NUMBERS)
        self.parent_id = 0 if parent is None else parent.id
        above: TraceContext | None = trace.context if parent is None else parent.context
        self.parent_context = above
        self.context: TraceContext | None = None if above is None else above.child()
        self.model_name = self.request_id = self.failure = ""
        self.model_version = -1
        self.stamps: Stamps = []
        self.tensors: list[TracedTensor] = []
        self._asked = False  # its inputs are copied
        self._trace = trace
        self._composed = False

    @property
    def trace(self) -> Trace:
        """What it is part of."""
        return self._trace

    @property
    def carrier(self) -> str:
        """As `RequestTrace.carrier`."""
        return "" if self.context is None else self.context.to_json()

    def step(self) -> "TracedRequest | None":
        """As `RequestTrace.step`."""
        self._composed = True
        return self.child()

    def child(self) -> "TracedRequest | None":
        """As `RequestTrace.child`."""
        return self._trace.begin(self)

    def respond(self, request: InferenceRequest, response: InferenceResponse) -> None:
        """As `RequestTrace.respond`."""
        if not self.parent_id:
            self._trace.stamp("INFER_RESPONSE_COMPLETE")
        self._note_version(response.model_version)
        self._note_tensors(request, response)

    def _note_version(self, version: str) -> None:
        if version.isdecimal():
            self.model_version = int(version)

    def _note_tensors(self, request: InferenceRequest, response: InferenceResponse) -> None:
        if not self._trace.with_tensors or request.cancelled:  # the loop cancels all of a client's at once
            return
        try:
            if not self._asked and request.queue_ns:
                self._asked = True
                self.tensors += self._trace.copy("TENSOR_QUEUE_INPUT", request.inputs)
            self.tensors += self._trace.copy("TENSOR_BACKEND_OUTPUT", response.outputs)
        except Exception:  # the request has nothing to do with it
            LOG.exception("tensors of a request to '%s' could not be traced", request.model_name)

    def end(self, request: InferenceRequest, response: InferenceResponse, end_ns: int) -> None:
        """As `RequestTrace.end`."""
        self.model_name, self.request_id = request.model_name, request.id[:_LONGEST_ID]
        self._note_version(response.model_version or request.model_version)
        self.failure = "" if response.error is None else str(response.error)[:_LONGEST_ID]
        stamps = [
            ("REQUEST_START", request.arrival_ns),
            ("QUEUE_START", request.queue_ns),
        ]
        if not self._composed:  # an ensemble itself computes nothing
            stamps += [
                ("COMPUTE_START", request.compute_start_ns),
                ("COMPUTE_INPUT_END", request.compute_input_end_ns),
                ("COMPUTE_OUTPUT_START", request.compute_output_start_ns),
                ("COMPUTE_END", request.compute_end_ns),
            ]
        stamps.append(("REQUEST_END", end_ns))
        self.stamps = [stamp for stamp in stamps if stamp[1]] if self._trace.timed else []
        self._note_tensors(request, response)
        if not self.parent_id:
            self._trace.stamp("INFER_RESPONSE_COMPLETE", end_ns)
        self._trace.end(self)
