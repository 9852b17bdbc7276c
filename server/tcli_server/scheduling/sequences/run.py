"""One sequence from its first request to its last."""

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from tcli_server.request import InferenceRequest, Inputs
from tcli_server.scheduling.sequences.states import States

if TYPE_CHECKING:
    from tcli_server.scheduling.sequences.seat import Seat


class Run:
    """A sequence; the `queue` of its requests that wait.

    Args:
        states: what it starts with.
        forget: told when a request ends while it waits.

    Attributes:
        requests: those that wait, in their order.
        generation: of the instance when its first request ran there; -1 before.
        seat: the instance that it belongs to, None while it waits for a slot.
        row: its slot there.
        running: its request that the instance works on.
        complete: nothing more will come.
        connection: of its last request.
        states: what the next request gets, unless it starts the sequence anew.
        rests_ns: since when it has nothing to do.
        again: the model wants the running request once more.
    """

    __slots__ = (
        "_forget",
        "_initial",
        "again",
        "complete",
        "connection",
        "generation",
        "id",
        "requests",
        "rests_ns",
        "row",
        "running",
        "seat",
        "states",
    )

    def __init__(
        self, sequence_id: int | str, states: States, forget: Callable[["Run", InferenceRequest], None]
    ) -> None:
        self.id = sequence_id
        self._initial = states.initial
        self.requests: deque[InferenceRequest] = deque()
        self.seat: Seat | None = None
        self.row = 0
        self.running: InferenceRequest | None = None
        self.complete = False
        self.generation = -1
        self.connection: object = None
        self.rests_ns = 0
        self.again = False
        self.states = states.initial
        self._forget = forget

    @property
    def ready(self) -> bool:
        """Whether a request of it can run now."""
        return bool(self.requests) and self.running is None

    @property
    def key(self) -> object:
        """Only requests of equal keys can share a batch: the shapes of its next request and of its states."""
        request = self.requests[0]
        states = self._initial if request.sequence_start else self.states
        return request.shape_key, tuple([array.shape for array in states.values()])

    @property
    def over(self) -> bool:
        """Whether everything of it is answered."""
        return self.complete and not self.requests and self.running is None

    def release(self, request: InferenceRequest) -> None:
        """As `Holder.release`: a request of it has ended while it waited."""
        self._forget(self, request)


class SequenceStep:
    """As `Step`: what a run adds to its request.

    Args:
        nobody: the controls of a row that is no request, where each row has to be there.
        iterative: the model may have a request as often as it likes.
    """

    __slots__ = ("_iterative", "_nobody", "_run", "_states", "inputs")

    def __init__(self, run: Run, states: States, inputs: Inputs, nobody: Inputs | None, iterative: bool) -> None:
        self.inputs = inputs
        self._iterative = iterative
        self._run = run
        self._states = states
        self._nobody = nobody

    def keep(self, states: Inputs) -> None:
        """As `Step.keep`."""
        self._run.states = self._states.next(self._run.states, states)

    def again(self) -> bool:
        """As `Step.again`."""
        self._run.again = self._iterative
        return self._iterative

    def filler(self) -> Inputs | None:
        """As `Step.filler`: inputs of the same shapes without a meaning."""
        if self._nobody is None:
            return None
        return {**{name: nothing_like(array) for name, array in self.inputs.items()}, **self._nobody}


def nothing_like(array: np.ndarray) -> np.ndarray:
    """Zeros, or empty strings, of the same shape."""
    return np.full(array.shape, b"", np.object_) if array.dtype.hasobject else np.zeros(array.shape, array.dtype)


class NoStep:
    """As `Step`, of a row that is no request."""

    __slots__ = ("inputs",)

    def __init__(self, inputs: Inputs) -> None:
        self.inputs = inputs

    def keep(self, states: Inputs) -> None:
        """As `Step.keep`: nobody needs them."""

    def again(self) -> bool:
        """As `Step.again`: it is no request, so it does not come again."""
        return True

    def filler(self) -> Inputs | None:
        """As `Step.filler`."""
        return self.inputs
