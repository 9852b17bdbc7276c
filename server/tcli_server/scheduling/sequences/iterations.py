"""Iterative sequences: each is one request, which the model gets again and again until it has answered it.

Source: `IterativeSequencer` in Triton's core (sequence_utils.h). Two departures: an id that the server gives is none that a
client uses at the time, and a request that comes again goes before the others of its sequence, not behind them.
"""

import itertools
from collections.abc import Container

from tcli_server.errors import InvalidArgumentError
from tcli_server.request import InferenceRequest


class Iterations:
    """Names requests that do not say which sequence they are, and knows when one comes again too late.

    Args:
        texts: whether the model's ids are texts.
        idle_ns: how long a step may take.
    """

    def __init__(self, model: str, texts: bool, idle_ns: int) -> None:
        self._model = model
        self._texts = texts
        self._idle_ns = idle_ns
        self._numbers = itertools.count(1)

    def name(self, request: InferenceRequest, taken: Container[int | str]) -> None:
        """Make a request without an id a sequence of its own, whose id is not among those that are taken."""
        ids = (str(number) if self._texts else number for number in self._numbers)
        request.sequence_id = next(number for number in ids if number not in taken)
        request.sequence_start, request.sequence_end = True, False

    def lateness(self, request: InferenceRequest, now_ns: int) -> InvalidArgumentError | None:
        """Why a request cannot come again now; None if it can."""
        if now_ns - request.compute_start_ns <= self._idle_ns:
            return None
        return InvalidArgumentError(
            f"inference request for sequence {request.sequence_id} to model '{self._model}' must specify the START flag on "
            f"the first request of the sequence: its last step took longer than max_sequence_idle_microseconds, which is "
            f"{self._idle_ns // 1000}, so the sequence is over. Fix: make that longer than a step takes"
        )
