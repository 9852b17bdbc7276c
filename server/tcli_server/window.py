"""Back-pressure: how far the responses to a request may be ahead of what its client has taken."""

import threading
from collections.abc import Callable

LIMIT = 1 << 20
"""Bytes of responses that may be on their way to one client before the model waits for it. One response always may."""


class ResponseWindow:
    """Counts the bytes of one request's responses between the model and the client; from any thread.

    A protocol adds each response as it comes and takes it away when the transport has it. A model that has more to say
    waits by `when_room`.
    """

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._size = 0
        self._closed = False
        self._waiting: list[Callable[[], None]] = []
        self._lock = threading.Lock()

    def add(self, size: int) -> None:
        """A response of that many bytes is on its way."""
        with self._lock:
            self._size += size

    def take(self, size: int) -> None:
        """The transport has taken so many bytes."""
        with self._lock:
            self._size -= size
            woken = self._wake()
        for go_on in woken:
            go_on()

    def when_room(self, go_on: Callable[[], None]) -> None:
        """Call `go_on`, which must not block or raise: now if there is room, else as soon as there is, or on `close`."""
        with self._lock:
            if not self._closed and self._size >= self._limit:
                self._waiting.append(go_on)
                return
        go_on()

    def close(self) -> None:
        """The request has ended: nobody needs to wait any more."""
        with self._lock:
            self._closed = True
            woken = self._wake()
        for go_on in woken:
            go_on()

    def _wake(self) -> list[Callable[[], None]]:
        if not self._waiting or (self._size >= self._limit and not self._closed):
            return []
        woken, self._waiting = self._waiting, []
        return woken
