"""`preserve_ordering`: responses leave in the order in which their requests arrived."""

import threading
from collections.abc import Callable

Send = Callable[[], None]


class InOrder:
    """Holds what is finished early back until everything before it is sent."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._next = 0
        self._waiting: dict[int, Send] = {}
        self._sending = False

    def send(self, number: int, send: Send) -> None:
        """Send batch `number` and whatever waited for it, or keep it until its turn.

        One thread sends at a time and holds no lock while it does, as that calls other people's code.
        """
        with self._lock:
            self._waiting[number] = send
            if self._sending:
                return
            self._sending = True
        while (ready := self._next_ready()) is not None:
            ready()

    def _next_ready(self) -> Send | None:
        with self._lock:
            ready = self._waiting.pop(self._next, None)
            if ready is None:
                self._sending = False
            else:
                self._next += 1
            return ready
