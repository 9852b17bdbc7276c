"""Outputs by key, as many as fit; the least recently used go first."""

import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

Outputs = Mapping[str, np.ndarray]

ENTRY_BYTES = 512
"""What an entry costs besides its tensors, and an element of a string tensor besides its bytes costs a tenth of that."""


@dataclass(frozen=True, slots=True)
class CacheUse:
    """A cache at one moment; times in nanoseconds since the start."""

    entries: int
    used_bytes: int
    size: int
    lookups: int
    hits: int
    evictions: int
    lookup_ns: int
    insertion_ns: int


class ResponseCache:
    """For any thread.

    Args:
        size: bytes that entries may take together.

    Attributes:
        pool: for what takes too long in an event loop.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.pool = ThreadPoolExecutor(1, "response-cache")
        self._lock = threading.Lock()
        self._entries: OrderedDict[bytes, tuple[Outputs, int]] = OrderedDict()
        self._used = 0
        self._lookups = self._hits = self._evictions = self._lookup_ns = self._insertion_ns = 0

    def get(self, key: bytes) -> Outputs | None:
        """The outputs that were put under a key; read only."""
        start_ns = time.monotonic_ns()
        with self._lock:
            found = self._entries.get(key)
            if found is not None:
                self._entries.move_to_end(key)
                self._hits += 1
            self._lookups += 1
            self._lookup_ns += time.monotonic_ns() - start_ns
        return None if found is None else found[0]

    def put(self, key: bytes, outputs: Outputs) -> bool:
        """Keep a copy of outputs; False if they are larger than the whole cache, which keeps none then."""
        start_ns = time.monotonic_ns()
        size = ENTRY_BYTES + sum(map(_bytes_of, outputs.values()))
        if size > self.size:
            return False
        kept = {name: _copy(array) for name, array in outputs.items()}
        with self._lock:
            before = self._entries.pop(key, None)
            self._used += size - (before[1] if before is not None else 0)
            self._entries[key] = (kept, size)
            while self._used > self.size:
                _, (_, freed) = self._entries.popitem(last=False)
                self._used -= freed
                self._evictions += 1
            self._insertion_ns += time.monotonic_ns() - start_ns
        return True

    def use(self) -> CacheUse:
        """What it holds and has done."""
        with self._lock:
            return CacheUse(
                len(self._entries),
                self._used,
                self.size,
                self._lookups,
                self._hits,
                self._evictions,
                self._lookup_ns,
                self._insertion_ns,
            )

    def close(self) -> None:
        """Let the thread go, and all entries."""
        self.pool.shutdown(wait=False)
        with self._lock:
            self._entries.clear()
            self._used = 0


def _copy(array: np.ndarray) -> np.ndarray:
    """An array of its own, not a view of a batch's, that nobody can change."""
    own = array.copy()
    own.flags.writeable = False
    return own


def _bytes_of(array: np.ndarray) -> int:
    if not array.dtype.hasobject:
        return int(array.nbytes)
    return sum(map(len, array.ravel().tolist())) + array.size * ENTRY_BYTES // 10
