"""Which responses of an instance differ in nothing but their tensors' bytes, so that a protocol describes the tensors once."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

_MOST = 64
_LARGEST = 1 << 16
"""Bytes of the outputs of a batch: sending larger ones takes longer than describing them."""

Kinds = defaultdict[int, object]
"""What `InferenceResponse.kind` is, by the response's batch size."""


class ResponseKinds:
    """Knows the kinds of one instance's responses; for one thread at a time."""

    def __init__(self) -> None:
        self._kinds: dict[tuple[object, ...], Kinds] = {}

    def of(self, outputs: Sequence[tuple[str, np.ndarray]], is_batch: bool) -> Kinds | None:
        """The kinds of the responses that share these outputs; None if they have none.

        Args:
            is_batch: each response gets some rows; else there is one response.
        """
        described: list[object] = []
        size = 0
        for name, array in outputs:
            size += array.nbytes
            if size > _LARGEST or array.dtype.hasobject or not array.flags.c_contiguous:
                return None
            described += (name, array.dtype, array.shape[1:] if is_batch else array.shape)
        key = tuple(described)
        kinds = self._kinds.get(key)
        if kinds is None or len(kinds) > _MOST:
            if len(self._kinds) >= _MOST:
                self._kinds.clear()
            kinds = self._kinds[key] = Kinds(object)
        return kinds
