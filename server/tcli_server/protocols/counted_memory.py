"""Memory of which only so much may be in use at once."""

import threading
import weakref
from collections import deque

import numpy as np

from tcli_server.errors import UnavailableError


class CountedMemory:
    """Gives memory that counts until nothing refers to it any more, whoever that is; from any thread.

    Args:
        limit: bytes; one piece is always given, however large, if nothing else is in use.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._used = 0
        self._lock = threading.Lock()
        self._returned: deque[int] = deque()  # by the garbage collector, which may run where the lock is held

    @property
    def used(self) -> int:
        """Bytes that are in use."""
        with self._lock:
            while self._returned:
                self._used -= self._returned.popleft()
            return self._used

    def allocate(self, size: int) -> memoryview:
        """So many bytes of any content.

        Raises:
            UnavailableError: too many are in use.
        """
        content = np.empty(size, np.uint8)  # costs nothing before it is written to
        used = self.used
        with self._lock:
            if self._used and self._used + size > self.limit:
                raise UnavailableError(
                    f"inputs from shared memory hold {used} bytes already, of {self.limit} (--max-pending-bytes); this one "
                    f"has {size}: try again later"
                )
            self._used += size
        weakref.finalize(content, self._returned.append, size).atexit = False
        return content.data
