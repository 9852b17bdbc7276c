"""Business logic scripting: inferences that a worker runs on other models of this server."""

import json
import threading
from collections import deque
from collections.abc import Callable
from typing import Protocol

import numpy as np

from tcli_server.backends import Host
from tcli_server.backends.python.stub.memory import FullError, ReadMemory, WrittenMemory
from tcli_server.backends.python.stub.wire import Message
from tcli_server.backends.python.tensors import Description, read, write
from tcli_server.errors import ErrorKind, InternalError, ServerError, UnavailableError
from tcli_server.request import InferenceRequest, InferenceResponse, RequestTrace
from tcli_server.window import ResponseWindow

_CODES = {kind: code for code, kind in enumerate(ErrorKind)}


class Asking(Protocol):
    """A process that asks: a worker, or one that its model has forked.

    Attributes:
        requests: memory that the server writes.
        responses: memory that the process writes.
    """

    requests: WrittenMemory
    responses: ReadMemory

    def tell(self, message: Message) -> None:
        """Tell it something, without waiting; what is gone hears nothing."""


def _untraced(_: int) -> RequestTrace | None:
    """Where nobody knows the process's requests."""
    return None


class Inferences:
    """Those of one process that are under way, by its numbers.

    Args:
        trace_of: the trace of a request that the process works on, by its number.

    Attributes:
        handlers: by the kinds of the worker's messages.
    """

    def __init__(self, host: Host | None, trace_of: Callable[[int], RequestTrace | None] = _untraced) -> None:
        self._host = host
        self._trace_of = trace_of
        self._under_way: dict[int, _Inference] = {}
        self.handlers: dict[str, Callable[[Asking, Message], None]] = {
            "infer": self._infer,
            "infer_next": self._next,
            "infer_cancel": self._cancel,
        }

    def close(self) -> None:
        """The worker is gone: nobody waits for them."""
        for inference in list(self._under_way.values()):
            inference.request.cancel()
        self._under_way.clear()

    def _infer(self, process: Asking, message: Message) -> None:
        number = message["inference"]
        inference = _Inference(process, message, lambda: self._under_way.pop(number, None))
        above = self._trace_of(message["trace"]) if message["trace"] else None
        if above is not None:
            inference.request.trace = above.child()
        self._under_way[number] = inference
        inference.answer_next(message["call"])
        if self._host is None:
            inference.request.fail(UnavailableError("BLS is not supported here: no server runs this model"))
        else:
            self._host.submit(inference.request)

    def _next(self, process: Asking, message: Message) -> None:
        inference = self._under_way.get(message["inference"])
        if inference is None:
            process.tell({"call": message["call"], "error": "this inference is over"})
        else:
            inference.answer_next(message["call"])

    def _cancel(self, _: Asking, message: Message) -> None:
        inference = self._under_way.get(message["inference"])
        if inference is None:
            return
        if message["drop"]:
            del self._under_way[message["inference"]]
            inference.request.cancel()
        else:
            inference.request.stop()


class _Inference:
    """One of them: its responses wait until the worker asks for the next."""

    def __init__(self, process: Asking, message: Message, over: Callable[[], object]) -> None:
        self._process = process
        self._over = over
        self._responses: deque[InferenceResponse] = deque()
        self._asked: deque[int] = deque()
        self._lock = threading.Lock()
        flags = message["flags"]
        self.request = InferenceRequest(
            message["model"],
            read(message["inputs"], process.responses),
            tuple(message["outputs"]),
            message["version"],
            message["id"],
            json.loads(message["parameters"]),
            reply=self._reply,
            timeout_us=message["timeout"],
            sequence_id=message["correlation_id"],
            sequence_start=bool(flags & 1),
            sequence_end=bool(flags & 2),
            takes_many=message["decoupled"],
            window=ResponseWindow(),
        )

    def answer_next(self, call: int) -> None:
        """Answer this call of the worker with the next response."""
        with self._lock:
            self._asked.append(call)
        self._pair()

    def _reply(self, response: InferenceResponse) -> None:
        window = self.request.window
        assert window is not None
        window.add(_size(response))
        with self._lock:
            self._responses.append(response)
        self._pair()

    def _pair(self) -> None:
        while True:
            with self._lock:
                if not (self._asked and self._responses):
                    return
                call, response = self._asked.popleft(), self._responses.popleft()
            self._tell(call, response)
            window = self.request.window
            assert window is not None
            window.take(_size(response))
            if response.final:
                self._over()

    def _tell(self, call: int, response: InferenceResponse) -> None:
        error: ServerError | None = response.error
        block = [0, 0]
        descriptions: list[list[Description]] = [[]]
        if error is None:
            try:
                block, descriptions = write([response.outputs], self._process.requests)
            except (FullError, OSError) as full:  # or the worker is gone, and nobody hears this
                error = InternalError(str(full))
        refusal = None if error is None else [_CODES[error.kind], str(error)]
        answer = [descriptions[0], refusal, response.parameters]
        self._process.tell({"call": call, "answer": answer, "block": block, "final": response.final})


def _size(response: InferenceResponse) -> int:
    return sum(_bytes(array) for array in response.outputs.values())


def _bytes(array: np.ndarray) -> int:
    return array.nbytes
