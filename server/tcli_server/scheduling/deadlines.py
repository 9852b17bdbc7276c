"""Ends requests in time that wait too long while every instance is busy, so that nobody looks at the queue."""

import threading
import time
from collections.abc import Callable


class DeadlineWatch:
    """A thread that calls `expire` when the next deadline has come; started by the first deadline.

    Args:
        expire: does what is due and tells the next deadline (time.monotonic_ns(), 0 for none).
    """

    def __init__(self, expire: Callable[[], int]) -> None:
        self._expire = expire
        self._changed = threading.Condition()
        self._next_ns = 0
        self._stopped = False
        self._thread: threading.Thread | None = None

    def notice(self, deadline_ns: int) -> None:
        """There is a request with this deadline."""
        if 0 < self._next_ns <= deadline_ns:  # it will look before
            return
        with self._changed:
            self._next_ns = min(self._next_ns or deadline_ns, deadline_ns)
            if self._thread is None:
                thread = threading.Thread(target=self._watch, name="deadlines", daemon=True)
                try:
                    thread.start()
                except RuntimeError:  # the machine gives no more threads; the next deadline tries again
                    self._next_ns = 0
                    return
                self._thread = thread
            self._changed.notify()

    def stop(self) -> None:
        """End the thread."""
        with self._changed:
            self._stopped = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()

    def _watch(self) -> None:
        while True:
            with self._changed:
                if self._stopped:
                    return
                left_ns = self._next_ns - time.monotonic_ns() if self._next_ns else None
                if left_ns is None or left_ns > 0:
                    self._changed.wait(None if left_ns is None else min(left_ns / 1e9, threading.TIMEOUT_MAX))
                    continue
                self._next_ns = 0
            next_ns = self._expire()
            if next_ns:
                self.notice(next_ns)
