"""Asks one worker what it has counted, one question at a time."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future

from tcli_server.workers.messages import Report


class Reporter:
    """Questions that come while one is under way share the next one, so that they pile up neither here nor in the worker.

    Args:
        ask: asks the worker.
        told: takes each report, before whoever asked for it goes on.

    Attributes:
        answers: how many came.
    """

    def __init__(self, ask: Callable[[], "Future[Report]"], told: Callable[[Report], None]) -> None:
        self._ask = ask
        self._told = told
        self._lock = threading.Lock()
        self._asked: Future[None] | None = None
        self._asked_at = 0.0
        self._next: Future[None] | None = None
        self.answers = 0

    def fresh(self) -> "Future[None]":
        """Done when `told` has got a report that was made after this call, or the worker has ended."""
        answered: Future[None]
        with self._lock:
            if self._asked is not None:
                if self._next is None:
                    self._next = Future()
                return self._next
            answered = self._asked = Future()
            self._asked_at = time.monotonic()
        self._send(answered)
        return answered

    def overdue(self, seconds: float) -> bool:
        """Whether a question has waited for longer than that."""
        with self._lock:
            return self._asked is not None and time.monotonic() - self._asked_at > seconds

    def _send(self, answered: "Future[None]") -> None:
        def settle(done: "Future[Report]") -> None:
            if done.exception() is None:
                self._told(done.result())
                self.answers += 1
            with self._lock:
                self._asked, self._next = self._next, None
                self._asked_at = time.monotonic()
                following = self._asked
            answered.set_result(None)
            if following is not None:
                self._send(following)

        self._ask().add_done_callback(settle)
