"""Memory that a large message is read to, so that its tensors can be used where they lie."""

import numpy as np

_ALIGNMENT = 64
"""Bytes: as much as any processor wants, and a line of its cache."""


def aligned_place(size: int, even_at: int) -> memoryview:
    """Memory for `size` bytes, laid so that the byte `even_at` is where an array may begin.

    A tensor that begins at an odd address would have to be copied before it is used. No page of it is taken before something is
    written to it.

    Raises:
        MemoryError: there is not so much.
    """
    memory = np.empty(size + _ALIGNMENT, np.uint8)
    start = -(memory.__array_interface__["data"][0] + even_at) % _ALIGNMENT
    return memoryview(memory)[start : start + size]  # type: ignore[arg-type]
