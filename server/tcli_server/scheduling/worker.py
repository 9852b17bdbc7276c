"""The thread of one instance: takes batches and runs them, until there are none left."""

import threading
from collections.abc import Callable, Sequence
from functools import partial

from tcli_server.observability.log import LOG
from tcli_server.request import FailureReason, InferenceRequest, InferenceResponse
from tcli_server.scheduling import PlacedInstance
from tcli_server.scheduling.execution import Executor, Outcome
from tcli_server.scheduling.parking import ParkingSpace

Take = Callable[["Worker"], tuple[int, Sequence[InferenceRequest]] | None]


class Worker:
    """Feeds one instance.

    Args:
        take: gives the next batch and its number; None ends the thread, which closes the instance.
        ran: told when a batch has run, before its responses are sent.
        send: calls the second argument when the responses of the batch of that number may leave; None if they always may.

    Attributes:
        retired: set by whoever no longer wants this instance.
    """

    def __init__(
        self,
        placed: PlacedInstance,
        executor: Executor,
        take: Take,
        ran: Callable[[], None],
        send: Callable[[int, Callable[[], None]], None] | None,
    ) -> None:
        self.placed = placed
        self.parking = ParkingSpace()
        self.retired = False
        self._executor = executor
        self._take = take
        self._ran = ran
        self._send = send
        self._thread = threading.Thread(target=self._work, name=placed.placement.name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def join(self, timeout: float | None = None) -> None:
        """Wait until the last batch is answered."""
        self._thread.join(timeout)

    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def _work(self) -> None:
        while (taken := self._take(self)) is not None:
            number, batch = taken
            outcomes = self._executor.run(batch)
            self._ran()
            if self._send is None:
                _send_all(outcomes)
            else:
                self._send(number, partial(_send_all, outcomes))
        try:
            self.placed.instance.close()
        except Exception:
            LOG.exception("instance '%s' could not be closed", self.placed.placement.name)


def _send_all(outcomes: Sequence[Outcome]) -> None:
    for request, result in outcomes:
        if isinstance(result, InferenceResponse):
            request.send(result)
        else:
            request.fail(result, FailureReason.BACKEND)
