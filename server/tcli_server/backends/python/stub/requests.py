"""`InferenceRequest`: what a model is asked, and what it asks other models (business logic scripting)."""

from __future__ import annotations

import asyncio
import json
import operator
from collections.abc import Sequence
from typing import Any

from .errors import TritonModelException
from .inference import Inference, begin_inference
from .preferred_memory import TRITONSERVER_MEMORY_CPU, PreferredMemory
from .responses import InferenceResponse, InferenceResponseSender, Parameters, checked_parameters
from .tensor import Tensor
from .texts import text_of
from .trace import InferenceTrace

SEQUENCE_START = 1
SEQUENCE_END = 2
RELEASE_ALL = 1
RELEASE_RESCHEDULE = 2

_ANYWHERE = PreferredMemory(TRITONSERVER_MEMORY_CPU)
_UNTRACED = InferenceTrace()

_KINDS: dict[str, type] = {
    "preferred_memory": PreferredMemory,
    "trace": InferenceTrace,
}
_NUMBERS = ("model_version", "flags", "timeout")
_NEVER_NONE = ("request_id", "correlation_id", "inputs", "requested_output_names", "model_name", *_NUMBERS, *_KINDS)


class InferenceRequest:
    """As Triton's; the getters of its C++ object, see https://github.com/triton-inference-server/python_backend."""

    __slots__ = (
        "_correlation_id",
        "_flags",
        "_id",
        "_inputs",
        "_model_name",
        "_model_version",
        "_outputs",
        "_parameters",
        "_preferred_memory",
        "_release_flags",
        "_sender",
        "_timeout",
        "_trace",
    )

    def __init__(
        self,
        request_id: str = "",
        correlation_id: int | str = 0,
        inputs: Sequence[Tensor] | None = None,
        requested_output_names: Sequence[str] | None = None,
        model_name: str | None = None,
        model_version: int = -1,
        flags: int = 0,
        timeout: int = 0,
        preferred_memory: PreferredMemory = _ANYWHERE,
        trace: InferenceTrace = _UNTRACED,
        parameters: Parameters | None = None,
    ) -> None:
        given = locals()
        for argument in _NEVER_NONE:
            if given[argument] is None:
                raise TypeError(f"InferenceRequest: {argument} must not be None")
        for argument, kind in _KINDS.items():
            if not isinstance(given[argument], kind):
                raise TypeError(f"{argument}: expected {kind.__name__}, found {type(given[argument]).__name__}")
        request_id, model_name = text_of("request_id", request_id), text_of("model_name", model_name)
        version, flags, timeout = (_whole(argument, given[argument]) for argument in _NUMBERS)
        if timeout < 0 or flags < 0:
            raise TypeError(f"timeout and flags: expected no negative numbers, found {timeout} and {flags}")
        if isinstance(correlation_id, bool) or not isinstance(correlation_id, (int, str)):
            raise TritonModelException("Correlation ID must be integer or string")
        self._inputs = _checked_inputs(inputs, request_id, model_name)
        self._outputs = _checked_names(requested_output_names, request_id, model_name)
        self._id = request_id
        self._correlation_id = correlation_id
        self._model_name = model_name
        self._model_version = version
        self._flags = flags
        self._timeout = timeout
        self._preferred_memory = preferred_memory
        self._trace = trace
        self._parameters = json.dumps(checked_parameters(parameters))
        self._sender: InferenceResponseSender | None = None
        self._release_flags = RELEASE_ALL

    @classmethod
    def _received(cls, fields: list[Any], inputs: list[Tensor], sender: InferenceResponseSender) -> InferenceRequest:
        request = cls.__new__(cls)
        number, request._id, request._correlation_id, request._flags, request._timeout, *rest = fields
        parameters, outputs, _, context = rest
        request._inputs = inputs
        request._outputs = outputs
        request._parameters = parameters
        request._sender = sender
        request._release_flags = RELEASE_ALL
        request._trace = _UNTRACED if context is None else InferenceTrace._of_request(context, number)
        return request

    def inputs(self) -> list[Tensor]:
        """The input tensors, in the request's order; optional ones that it leaves out are not among them."""
        return self._inputs

    def request_id(self) -> str:
        """The client's id, empty if it gave none."""
        return self._id

    def correlation_id(self) -> int | str:
        """The sequence that it belongs to, 0 for none."""
        return self._correlation_id

    def requested_output_names(self) -> set[str]:
        """The outputs that the client wants; all of the model's where it named none."""
        return set(self._outputs)

    def flags(self) -> int:
        """TRITONSERVER_REQUEST_FLAG_SEQUENCE_START and .._END."""
        return self._flags

    def set_flags(self, flags: int) -> None:
        """Set the flags of a request to another model."""
        self._flags = int(flags)

    def timeout(self) -> int:
        """Microseconds, 0 for none."""
        return self._timeout

    def parameters(self) -> str:
        """The client's own parameters, as JSON text."""
        return self._parameters

    def trace(self) -> InferenceTrace:
        """The trace that it is part of."""
        return self._trace

    def is_cancelled(self) -> bool:
        """Whether nobody wants the answer any more. The server tells, so asking costs nothing."""
        return self._sender is not None and self._sender.is_cancelled()

    def get_response_sender(self) -> InferenceResponseSender:
        """What answers the request by and by, or from another thread.

        Raises:
            TritonModelException: the model made this request itself.
        """
        if self._sender is None:
            raise TritonModelException(
                "'get_response_sender' function must be called with a valid response sender: this request was made by the "
                "model itself"
            )
        return self._sender

    def set_release_flags(self, flags: int) -> None:
        """RELEASE_ALL, or RELEASE_RESCHEDULE to get the request again; before `execute` returns.

        Raises:
            TritonModelException: other flags.
        """
        if flags not in (RELEASE_ALL, RELEASE_RESCHEDULE):
            raise TritonModelException(f"Unable to set release flags. Unsupported flag provided: {flags}")
        self._release_flags = flags

    # --- business logic scripting ---

    def exec(self, decoupled: bool = False) -> InferenceResponse | Inference:
        """Run this request on the model that it names, and wait.

        Args:
            decoupled: get an iterator over any number of responses.

        Returns:
            The response, with its error where it has one; an iterator of them for `decoupled`.

        Raises:
            TritonModelException: not while `execute` may run.
        """
        inference = begin_inference(self._fields(), self._inputs, decoupled)
        return inference if decoupled else inference.only()

    def async_exec(self, decoupled: bool = False) -> asyncio.Future[InferenceResponse | Inference]:
        """As `exec`, for models whose `execute` is a coroutine; it begins at once, other coroutines run meanwhile.

        Raises:
            RuntimeError: no event loop runs in this thread.
        """
        return asyncio.get_running_loop().run_in_executor(None, self.exec, decoupled)

    def _fields(self) -> dict[str, Any]:
        return {
            "model": self._model_name,
            "version": "" if self._model_version < 0 else str(self._model_version),
            "id": self._id,
            "correlation_id": self._correlation_id,
            "flags": self._flags,
            "timeout": self._timeout,
            "parameters": self._parameters,
            "outputs": self._outputs,
            "trace": self._trace._request,
        }


def _checked_inputs(given: Any, request_id: str, model_name: str) -> list[Tensor]:
    inputs: list[Tensor] = _as_list("inputs", given)
    for tensor in inputs:
        if tensor is None:
            raise TritonModelException(
                f"Input tensor for request with id '{request_id}' and model name '{model_name}' should not be empty."
            )
        if not isinstance(tensor, Tensor):
            raise TypeError(f"inputs: expected a list of Tensor, found {type(tensor).__name__} in it")
    return inputs


def _checked_names(names: Any, request_id: str, model_name: str) -> list[str]:
    names = [text_of("requested_output_names", name) for name in _as_list("requested_output_names", names)]
    for name in names:
        if not name:
            raise TritonModelException(
                f"Requested output name for request with id '{request_id}' and model name '{model_name}' should not be "
                "empty."
            )
    return list(dict.fromkeys(names))


def _whole(argument: str, value: Any) -> int:
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{argument}: expected int, found {type(value).__name__}") from None


def _as_list(argument: str, values: Any) -> list[Any]:
    if isinstance(values, (str, bytes)) or not hasattr(values, "__iter__"):
        raise TypeError(f"{argument}: expected a list, found {type(values).__name__}")
    return list(values)
