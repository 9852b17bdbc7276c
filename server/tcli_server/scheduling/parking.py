"""Where an idle thread waits: a bare lock, whose round trip costs less than half of a `threading.Condition`'s."""

import threading


class ParkingSpace:
    """One thread's; `leave` is called once for each `wait` that was not over by itself."""

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()

    def wait(self, timeout_ns: int | None = None) -> bool:
        """Wait for `leave`; False if `timeout_ns` nanoseconds went by first."""
        if timeout_ns is None:
            return self._lock.acquire()
        return self._lock.acquire(timeout=min(timeout_ns / 1e9, threading.TIMEOUT_MAX))

    def leave(self) -> None:
        """Let the thread go on."""
        self._lock.release()
