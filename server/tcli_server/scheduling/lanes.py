"""When an instance that runs several batches side by side is closed."""

import threading
from collections.abc import Callable


class LastOut:
    """Called by each worker of an instance as it ends; the last one closes the instance.

    Args:
        close: what closes it.
        workers: how many there are.
    """

    def __init__(self, close: Callable[[], None], workers: int) -> None:
        self._close = close
        self._left = workers
        self._lock = threading.Lock()

    def __call__(self) -> None:
        with self._lock:
            self._left -= 1
            is_last = not self._left
        if is_last:
            self._close()
