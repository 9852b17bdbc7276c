"""A model's own word on whether it is ready: `is_ready`, asked once for all who want to know at the same time."""

import contextlib
import itertools
import threading
import time
from collections import deque
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
        self._waiting: deque[tuple[float, Future[bool]]] = deque()
        self._timer: threading.Timer | None = None
        self._lock = threading.Lock()

    def ask(self) -> "Future[bool]":
        """Whether the model says that it is ready; done within `PATIENCE_SECS`."""
        answer: Future[bool] = Future()
        with self._lock:
            self._waiting.append((time.monotonic() + PATIENCE_SECS, answer))
            if self._timer is None:  # one for all: thousands may ask while a model thinks
                self._watch(PATIENCE_SECS)
            is_asked = len(self._waiting) > 1 or self._number > 0
            if not is_asked:
                self._number = next(self._numbers)
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
            waiting, self._waiting = self._waiting, deque()
            timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
        for _, answer in waiting:
            _set(answer, ready)

    def _watch(self, secs: float) -> None:
        self._timer = threading.Timer(secs, self._too_late)
        self._timer.daemon = True
        self._timer.start()

    def _too_late(self) -> None:
        late = []
        with self._lock:
            if self._timer is not threading.current_thread():  # settled in this moment
                return
            self._timer = None
            now = time.monotonic()
            while self._waiting and self._waiting[0][0] <= now:
                late.append(self._waiting.popleft()[1])
            if self._waiting:
                self._watch(self._waiting[0][0] - now)
        LOG.debug("instance '%s': Timed out waiting for user-defined is_ready() response", self._name)
        for answer in late:
            _set(answer, False)


def _set(answer: "Future[bool]", ready: bool) -> None:
    with contextlib.suppress(InvalidStateError):  # it is settled, or nobody waits any more
        answer.set_result(ready)
