"""`InferenceRequest`: what a model is asked, and what it asks other models (business logic scripting)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

from .errors import TritonModelException
from .inference import Inference, begin_inference
from .preferred_memory import PreferredMemory
from .responses import InferenceResponse, InferenceResponseSender, Parameters, checked_parameters
from .tensor import Tensor
from .trace import InferenceTrace

SEQUENCE_START = 1
SEQUENCE_END = 2
RELEASE_ALL = 1
RELEASE_RESCHEDULE = 2


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
        preferred_memory: PreferredMemory | None = None,
        trace: InferenceTrace | None = None,
        parameters: Parameters | None = None,
    ) -> None:
        if inputs is None or requested_output_names is None or model_name is None:
            raise TypeError("InferenceRequest needs inputs, requested_output_names and model_name")
        if request_id is None or flags is None or timeout is None:
            raise TypeError("InferenceRequest takes no None but for parameters")
        if timeout < 0:
            raise TypeError(f"timeout: expected microseconds, 0 for none, found {timeout}")
        if not model_name:
            raise TritonModelException("InferenceRequest needs a model_name")
        if isinstance(correlation_id, bool) or not isinstance(correlation_id, (int, str)):
            raise TritonModelException("Correlation ID must be integer or string")
        self._inputs = list(inputs)
        if any(tensor is None for tensor in self._inputs):
            raise TritonModelException("Input tensor should not be empty.")
        self._outputs = list(requested_output_names)
        if not all(self._outputs):
            raise TritonModelException("Requested output name should not be empty.")
        self._id = str(request_id)
        self._correlation_id = correlation_id
        self._model_name = model_name
        self._model_version = int(model_version)
        self._flags = int(flags)
        self._timeout = int(timeout)
        self._preferred_memory = preferred_memory
        self._trace = trace
        self._parameters = json.dumps(checked_parameters(parameters))
        self._sender: InferenceResponseSender | None = None
        self._release_flags = RELEASE_ALL

    @classmethod
    def _received(cls, fields: list[Any], inputs: list[Tensor], sender: InferenceResponseSender) -> InferenceRequest:
        request = cls.__new__(cls)
        _, request._id, request._correlation_id, request._flags, request._timeout, parameters, outputs, _ = fields
        request._inputs = inputs
        request._outputs = outputs
        request._parameters = parameters
        request._sender = sender
        request._release_flags = RELEASE_ALL
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
        trace: InferenceTrace | None = getattr(self, "_trace", None)
        return InferenceTrace() if trace is None else trace

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

    async def async_exec(self, decoupled: bool = False) -> InferenceResponse | Inference:
        """As `exec`, for models whose `execute` is a coroutine; other coroutines run meanwhile."""
        return await asyncio.get_running_loop().run_in_executor(None, self.exec, decoupled)

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
        }
