"""Shared memory between the server and a worker: one side writes tensors into it, the other reads them there.

It is an unnamed file in memory whose descriptor both have, so it is gone with the last of them, however that ends. It
grows with what is in it, up to a limit, and shrinks again when less is needed.
"""

from __future__ import annotations

import mmap
import os
import sys
import tempfile
import threading
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

LEAST = 1 << 20
"""Bytes that it never shrinks below."""

PROGRESS = 0
"""Where in its memory a worker says how many requests of an order it has begun, uint64: what is left if it dies."""

_ALIGNMENT = 64
_WATCHED = 256
"""Blocks given back after which its size is looked at again."""


class FullError(Exception):
    """What was to be written needs more memory than the limit allows."""


def new_memory(name: str) -> int:
    """A descriptor of an unnamed file in memory, or where the system has none, of an unnamed file.

    Raises:
        OSError: there are too many.
    """
    if sys.platform == "linux":
        descriptor = os.memfd_create(f"tcli {name}")
    else:
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    os.ftruncate(descriptor, LEAST)
    return descriptor


class _Map:
    """A file in memory, mapped as far as it was ever needed. Any thread may ask."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._map = mmap.mmap(descriptor, LEAST)
        self._lock = threading.Lock()

    def array(self, offset: int, size: int) -> np.ndarray:
        """A view of a part: uint8 [size]."""
        mapped = self._map
        return np.frombuffer(
            mapped if offset + size <= len(mapped) else self._grown(offset + size), np.uint8, size, offset
        )

    def shaped(self, offset: int, size: int, dtype: np.dtype[Any], shape: Sequence[int]) -> np.ndarray:
        """A view of a part as an array that takes `size` bytes."""
        mapped = self._map
        return np.ndarray(shape, dtype, mapped if offset + size <= len(mapped) else self._grown(offset + size), offset)

    def resize(self, size: int) -> None:
        """Let the file have so many bytes. Raises OSError once it is forgotten."""
        with self._lock:
            os.ftruncate(self.descriptor, size)

    def forget(self) -> None:
        """The descriptor is about to be closed, and its number may soon be that of another file."""
        with self._lock:
            self.descriptor = -1

    def _grown(self, end: int) -> mmap.mmap:
        with self._lock:
            if end > len(self._map):  # older views keep the older map alive
                try:
                    self._map = mmap.mmap(self.descriptor, max(end, os.fstat(self.descriptor).st_size))
                except ValueError:  # the writer has cut off more than is in use in this moment
                    self._map = mmap.mmap(self.descriptor, end)
            return self._map


class WrittenMemory:
    """The writer's side: hands out blocks, and takes them back when the reader is done with them. Any thread may ask."""

    def __init__(self, descriptor: int, limit: int) -> None:
        os.ftruncate(descriptor, LEAST)
        self._map = _Map(descriptor)
        self._limit = max(limit, LEAST)
        self._blocks: list[list[int]] = []  # [offset, end], ascending
        self._lock = threading.Lock()
        self._size = LEAST
        self._peak = self._given_back = 0

    @property
    def size(self) -> int:
        """Bytes that the file has now."""
        return self._size

    @property
    def free(self) -> int:
        """Bytes by which it may still grow."""
        return self._limit - self._size

    def take(self, size: int) -> int:
        """The offset of a free block.

        Raises:
            FullError: there is no room below the limit.
        """
        needed = -(-max(size, 1) // _ALIGNMENT) * _ALIGNMENT
        with self._lock:
            index = start = 0
            for index, (offset, end) in enumerate(self._blocks):  # noqa: B007
                if offset - start >= needed:
                    break
                start = end
            else:
                index = len(self._blocks)
            end = start + needed
            if end > self._size:
                self._grow(end)
            self._blocks.insert(index, [start, end])
            self._peak = max(self._peak, end)
            return start

    def _grow(self, end: int) -> None:
        if end > self._limit:
            raise FullError(f"{end} bytes of shared memory are needed, and the limit is {self._limit}")
        size = min(self._limit, max(end, 2 * self._size))
        self._map.resize(size)
        self._size = size

    def give_back(self, offset: int) -> None:
        """The reader is done with the block there."""
        with self._lock:
            self._blocks = [block for block in self._blocks if block[0] != offset]
            self._given_back += 1
            if self._given_back >= _WATCHED:
                self._shrink()

    def _shrink(self) -> None:
        in_use = self._blocks[-1][1] if self._blocks else 0
        size = max(LEAST, 2 * max(self._peak, in_use))
        if size < self._size:
            self._map.resize(size)
            self._size = size
        self._given_back = 0
        self._peak = in_use

    def forget(self) -> None:
        """Its descriptor is about to be closed: what is there can be used, what needs more raises OSError."""
        self._map.forget()

    def array(self, offset: int, size: int) -> np.ndarray:
        """The bytes of a block, to be written: uint8 [size]."""
        return self._map.array(offset, size)

    def shaped(self, offset: int, size: int, dtype: np.dtype[Any], shape: Sequence[int]) -> np.ndarray:
        """A part of a block as an array that takes `size` bytes, to be written."""
        return self._map.shaped(offset, size, dtype, shape)


class ReadMemory:
    """The reader's side. A block is done with when the last array over it is gone."""

    def __init__(self, descriptor: int) -> None:
        self._map = _Map(descriptor)
        self._alive: dict[int, weakref.ref[np.ndarray]] = {}
        self._gone: deque[int] = deque()  # filled from any thread

    def forget(self) -> None:
        """As `WrittenMemory.forget`."""
        self._map.forget()

    def array(self, offset: int, size: int) -> np.ndarray:
        """The bytes of a block, for a moment: uint8 [size]."""
        return self._map.array(offset, size)

    def shaped(self, offset: int, size: int, dtype: np.dtype[Any], shape: Sequence[int]) -> np.ndarray:
        """A part of a block as an array that takes `size` bytes, for a moment."""
        return self._map.shaped(offset, size, dtype, shape)

    def watched(self, offset: int, size: int) -> np.ndarray:
        """The bytes of a block, which `gone` tells of when nobody has a view of them any more: uint8 [size]."""
        root = self._map.array(offset, size)
        self._alive[offset] = weakref.ref(root, self._forget(offset))
        return root

    def _forget(self, offset: int) -> Callable[[object], None]:
        def forget(_: object) -> None:
            del self._alive[offset]
            self._gone.append(offset)

        return forget

    def gone(self) -> list[int]:
        """Offsets of the blocks that are done with since the last call."""
        gone = []
        while self._gone:
            gone.append(self._gone.popleft())
        return gone
