"""Arrays as the V2 protocol carries them: datatype names, and raw little-endian bytes."""

from collections.abc import Sequence
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

BYTES = "BYTES"

DTYPES: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype("?"),
    "UINT8": np.dtype("<u1"),
    "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"),
    "INT8": np.dtype("<i1"),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "FP16": np.dtype("<f2"),
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
    BYTES: np.dtype(object),
}
"""V2 datatype name -> numpy dtype; BYTES are object arrays of `bytes`."""

_NAMES = {dtype: name for name, dtype in DTYPES.items()}
_LENGTH_BYTES = 4


def datatype_of(array: Array) -> str:
    """The V2 name of an array's dtype.

    Raises:
        TypeError: V2 has no name for it.
    """
    name = _NAMES.get(array.dtype.newbyteorder("<"))
    if name is None:
        raise TypeError(f"the V2 protocol has no datatype for numpy's {array.dtype}")
    return name


def to_raw(array: Array) -> bytes:
    """Row-major little-endian bytes; each BYTES element after its length as an unsigned 32-bit integer."""
    if array.dtype != object:
        return array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
    elements = [item if isinstance(item, bytes) else str(item).encode() for item in array.ravel()]
    return b"".join(len(item).to_bytes(_LENGTH_BYTES, "little") + item for item in elements)


def from_raw(datatype: str, shape: Sequence[int], raw: bytes | memoryview) -> Array:
    """The array that `to_raw` wrote; numbers are a read-only view on `raw`.

    Raises:
        ValueError: the datatype is unknown, or the bytes do not fill the shape.
    """
    dtype = DTYPES.get(datatype)
    if dtype is None:
        raise ValueError(f"unknown datatype {datatype}")
    if datatype != BYTES:
        return np.frombuffer(raw, dtype).reshape(shape)
    elements = np.empty(int(np.prod(shape)), dtype=object)
    position = 0
    for index in range(len(elements)):
        start = position + _LENGTH_BYTES
        position = start + int.from_bytes(raw[start - _LENGTH_BYTES : start], "little")
        if position > len(raw):
            raise ValueError(f"string {index} ends after the data")
        elements[index] = bytes(raw[start:position])
    return elements.reshape(shape)


def from_values(datatype: str, shape: Sequence[int], values: Sequence[Any]) -> Array:
    """The array of a JSON `data` list (flat or nested) or of a gRPC `contents` field.

    Raises:
        ValueError: the datatype is unknown, or the values do not fill the shape.
    """
    if datatype not in DTYPES:
        raise ValueError(f"unknown datatype {datatype}")
    if datatype != BYTES:
        return np.array(values, dtype=DTYPES[datatype]).reshape(shape)
    flat = np.array(values, dtype=object).ravel()
    encoded = np.empty(len(flat), dtype=object)
    encoded[:] = [item if isinstance(item, bytes) else str(item).encode() for item in flat]
    return encoded.reshape(shape)
