"""Models that answer nothing new but still have requests: closed once these are answered."""

import threading
import time
from collections.abc import Callable

from tcli_server.hardware.allocator import return_freed_memory
from tcli_server.models.model import Model

_PROMPT_SECS = 1.0


class Draining:
    """Closes models, those with requests in a thread each."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._threads: set[threading.Thread] = set()

    def close(
        self, model: Model, closed: Callable[[], None], return_memory: Callable[[], None] = return_freed_memory
    ) -> None:
        """Stop a model and free it, at once if nothing runs on it.

        Args:
            closed: called when it is gone, then `return_memory`.
        """
        model.stop()
        if model.idle and model.join(_PROMPT_SECS):
            closed()
            return_memory()
            return

        def drain() -> None:
            model.join()
            closed()
            return_memory()
            with self._lock:
                self._threads.discard(thread)

        thread = threading.Thread(target=drain, name=f"close {model.name}", daemon=True)
        with self._lock:
            self._threads.add(thread)
            try:
                thread.start()
                return
            except RuntimeError:  # the machine gives no more threads
                self._threads.discard(thread)
        model.join()
        closed()
        return_memory()

    def wait(self, deadline: float) -> bool:
        """Wait until all are gone; True if that happened before `deadline` (time.monotonic())."""
        with self._lock:
            threads = list(self._threads)
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in threads)
