"""Gives memory that an unloaded model leaves behind back to the system."""

import ctypes
import gc
import sys


def return_freed_memory() -> None:
    """Collect what is unreachable and have the C library's allocator let go of free pages.

    glibc keeps them otherwise, so that a process looks as large after unloading its models as before.
    """
    gc.collect()
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's own; musl has none
        if trim is not None:
            trim(0)
