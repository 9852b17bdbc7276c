"""Joins the inputs of a batch's requests into one array each, in memory that is used again for the next batch."""

from collections.abc import Sequence

import numpy as np

_LARGE = 1 << 18
"""Bytes from which fresh memory for every batch would cost more in page faults than the copy itself."""


class Gatherer:
    """One worker's; an array that it gave out is overwritten by the next call for the same input."""

    def __init__(self) -> None:
        self._buffers: dict[str, np.ndarray] = {}

    def join(self, name: str, arrays: Sequence[np.ndarray]) -> np.ndarray:
        """The arrays one behind the other along the first axis.

        Args:
            name: the input's name.
            arrays: of one dtype and of equal shape but for the first dimension.
        """
        first = arrays[0]
        size = sum([array.nbytes for array in arrays])
        if size < _LARGE or first.dtype.hasobject:
            return np.concatenate(arrays)
        buffer = self._buffers.get(name)
        if buffer is None or buffer.nbytes < size:
            buffer = self._buffers[name] = np.empty(size, np.uint8)
        # Plain byte copies: numpy would let go of the interpreter for each array, and wait its turn to get it back.
        target, start = buffer.data, 0
        for array in arrays:
            end = start + array.nbytes
            target[start:end] = array.reshape(-1).view(np.uint8).data
            start = end
        rows = sum([array.shape[0] for array in arrays])
        return buffer[:size].view(first.dtype).reshape(rows, *first.shape[1:])
