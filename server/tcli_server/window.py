"""Back-pressure: how far the responses to a request may be ahead of what its client has taken."""

import threading
from collections.abc import Callable

LIMIT = 1 << 20
"""Bytes of responses that may be on their way to one client before the model waits for it. One response always may."""


class Room:
    """Counts the bytes between models and one client; shared by the windows of requests that one transport answers.

    Args:
        limit: bytes from which on everybody waits.
    """

    def __init__(self, limit: int = LIMIT) -> None:
        self.limit = limit
        self.size = 0
        self.lock = threading.Lock()
        self.waiting: dict[ResponseWindow, list[Callable[[], None]]] = {}

    def woken(self) -> list[Callable[[], None]]:
        """Those who need not wait any longer; with the lock."""
        if not self.waiting or self.size >= self.limit:
            return []
        woken = [go_on for each in self.waiting.values() for go_on in each]
        self.waiting.clear()
        return woken


class ResponseWindow:
    """Counts the bytes of one request's responses between the model and the client; from any thread.

    A protocol adds each response as it comes and takes it away when the transport has it. A model that has more to say
    waits by `when_room`.

    Args:
        room: shared with the client's other requests, if there can be any.
    """

    def __init__(self, limit: int = LIMIT, room: Room | None = None) -> None:
        self._room = room or Room(limit)
        self._closed = False

    def add(self, size: int) -> None:
        """A response of that many bytes is on its way."""
        room = self._room
        with room.lock:
            room.size += size

    def take(self, size: int) -> None:
        """The transport has taken so many bytes."""
        room = self._room
        with room.lock:
            room.size -= size
            woken = room.woken()
        for go_on in woken:
            go_on()

    def when_room(self, go_on: Callable[[], None]) -> None:
        """Call `go_on`, which must not block or raise: now if there is room, else as soon as there is, or on `close`."""
        room = self._room
        with room.lock:
            if not self._closed and room.size >= room.limit:
                room.waiting.setdefault(self, []).append(go_on)
                return
        go_on()

    def close(self) -> None:
        """The request has ended: nobody needs to wait any more."""
        room = self._room
        with room.lock:
            self._closed = True
            woken = room.waiting.pop(self, [])
        for go_on in woken:
            go_on()
