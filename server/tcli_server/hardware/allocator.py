"""What the C library's allocator does with the blocks that this process frees."""

import ctypes
import gc
import sys
import time

_M_TRIM_THRESHOLD = -1
"""mallopt's name for the bytes at the heap's end that may be free before they are given back."""

_M_MMAP_THRESHOLD = -3
"""mallopt's name for the size from which a block is mapped by itself."""

_REUSED = 16 << 20
_LARGEST_REUSED = 32 << 20  # the most that glibc allows
_LARGE_BLOCK = 1 << 20
_NEVER_REUSED = 128 << 10  # glibc's default
_REST = 5
"""How many times as long as a trim takes there is none."""

REUSING_BLOCKS = {"MALLOC_MMAP_THRESHOLD_": str(_LARGEST_REUSED), "MALLOC_TRIM_THRESHOLD_": str(_REUSED)}
"""Environment variables that have the allocator of a process do as `reuse_freed_blocks` says."""


def reuse_freed_blocks() -> None:
    """Have the C library's allocator keep some of what is freed for what comes next, for the rest of the process.

    Each request's tensors are a block or two that live for its milliseconds. By default glibc gives their pages back,
    and the kernel hands out the next ones one by one, each cleared.
    """
    _set(_M_MMAP_THRESHOLD, _LARGEST_REUSED)
    _set(_M_TRIM_THRESHOLD, _REUSED)


def keep_large_blocks_apart() -> None:
    """Have the C library's allocator give each large block back as soon as it is free, for the rest of the process.

    glibc takes blocks of a size from its heap once such a block was freed. Weights of models that come and go then lie
    among small blocks that stay, and the process grows by what lies between. Undoes `reuse_freed_blocks`: who counts memory
    wants what is free to be gone.
    """
    _set(_M_MMAP_THRESHOLD, _LARGE_BLOCK)
    _set(_M_TRIM_THRESHOLD, _NEVER_REUSED)


def return_freed_memory() -> None:
    """Collect what is unreachable and have the C library's allocator let go of free pages.

    glibc keeps them otherwise, so that a process looks as large after unloading its models as before.
    """
    gc.collect()
    trim_heap()


def trim_heap() -> None:
    """Have the C library's allocator let go of free pages, without looking for unreachable objects first."""
    _call("malloc_trim", 0)


class Trimming:
    """Trims the heap now and then: going through a large one takes a good part of a second, in which others may wait for memory."""

    def __init__(self) -> None:
        self._next = 0.0

    def now_and_then(self) -> None:
        """`trim_heap`, for a fifth of the time at most."""
        began = time.monotonic()
        if began >= self._next:
            trim_heap()
            self._next = began + _REST * (time.monotonic() - began)


TRIMMING = Trimming()
"""Of this process, which has one heap."""


def _set(option: int, value: int) -> None:
    _call("mallopt", option, value)


def _call(name: str, *arguments: int) -> None:
    """Call what only glibc has."""
    if sys.platform == "linux":
        function = getattr(ctypes.CDLL(None), name, None)  # musl has none
        if function is not None:
            function(*arguments)
