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

    def send(self, number: int, send: Send) -> None:
        """Send batch `number` and whatever waited for it, or keep it until its turn."""
        with self._lock:
            self._waiting[number] = send
            while (ready := self._waiting.pop(self._next, None)) is not None:
                ready()
                self._next += 1
