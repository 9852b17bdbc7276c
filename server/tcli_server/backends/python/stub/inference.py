"""Inferences that a model runs on other models: its responses, one by one."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from .errors import TritonError, TritonModelException
from .link import checked, present, server
from .responses import InferenceResponse
from .tensor import Tensor
from .tensors import read, write
from .wire import Message

_NUMBERS = itertools.count(1)
_NOTHING = np.empty(0, np.uint8)


class Inference:
    """An iterator over the responses (Triton's ResponseIterator); at its end it can be walked again from the start."""

    def __init__(self, number: int, first: Message) -> None:
        self._number = number
        self._over = bool(first["final"])
        self._past = [_response(first)]  # at once: it knows when its memory is not needed any more, asked for or not
        self._next = 0

    def __iter__(self) -> Inference:
        self._next = 0
        return self

    def __next__(self) -> InferenceResponse:
        if self._next < len(self._past):
            self._next += 1
            return self._past[self._next - 1]
        if self._over:
            raise StopIteration
        answer = checked(server().ask("infer_next", {"inference": self._number}))
        self._over = bool(answer["final"])
        response = _response(answer)
        self._past.append(response)
        self._next += 1
        return response

    def cancel(self) -> None:
        """Say that no more responses are wanted; the model that is asked decides how it ends, and may go on."""
        if not self._over:
            server().tell("infer_cancel", {"inference": self._number, "drop": False})

    def only(self) -> InferenceResponse:
        """The one response of a model that is not decoupled."""
        return next(self)

    def __del__(self) -> None:
        if not self._over:
            link = present()
            if link is not None:
                link.tell_later("infer_cancel", {"inference": self._number, "drop": True})


def begin_inference(fields: dict[str, Any], inputs: Sequence[Tensor], decoupled: bool) -> Inference:
    """Ask the server for an inference, and wait for its first response.

    Raises:
        TritonModelException: not now.
    """
    link = server()
    if not link.can_infer:
        raise TritonModelException("BLS is only supported during the 'execute' function.")
    number = next(_NUMBERS)
    block, descriptions = write(inputs, link.responses)
    try:
        first = link.ask("infer", {**fields, "inference": number, "decoupled": decoupled, "inputs": descriptions})
    finally:
        if block >= 0:
            link.responses.give_back(block)
    return Inference(number, first)


def _response(answer: Message) -> InferenceResponse:
    descriptions, error, parameters = answer["answer"]
    if error is not None:
        return InferenceResponse(error=TritonError(error[1], error[0]))
    block, size = answer["block"]
    root = server().requests.watched(block, size) if size else _NOTHING
    return InferenceResponse(read(descriptions, block, root), parameters=parameters)
