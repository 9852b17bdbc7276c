"""Tensors as JSON: numbers and strings, flat or nested, NaN and Infinity as Triton allows them."""

import json
from typing import Any

import numpy as np
import orjson

from tcli_server.datatypes import DataType
from tcli_server.errors import InternalError, InvalidArgumentError
from tcli_server.protocols.http.json_leaves import Leaves, leaves_of
from tcli_server.protocols.http.json_pieces import Pieces
from tcli_server.protocols.tensors import PIECE, Shape, element_count, shapeless
from tcli_server.protocols.texts import short

_ALLOWED = {"b": "b", "f": "iuf", "i": "i", "u": "iu"}
"""Kind of the tensor's type -> kinds of JSON values that it takes; what is 64 bits wide is narrowed silently, as in
Triton."""

_DESCRIBED = {"b": "booleans", "i": "integers", "u": "integers of more than 63 bits", "f": "floating-point numbers"}
_NAMES = {str: "strings", dict: "objects", type(None): "null"}
_AS_TRITON = {
    "b": "non-boolean as boolean",
    "f": "non-number as number",
    "i": "non-signed-integer as signed-integer",
    "u": "non-unsigned-integer as unsigned-integer",
    "O": "non-string as string",
}
"""Kind of the tensor's type -> what Triton says that JSON of another kind is."""


def decode_json(data: Any, kind: DataType, shape: Shape, tensor: str, model: str, max_bytes: int) -> np.ndarray:
    """A tensor from the `data` of a request: a list, nested or flat, or `Pieces`.

    Args:
        max_bytes: bytes that the tensor may take.

    Raises:
        InvalidArgumentError: FP16 and BF16 have no JSON form; nested too deeply; too large.
        InternalError: wrong number or type of elements (Triton answers 500 here).
    """
    if kind.name in ("FP16", "BF16"):
        raise InvalidArgumentError(
            f"receiving {kind.name} data via JSON is not supported. Please use the binary data format for input "
            f"'{short(tensor)}'"
        )
    if not shape:
        return shapeless(kind)
    count = element_count(shape, kind, tensor, model)
    if count * (kind.size or 4) > max_bytes:
        raise InvalidArgumentError(
            f"JSON input '{short(tensor)}' has a byte_size ({count * (kind.size or 4)} bytes) that exceeds the maximum "
            f"allowed value of {max_bytes} bytes. Use --http-max-input-size to increase the limit."
        )
    if isinstance(data, Pieces):
        parts = data.parts
    elif isinstance(data, list):
        parts = [leaves_of(data)]
    else:
        raise InternalError(f"Unable to parse 'data' of input '{short(tensor)}': expected an array")
    _check_count(sum(map(len, parts)), count, tensor, shape)
    convert = _narrowed if kind.size else _encoded
    if len(parts) == 1 and isinstance(array := convert(parts[0], kind, tensor), np.ndarray):
        return array.reshape(shape)
    array = np.empty(count, kind.dtype)
    position = 0
    for part in parts:
        array[position : position + len(part)] = convert(part, kind, tensor)
        position += len(part)
    return array.reshape(shape)


def _check_count(found: int, expected: int, tensor: str, shape: Shape) -> None:
    if found > expected:
        raise InternalError(
            f"Shape does not match true shape of 'data' field: input '{short(tensor)}' of shape {list(shape)} takes "
            f"{expected} elements, got {found}"
        )
    if found < expected:
        raise InternalError(
            f"Failed to parse 'data' field: input '{short(tensor)}' of shape {list(shape)} takes {expected} elements, "
            f"got {found}"
        )


def _encoded(part: Leaves, kind: DataType, tensor: str) -> Leaves:
    """Texts as bytes."""
    if isinstance(part, list) and set(map(type, part)) <= {str}:
        return [item.encode() for item in part]
    raise _wrong_type(part, kind, tensor)


def _narrowed(part: Leaves, kind: DataType, tensor: str) -> Leaves:
    """Numbers in the tensor's own type."""
    if not len(part):
        return part
    if isinstance(part, list) or part.dtype.kind not in _ALLOWED[kind.dtype.kind]:
        raise _wrong_type(part, kind, tensor)
    if kind.dtype.kind == "u" and part.dtype.kind == "i" and part.min() < 0:
        raise InternalError(
            f"Unable to parse 'data' of input '{short(tensor)}': attempt to access JSON non-unsigned-integer as "
            f"unsigned-integer, {kind.name} values are 0 or more, got {part.min()}"
        )
    if kind.dtype.kind != "f":
        return part.astype(kind.dtype, copy=False)
    with np.errstate(over="ignore"):  # first as C++ does, lest large integers be rounded in two ways
        return part.astype(np.float64, copy=False).astype(kind.dtype, copy=False)


def _wrong_type(part: Leaves, kind: DataType, tensor: str) -> InternalError:
    if isinstance(part, list):
        kinds = set(map(type, part))
        found = _NAMES.get(kinds.pop(), "values of several types") if len(kinds) == 1 else "values of several types"
    else:
        found = _DESCRIBED[part.dtype.kind]
    said = "strings" if not kind.size else f"{kind.name} values"
    return InternalError(
        f"Unable to parse 'data' of input '{short(tensor)}': attempt to access JSON {_AS_TRITON[kind.dtype.kind]}: "
        f"expected {said}, got {found}"
    )


def encode_json(array: np.ndarray, output: str) -> orjson.Fragment:
    """The flat `data` of an output; raises as `encode_flat`."""
    return orjson.Fragment(encode_flat(array, output))


def encode_flat(array: np.ndarray, output: str) -> bytes:
    """All elements of an output as a JSON array.

    Raises:
        InvalidArgumentError: FP16 and BF16 have no JSON form; bytes that are not text.
    """
    if array.dtype.itemsize == 2 and array.dtype.kind not in "iu":
        name = "FP16" if array.dtype == np.float16 else "BF16"
        raise InvalidArgumentError(
            f"sending {name} data via JSON is not supported. Please use the binary data format for output '{output}'"
        )
    flat = array.reshape(-1)
    if flat.size <= PIECE:
        return _dump(flat, output)
    parts = [_dump(flat[start : start + PIECE], output)[1:-1] for start in range(0, flat.size, PIECE)]
    return b"[" + b",".join(parts) + b"]"


def _dump(flat: np.ndarray, output: str) -> bytes:
    if flat.dtype.hasobject:
        return orjson.dumps(_text(flat, output))
    if flat.dtype.kind == "f" and not np.isfinite(flat).all():
        return json.dumps(flat.tolist(), separators=(",", ":")).encode()
    return orjson.dumps(np.ascontiguousarray(flat), option=orjson.OPT_SERIALIZE_NUMPY)


def _text(flat: np.ndarray, output: str) -> list[str]:
    try:
        return [item.decode() for item in flat.tolist()]
    except UnicodeDecodeError as error:
        raise InvalidArgumentError(
            f"output '{output}' holds bytes that are no UTF-8 text ({error}). Please use the binary data format"
        ) from None
