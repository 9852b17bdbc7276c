"""A model's own word on whether it is ready: `is_ready`, asked once for all who want to know at the same time."""

import contextlib
import itertools
import threading
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError

from tcli_server.backends.python.stub.wire import Message
from tcli_server.observability.log import LOG

PATIENCE_SECS = 5.0
"""How long a model may think about it; as in Triton. What takes longer counts as no, and goes on."""


class ReadinessCheck:
    """Asks the worker of one instance.

    Args:
        tell: says something to the present worker.
    """

    def __init__(self, name: str, tell: Callable[[Message], None]) -> None:
        self._name = name
        self._tell = tell
        self._numbers = itertools.count(1)
        self._number = 0
        self._waiting: list[Future[bool]] = []
        self._lock = threading.Lock()

    def ask(self) -> "Future[bool]":
        """Whether the model says that it is ready; done within `PATIENCE_SECS`."""
        answer: Future[bool] = Future()
        timer = threading.Timer(PATIENCE_SECS, self._too_late, (answer,))
        timer.daemon = True
        answer.add_done_callback(lambda _: timer.cancel())
        with self._lock:
            self._waiting.append(answer)
            is_asked = len(self._waiting) > 1 or self._number > 0
            if not is_asked:
                self._number = next(self._numbers)
        timer.start()
        if not is_asked:
            self._tell({"kind": "ready", "check": self._number})
        return answer

    def answered(self, message: Message) -> None:
        """The worker has answered."""
        with self._lock:
            if message["check"] != self._number:
                return
        if not message["ready"]:
            LOG.debug("instance '%s': %s", self._name, message["reason"])
        self._settle(bool(message["ready"]))

    def lost(self) -> None:
        """The worker is gone."""
        self._settle(False)

    def _settle(self, ready: bool) -> None:
        with self._lock:
            self._number = 0
            waiting, self._waiting = self._waiting, []
        for answer in waiting:
            _set(answer, ready)

    def _too_late(self, answer: "Future[bool]") -> None:
        with self._lock:
            if answer in self._waiting:
                self._waiting.remove(answer)
        LOG.debug("instance '%s': Timed out waiting for user-defined is_ready() response", self._name)
        _set(answer, False)


def _set(answer: "Future[bool]", ready: bool) -> None:
    with contextlib.suppress(InvalidStateError):  # it is settled, or nobody waits any more
        answer.set_result(ready)
