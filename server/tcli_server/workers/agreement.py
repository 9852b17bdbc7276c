"""One load in all workers: what one of them opens answers in none before all have opened it."""

import contextlib
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass, field
from typing import Any

from tcli_server.errors import ServerError
from tcli_server.workers.channel import ChannelLostError
from tcli_server.workers.messages import CarryOut, Load
from tcli_server.workers.process import WorkerProcess


@dataclass(slots=True)
class _Part:
    """What one worker does of it: opens the model, and then answers."""

    opened: Future[None] = field(default_factory=Future)
    answered: Future[Any] = field(default_factory=Future)


class Agreement:
    """Workers begin, and each asks by `opened` whether to publish, unless it fails or has nothing to do.

    Args:
        number: that workers call it by.
    """

    def __init__(self, number: int, load: Load) -> None:
        self._message = CarryOut(number, load)
        self._verdict: Future[None] = Future()
        self._parts: dict[WorkerProcess, _Part] = {}

    def __contains__(self, worker: WorkerProcess) -> bool:
        return worker in self._parts

    def begin(self, worker: WorkerProcess) -> None:
        """Have one more worker open the model."""
        part = self._parts[worker] = _Part()

        def over(done: "Future[Any]") -> None:
            error = done.exception()
            with contextlib.suppress(InvalidStateError):
                if error is None:
                    part.opened.set_result(None)
                else:
                    part.opened.set_exception(error)

        part.answered = worker.carry_out(self._message)
        part.answered.add_done_callback(over)

    def opened(self, worker: WorkerProcess) -> "Future[None]":
        """A worker has opened it; the verdict of all, which raises the ServerError that `refuse` was given."""
        with contextlib.suppress(InvalidStateError):
            self._parts[worker].opened.set_result(None)
        return self._verdict

    def failure(self, worker: WorkerProcess) -> ServerError | None:
        """Wait until a worker has opened it or cannot; why it cannot, a ChannelLostError if it ended."""
        return _error(self._parts[worker].opened)

    def accept(self) -> None:
        """Have all publish."""
        self._verdict.set_result(None)

    def refuse(self, error: ServerError) -> None:
        """Have all keep what they had, and wait until they do."""
        self._verdict.set_exception(error)
        for part in self._parts.values():
            part.answered.exception()

    def had_nothing_to_do(self, worker: WorkerProcess) -> bool:
        """Whether a worker that has opened it had it already, with the configuration that an earlier load gave."""
        answered = self._parts[worker].answered
        return answered.done() and answered.exception() is None and bool(answered.result())

    def late_failures(self) -> dict[WorkerProcess, ServerError]:
        """Wait until all have published; why some could not all the same. One that ended is none of them."""
        errors = {worker: _error(part.answered) for worker, part in self._parts.items()}
        return {worker: error for worker, error in errors.items() if error and not isinstance(error, ChannelLostError)}


def _error(done: "Future[Any]") -> ServerError | None:
    error = done.exception()
    assert error is None or isinstance(error, ServerError), error  # nothing else comes through a channel
    return error
