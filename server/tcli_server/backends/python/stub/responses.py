"""`InferenceResponse` and `InferenceResponseSender`: what a model answers, at once or by and by."""

from __future__ import annotations

import json
import threading
from collections.abc import Collection, Sequence
from typing import Any, Union

from .errors import TritonError, TritonModelException
from .link import present, server
from .memory import WrittenMemory
from .tensor import Tensor
from .tensors import write

COMPLETE_FINAL = 1

Parameters = dict[str, Union[bool, int, str]]  # noqa: UP007  (Python 3.9 evaluates it)
Answer = list[Any]
"""[descriptions of the outputs, None or [code, text] of the error, parameters]"""


class InferenceResponse:
    """One response: outputs, or an error, and parameters of its own."""

    __slots__ = ("_error", "_parameters", "_tensors")

    def __init__(
        self,
        output_tensors: Sequence[Tensor] = (),
        error: TritonError | None = None,
        parameters: Parameters | None = None,
    ) -> None:
        if output_tensors is None:
            raise TypeError("output_tensors: expected a list of tensors, found None")
        self._tensors = list(output_tensors)
        for tensor in self._tensors:
            if not isinstance(tensor, Tensor):
                raise TritonModelException(
                    f"Output tensor should not be empty: expected a Tensor, found {type(tensor).__name__}"
                )
        if error is not None and not isinstance(error, TritonError):
            raise TypeError(f"error: expected a TritonError, found {type(error).__name__}")
        self._error = error
        self._parameters = checked_parameters(parameters)

    def output_tensors(self) -> list[Tensor]:
        """The outputs."""
        return self._tensors

    def has_error(self) -> bool:
        """Whether it is an error."""
        return self._error is not None

    def error(self) -> TritonError | None:
        """The error, if it is one."""
        return self._error

    def parameters(self) -> str:
        """Its own parameters, as JSON text."""
        return json.dumps(self._parameters)


Answered = tuple[InferenceResponse, Collection[str]]
"""A response, and the names of the outputs that are wanted."""


def encode(responses: Sequence[Answered], memory: WrittenMemory) -> tuple[int, list[Answer]]:
    """Write the outputs of responses that are wanted into one block: its offset, -1 for none, and the answers.

    Raises:
        FullError: the memory has no room for them.
    """
    wanted: list[Tensor] = []
    counts = []
    for response, names in responses:
        tensors = [] if response._error is not None else [t for t in response._tensors if t.name() in names]
        wanted += tensors
        counts.append(len(tensors))
    block, descriptions = write(wanted, memory)
    answers: list[Answer] = []
    start = 0
    for (response, _), count in zip(responses, counts, strict=True):
        error = response._error
        refusal = None if error is None else [int(error.code()), error.message()]
        answers.append([descriptions[start : start + count], refusal, response._parameters])
        start += count
    return block, answers


class InferenceResponseSender:
    """Answers one request; from any thread, also after `execute` has returned."""

    __slots__ = ("__weakref__", "_closed", "_decoupled", "_lock", "_responded", "_wanted", "cancelled", "number")

    def __init__(self, number: int, wanted: Collection[str], decoupled: bool) -> None:
        self.cancelled = False
        self.number = number
        self._wanted = wanted
        self._decoupled = decoupled
        self._closed = self._responded = False
        self._lock = threading.Lock()

    @property
    def used(self) -> bool:
        """Whether it has answered, or begun to."""
        return self._closed or self._responded

    @property
    def closed(self) -> bool:
        """Whether it has sent the final response."""
        return self._closed

    def is_cancelled(self) -> bool:
        """Whether nobody wants the answer any more."""
        return self.cancelled

    def close(self) -> None:
        """Take nothing more: the request is answered otherwise."""
        self._closed = True

    def __del__(self) -> None:
        if not self._closed and (self._decoupled or not self._responded):  # nobody is left who could answer
            link = present()
            if link is not None:
                link.tell_later("abandoned", {"request": self.number})

    def send(self, response: InferenceResponse | None = None, flags: int = 0) -> None:
        """Send a response, or with COMPLETE_FINAL alone say that there are no more; waits until the client has room for it.

        Raises:
            TritonModelException: not allowed now, or not with these flags.
            TypeError: the response is none.
        """
        self._check(response, flags)
        final = flags == COMPLETE_FINAL
        with self._lock:
            self._check_order(response, final)
            self._closed = final
            self._responded = True
            # Only one response may come of a model that is not decoupled: it is the last one for the server.
            body: dict[str, Any] = {"request": self.number, "final": final or not self._decoupled}
            link = server()
            if response is None:
                if self._decoupled:
                    link.tell("respond", body)
                return
            block, answers = encode([(response, self._wanted)], link.responses)
            body["answer"] = answers[0]
            try:
                link.ask("respond", body)
            finally:
                if block >= 0:
                    link.responses.give_back(block)

    def _check(self, response: InferenceResponse | None, flags: int) -> None:
        if flags not in (0, COMPLETE_FINAL):
            raise TritonModelException(f"Unable to send response. Unsupported flag provided: {flags}")
        if response is None:
            if not flags:
                raise TritonModelException(
                    "Inference Response object must be provided when the response flags is set to zero."
                )
        elif not isinstance(response, InferenceResponse):
            raise TypeError(f"response: expected an InferenceResponse, found {type(response).__name__}")

    def _check_order(self, response: InferenceResponse | None, final: bool) -> None:
        if self._closed:
            raise TritonModelException("Unable to send response. Response sender has been closed.")
        if self._decoupled:
            return
        if response is not None and self._responded:
            raise TritonModelException(
                "Unable to send response. Non-decoupled model cannot send more than one response."
            )
        if response is None and final and not self._responded:
            raise TritonModelException(
                "Unable to send response. Non-decoupled model cannot send complete final before sending a response."
            )


def checked_parameters(parameters: Parameters | None) -> Parameters:
    """Parameters of a request or a response.

    Raises:
        TritonModelException: not a dict of names and texts, whole numbers or booleans.
    """
    if parameters is None:
        return {}
    if not isinstance(parameters, dict):
        raise TritonModelException(f"Expect parameters to be a dict, got {type(parameters)}")
    for name, value in parameters.items():
        if not isinstance(name, str):
            raise TritonModelException(f"Expect parameters keys to have type str, found type {type(name)}: {name!r}")
        if not isinstance(value, (bool, int, str)):
            raise TritonModelException(
                f"Expect parameters values to have type bool/int/str, found type {type(value)} for '{name}'"
            )
        if type(value) is int and not -(2**63) <= value < 2**64:
            raise TritonModelException(f"Expect parameters values to fit into 64 bits, found {value} for '{name}'")
        for text in (name, value):
            if isinstance(text, str) and not text.isascii():
                _check_text(text, name)
    return parameters


def _check_text(text: str, name: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise TritonModelException(f"Parameter {name!r} is no text that UTF-8 has: {error}") from None
