"""BYTES tensors: numpy arrays of strings on one side; on the other each element behind its length, 4 bytes, little-endian."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

from .errors import TritonModelException

_PACK = struct.Struct("<I").pack
_UNPACK_FROM = struct.Struct("<I").unpack_from
_LONGEST = 0xFFFFFFFF
_MANY = 40
"""Elements from which on numpy is worth its while."""


def serialize_byte_tensor(input_tensor: np.ndarray) -> bytes | tuple[()] | None:
    """The elements of an array of strings or objects in C order, each behind its length.

    `str` becomes UTF-8, and so does `str(x)` of any other object. As in Triton, an array without elements gives an empty
    tuple, and an array of anything else None.
    """
    if input_tensor.size == 0:
        return ()
    return serialized(input_tensor) if input_tensor.dtype.kind in "OSU" else None


def deserialize_bytes_tensor(encoded_tensor: Any) -> np.ndarray:
    """The elements of a serialised tensor, as a one-dimensional object array of `bytes`.

    Raises:
        TritonModelException: it ends within an element.
    """
    return deserialized(encoded_tensor)


def serialized(array: np.ndarray) -> bytes:
    """The bytes of an array of kind O, S or U, in C order.

    Raises:
        TritonModelException: a text that has no UTF-8, or an element that is too long.
    """
    elements = array.ravel().tolist()
    if array.dtype.kind != "S":
        for index, element in enumerate(elements):
            if type(element) is not bytes:
                elements[index] = _as_bytes(element, index)
    try:
        pieces: list[bytes] = [b""] * (2 * len(elements))
        pieces[0::2] = map(_PACK, map(len, elements))
    except struct.error:
        index = next(i for i, element in enumerate(elements) if len(element) > _LONGEST)
        raise TritonModelException(
            f"element {index} of a string tensor has {len(elements[index])} bytes, at most {_LONGEST} are possible"
        ) from None
    pieces[1::2] = elements
    return b"".join(pieces)


def _as_bytes(element: object, index: int) -> bytes:
    if isinstance(element, (bytes, bytearray, memoryview)):
        return bytes(element)
    try:
        return str(element).encode()
    except UnicodeEncodeError as error:
        raise TritonModelException(
            f"element {index} of a string tensor is no text that UTF-8 has: {error.reason} at character {error.start}. "
            "Encode it to bytes yourself"
        ) from None


def deserialized(data: Any) -> np.ndarray:
    """A one-dimensional object array of `bytes`, from any contiguous buffer.

    Raises:
        TritonModelException: it ends within an element.
    """
    data = bytes(data)
    elements = _of_one_length(data)
    if elements is None:
        elements = _of_any_length(data)
    array = np.empty(len(elements), np.object_)
    array[:] = elements
    return array


def _of_one_length(data: bytes) -> list[bytes] | None:
    """The elements, if all have the same length: many times faster than one after the other. Else None."""
    if len(data) < 4:
        return None
    (length,) = _UNPACK_FROM(data)
    count, rest = divmod(len(data), 4 + length)
    if rest or not length or count < _MANY:
        return None
    rows = np.frombuffer(data, np.uint8).reshape(count, 4 + length)
    lengths = np.ascontiguousarray(rows[:, :4]).view("<u4")
    if (lengths != length).any():
        return None
    elements: list[bytes] = np.ascontiguousarray(rows[:, 4:]).view(f"V{length}").ravel().tolist()
    return elements


def _of_any_length(data: bytes) -> list[bytes]:
    elements: list[bytes] = []
    append, unpack_from = elements.append, _UNPACK_FROM
    offset, end = 0, len(data)
    while offset < end:
        if end - offset < 4:
            raise TritonModelException(
                f"invalid string tensor: it ends after {end - offset} of the 4 bytes of the length of element {len(elements)}"
            )
        (length,) = unpack_from(data, offset)
        offset += 4
        append(data[offset : offset + length])
        offset += length
    if offset > end:
        raise TritonModelException(
            f"invalid string tensor: element {len(elements) - 1} has {len(elements[-1])} of its {length} bytes"
        )
    return elements
