"""Tensors as raw bytes: little-endian, row-major; BYTES elements behind a 32-bit length each."""

import struct
import sys
from collections.abc import Sequence
from math import prod

import numpy as np

from tcli_server.copying import as_bytes
from tcli_server.datatypes import BY_NAME, DataType
from tcli_server.errors import InvalidArgumentError
from tcli_server.protocols.texts import short

MAX_DIMS = 64
"""Dimensions that a tensor may have: as many as a numpy array can."""

PIECE = 1 << 16
"""Bytes or elements handled by one call into C code, which holds the interpreter while it runs: the other threads, the
event loop's first of all, get their turn in between."""

_MAX_COUNT = 2**63 - 1
_SURELY_FITS = 2**40
_LENGTH = struct.Struct("<I")

assert sys.byteorder == "little", "tensors are viewed in place, which needs a little-endian machine"

Shape = tuple[int, ...]


def datatype(name: str, tensor: str) -> DataType:
    """The data type that a request names.

    Raises:
        InvalidArgumentError: no such type.
    """
    found = BY_NAME.get(name)
    if found is None:
        raise InvalidArgumentError(
            f"invalid datatype '{short(name)}' for input '{short(tensor)}': expected one of {', '.join(BY_NAME)}"
        )
    return found


def element_count(shape: Sequence[int], kind: DataType, tensor: str, model: str) -> int:
    """Elements of a shape that a request gives, which has one dimension at least (see `shapeless`).

    Raises:
        InvalidArgumentError: too many dimensions, a negative one, or a tensor that no array can be: its elements or its
            bytes are more than 64 bits count.
    """
    if len(shape) <= MAX_DIMS and 0 < (count := prod(shape)) <= _SURELY_FITS and min(shape) > 0:
        return count
    if len(shape) > MAX_DIMS:
        raise InvalidArgumentError(
            f"shape of input '{short(tensor)}' for model '{short(model)}' has more than {MAX_DIMS} dimensions, which no "
            "tensor can have"
        )
    if min(shape) < 0:
        raise InvalidArgumentError(
            f"All input dimensions should be specified for input '{short(tensor)}' for model '{short(model)}', got "
            f"{_text(shape)}"
        )
    largest = prod(dim for dim in shape if dim)  # no array has zero elements by [0, 2**62]
    if largest > _MAX_COUNT:
        raise InvalidArgumentError(
            f"invalid shape for input '{short(tensor)}' for model '{short(model)}': shape {_text(shape)} causes total "
            f"element count to exceed maximum size of {_MAX_COUNT}"
        )
    if largest * kind.dtype.itemsize > _MAX_COUNT:
        raise InvalidArgumentError(
            f"byte size overflow for input '{short(tensor)}' for model '{short(model)}': shape {_text(shape)} of "
            f"{kind.name} takes more than the maximum size of {_MAX_COUNT} bytes"
        )
    return 0 if 0 in shape else largest


def _text(shape: Sequence[int]) -> str:
    return "[" + ",".join(map(str, shape)) + "]"


def decode_raw(data: bytes | memoryview, kind: DataType, shape: Shape, tensor: str, model: str) -> np.ndarray:
    """A tensor from its bytes: a view of `data`, without a copy, for all types but BYTES.

    Raises:
        InvalidArgumentError: the bytes do not fit the shape.
    """
    if not shape:
        return shapeless(kind)
    size = len(data)
    if size and prod(shape) * kind.size == size and min(shape) > 0 and len(shape) <= MAX_DIMS:
        return np.frombuffer(data, kind.dtype).reshape(shape)
    count = element_count(shape, kind, tensor, model)
    if not kind.size:
        return _decode_bytes(as_bytes(data), count, shape, tensor, model)
    if count * kind.size != size:
        raise InvalidArgumentError(
            f"input byte size mismatch for input '{short(tensor)}' for model '{short(model)}'. Expected "
            f"{count * kind.size}, got {size}"
        )
    return np.empty(shape, kind.dtype)  # no elements, no bytes


def shapeless(kind: DataType) -> np.ndarray:
    """What stands for a tensor of shape []: Triton looks at no data of it, and the model says which shape it wants."""
    return np.zeros((), kind.dtype) if kind.size else bytes_array([b""], ())


def _decode_bytes(data: bytes, count: int, shape: Shape, tensor: str, model: str) -> np.ndarray:
    """A BYTES tensor: an object array of `bytes`.

    Raises:
        InvalidArgumentError: more or fewer elements than the shape has, or a length that runs past the end.
    """
    end = len(data)
    array = np.empty(
        min(count, end // 4 + 1), np.object_
    )  # each element takes four bytes at least, whatever the shape says
    unpack, offset = _LENGTH.unpack_from, 0
    for first in range(0, count, PIECE):
        elements: list[bytes] = []
        for index in range(first, min(first + PIECE, count)):
            start = offset + 4
            if start > end:
                raise _ended_early(tensor, model, count, index, end - offset)
            offset = start + unpack(data, offset)[0]
            if offset > end:
                raise InvalidArgumentError(
                    f"incomplete string data for inference input '{short(tensor)}' for model '{short(model)}', expecting "
                    f"string of length {offset - start} but only {end - start} bytes available"
                )
            elements.append(data[start:offset])
        array[first : first + PIECE] = elements
    if offset < end:
        raise InvalidArgumentError(
            f"unexpected number of string elements for inference input '{short(tensor)}' for model '{short(model)}', "
            f"expecting {count}, but {end - offset} bytes follow them"
        )
    return array.reshape(shape)


def _ended_early(tensor: str, model: str, expected: int, found: int, left: int) -> InvalidArgumentError:
    if left:
        return InvalidArgumentError(
            f"incomplete string length indicator for inference input '{short(tensor)}' for model '{short(model)}', "
            f"expecting 4 bytes but only {left} bytes available"
        )
    return InvalidArgumentError(
        f"expected {expected} string elements for inference input '{short(tensor)}' for model '{short(model)}', got "
        f"{found}"
    )


def bytes_array(elements: Sequence[bytes], shape: Shape) -> np.ndarray:
    """An object array of `bytes` in the given shape; numpy alone would make fixed-width strings of them."""
    array = np.empty(len(elements), np.object_)
    for start in range(0, len(elements), PIECE):
        array[start : start + PIECE] = elements[start : start + PIECE]
    return array.reshape(shape)


def encode_raw(array: np.ndarray) -> bytes | memoryview:
    """A tensor's bytes as they travel: the array's own memory where that is possible."""
    if array.dtype.hasobject:
        return _encode_bytes(array.reshape(-1))
    if array.nbytes <= PIECE:
        return array.tobytes()
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data


def _encode_bytes(flat: np.ndarray) -> bytes:
    pieces: list[bytes] = []
    for start in range(0, len(flat), PIECE):
        parts: list[bytes] = []
        for element in flat[start : start + PIECE].tolist():
            parts += (_LENGTH.pack(len(element)), element)
        pieces.append(b"".join(parts))
    return b"".join(pieces)
