"""A tensor of a request or a response."""

from __future__ import annotations

import numpy as np

_CODES = {"FP32": 11}
_NAMES = {
    np.dtype(np.float32): "FP32",
    np.dtype(np.int32): "INT32",
    np.dtype(np.object_): "BYTES",
    np.dtype(np.bool_): "BOOL",
    np.dtype(np.uint32): "UINT32",
    np.dtype(np.int64): "INT64",
}
_TYPES = {name: dtype for dtype, name in _NAMES.items()}


class Tensor:
    """A name and an array."""

    __slots__ = ("_array", "_data", "_name", "_shape", "datatype")

    def __init__(self, name: str, array: np.ndarray) -> None:
        self._name = name
        self._array = np.ascontiguousarray(array)
        self._shape = array.shape
        self.datatype = _NAMES[array.dtype]
        self._data = self._array
        if self.datatype == "BYTES":
            parts = []
            for item in array.ravel():
                data = item if isinstance(item, bytes) else str(item).encode()
                parts.append(len(data).to_bytes(4, "little") + data)
            self._data = np.frombuffer(b"".join(parts), np.uint8)

    @classmethod
    def _received(cls, name: str, datatype: str, shape: list[int], buffer: np.ndarray) -> Tensor:
        tensor = cls.__new__(cls)
        tensor._name = name
        tensor.datatype = datatype
        tensor._shape = tuple(shape)
        tensor._data = buffer
        if datatype != "BYTES":
            tensor._array = buffer.view(_TYPES[datatype]).reshape(shape)
        else:
            items, raw, at = [], buffer.tobytes(), 0
            while at < len(raw):
                size = int.from_bytes(raw[at : at + 4], "little")
                items.append(raw[at + 4 : at + 4 + size])
                at += 4 + size
            array = np.empty(len(items), np.object_)
            array[:] = items
            tensor._array = array.reshape(shape)
        return tensor

    def name(self) -> str:
        return self._name

    def shape(self) -> list[int]:
        return list(self._shape)

    def as_numpy(self) -> np.ndarray:
        return self._array

    @property
    def nbytes(self) -> int:
        return int(self._data.nbytes)

    def write_to(self, buffer: memoryview) -> None:
        buffer[:] = self._data.reshape(-1).view(np.uint8).data
