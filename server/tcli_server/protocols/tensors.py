"""Tensors as raw bytes: little-endian, row-major; BYTES elements behind a 32-bit length each."""

import struct
import sys
from math import prod

import numpy as np

from tcli_server.datatypes import BY_NAME, DataType
from tcli_server.errors import InvalidArgumentError

_MAX_ELEMENTS = 2**63 - 1
_LENGTH = struct.Struct("<I")

assert sys.byteorder == "little", "tensors are viewed in place, which needs a little-endian machine"


def datatype(name: str, tensor: str) -> DataType:
    """The data type that a request names.

    Raises:
        InvalidArgumentError: no such type.
    """
    found = BY_NAME.get(name)
    if found is None:
        raise InvalidArgumentError(
            f"invalid datatype '{name}' for input '{tensor}': expected one of {', '.join(BY_NAME)}"
        )
    return found


def element_count(shape: tuple[int, ...], tensor: str, model: str) -> int:
    """Elements of a shape that a request gives; an empty shape has none, as in Triton.

    Raises:
        InvalidArgumentError: a negative dimension, or more elements than 64 bits count.
    """
    if not shape:
        return 0
    if min(shape) < 0:
        raise InvalidArgumentError(
            f"All input dimensions should be specified for input '{tensor}' for model '{model}', got "
            f"[{','.join(map(str, shape))}]"
        )
    count = prod(shape)
    if count > _MAX_ELEMENTS:
        raise InvalidArgumentError(
            f"shape [{','.join(map(str, shape))}] of input '{tensor}' for model '{model}' causes total element count to "
            f"exceed maximum size of {_MAX_ELEMENTS}"
        )
    return count


def decode_raw(data: bytes | memoryview, kind: DataType, shape: tuple[int, ...], tensor: str, model: str) -> np.ndarray:
    """A tensor from its bytes: a view of `data`, without a copy, for all types but BYTES.

    Raises:
        InvalidArgumentError: the bytes do not fit the shape.
    """
    if not kind.size:
        return decode_bytes(data, element_count(shape, tensor, model), shape, tensor, model)
    if shape and -1 not in shape:  # numpy would take -1 as "whatever fits"
        try:
            return np.frombuffer(data, kind.dtype).reshape(shape)
        except ValueError:
            pass
    return _explain_size(data, kind, shape, tensor, model)


def _explain_size(
    data: bytes | memoryview, kind: DataType, shape: tuple[int, ...], tensor: str, model: str
) -> np.ndarray:
    expected = element_count(shape, tensor, model) * kind.size
    if expected == len(data):  # an empty shape: the model's own shape decides what is wrong with it
        return np.empty(shape, kind.dtype)
    raise InvalidArgumentError(
        f"input byte size mismatch for input '{tensor}' for model '{model}'. Expected {expected}, got {len(data)}"
    )


def decode_bytes(data: bytes | memoryview, count: int, shape: tuple[int, ...], tensor: str, model: str) -> np.ndarray:
    """A BYTES tensor: an object array of `bytes`.

    Raises:
        InvalidArgumentError: more or fewer elements than the shape has, or a length that runs past the end.
    """
    elements: list[bytes] = []
    view, offset, end = memoryview(data), 0, len(data)
    while offset < end:
        if offset + 4 > end:
            raise InvalidArgumentError(
                f"incomplete string length indicator for inference input '{tensor}' for model '{model}', expecting 4 "
                f"bytes but only {end - offset} bytes available"
            )
        (length,) = _LENGTH.unpack_from(view, offset)
        offset += 4
        if offset + length > end:
            raise InvalidArgumentError(
                f"incomplete string data for inference input '{tensor}' for model '{model}', expecting string of length "
                f"{length} but only {end - offset} bytes available"
            )
        elements.append(bytes(view[offset : offset + length]))
        offset += length
        if len(elements) > count:
            raise InvalidArgumentError(
                f"unexpected number of string elements for inference input '{tensor}' for model '{model}', expecting "
                f"{count}"
            )
    if len(elements) < count:
        raise InvalidArgumentError(
            f"expected {count} string elements for inference input '{tensor}' for model '{model}', got {len(elements)}"
        )
    return bytes_array(elements, shape)


def bytes_array(elements: list[bytes], shape: tuple[int, ...]) -> np.ndarray:
    """An object array of `bytes` in the given shape; numpy alone would make fixed-width strings of them."""
    array = np.empty(len(elements), np.object_)
    array[:] = elements
    return array.reshape(shape) if elements or 0 in shape else np.empty(shape, np.object_)


def encode_raw(array: np.ndarray) -> bytes:
    """A tensor's bytes as they travel."""
    if array.dtype.hasobject:
        parts: list[bytes] = []
        for element in array.ravel():
            parts += (_LENGTH.pack(len(element)), element)
        return b"".join(parts)
    return array.tobytes()
