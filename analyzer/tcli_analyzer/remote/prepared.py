"""Requests that are made once and sent often."""

import threading
from collections.abc import Callable, Mapping

import numpy as np

MOST_BYTES = 512 << 20


class Prepared:
    """What is sent for each object of inputs; the oldest are forgotten beyond `MOST_BYTES` together.

    Args:
        make: the bytes that are sent for inputs.
    """

    def __init__(self, make: Callable[[Mapping[str, np.ndarray]], bytes]) -> None:
        self._make = make
        self._lock = threading.Lock()
        # By identity: comparing arrays would cost more than making the request. What is kept here cannot get another's identity.
        self._kept: dict[int, tuple[Mapping[str, np.ndarray], bytes]] = {}
        self._bytes = 0

    def of(self, inputs: Mapping[str, np.ndarray]) -> bytes:
        """The bytes for these inputs, which must not change any more; in any thread."""
        found = self._kept.get(id(inputs))
        return found[1] if found is not None else self._add(inputs)

    def _add(self, inputs: Mapping[str, np.ndarray]) -> bytes:
        request = self._make(inputs)
        with self._lock:
            while self._kept and self._bytes + len(request) > MOST_BYTES:
                _, oldest = self._kept.pop(next(iter(self._kept)))
                self._bytes -= len(oldest)
            if id(inputs) not in self._kept:
                self._kept[id(inputs)] = inputs, request
                self._bytes += len(request)
        return request
