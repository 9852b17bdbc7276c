"""Tensors as JSON: numbers and strings, flat or nested, NaN and Infinity as Triton allows them."""

import json
import re
from typing import Any

import numpy as np
import orjson

from tcli_server.datatypes import DataType
from tcli_server.errors import InternalError, InvalidArgumentError
from tcli_server.protocols.tensors import bytes_array, element_count

_MAX_NESTING = 100
_CHUNK = 1 << 16
"""Bytes or elements handled at a time where a body is large, so that other threads get their turn in between: the JSON
library holds the interpreter for as long as one call takes."""

LARGE = 1 << 17
"""Bytes from which a JSON body or tensor is worth a thread of its own."""

_DATA_KEY = re.compile(rb'"data"\s*:\s*(?=\[)')
_NUMERIC = b"-+0123456789.eE,[] \t\r\n"


def loads(body: bytes | memoryview) -> tuple[Any, list[np.ndarray]]:
    """Parse a JSON body.

    Returns:
        The document, and the long numeric `data` arrays that were taken out of it: in the document each is replaced by
        its index.

    Raises:
        InternalError: not JSON (Triton answers 500 here).
    """
    if len(body) < LARGE:
        return _parse(body), []
    return _parse_large(bytes(body))


def _parse(text: bytes | memoryview) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        try:
            return json.loads(bytes(text))  # accepts NaN and Infinity, which JSON proper has not
        except (ValueError, RecursionError):
            raise InternalError(f"failed to parse the request JSON buffer: {error}") from None


def _parse_large(body: bytes) -> tuple[Any, list[np.ndarray]]:
    arrays: list[np.ndarray] = []
    kept: list[bytes] = []
    done = 0
    # In a JSON string a quote follows a backslash, so a bare "data" is a key and never part of a text.
    while (key := _DATA_KEY.search(body, done)) is not None:
        start = key.end()
        end = _numeric_end(body, start)
        if end - start < _CHUNK or body[key.start() - 1 : key.start()] == b"\\":
            kept.append(body[done:start])
            done = start
            continue
        kept += (body[done:start], b"%d" % len(arrays))
        arrays.append(_parse_numbers(body, start, end))
        done = end
    kept.append(body[done:])
    return _parse(b"".join(kept)), arrays


def _numeric_end(body: bytes, start: int) -> int:
    """Where the array of numbers that starts at `start` ends, or `start` if it holds anything else."""
    position = start
    while position < len(body):
        window = body[position : position + _CHUNK]
        foreign = window.translate(None, _NUMERIC)
        if foreign:
            stop = position + window.index(foreign[:1])
            end = body.rfind(b"]", start, stop) + 1
            balanced = body.count(b"[", start, end) == body.count(b"]", start, end)
            # Numeric characters after a complete array can only be a comma and space.
            return end if end and balanced and not body[end:stop].strip(b", \t\r\n") else start
        position += _CHUNK
    return start


def _parse_numbers(body: bytes, start: int, end: int) -> np.ndarray:
    parts = []
    position = start
    while position < end:
        cut = end if end - position <= _CHUNK else body.find(b",", position + _CHUNK, end)
        cut = end if cut < 0 else cut
        numbers = body[position:cut].translate(None, b"[]")
        parts.append(_numbers(_parse(b"[" + numbers + b"]")))
        position = cut + 1
    if {part.dtype.kind for part in parts} == {"i", "u"}:  # numpy's common type of these is a float
        parts = [part.astype(np.object_) for part in parts]
    return np.concatenate(parts)


def _numbers(values: list[Any]) -> np.ndarray:
    """An array of JSON numbers; integers that 64 bits cannot hold together stay Python's own, instead of floats.

    Raises:
        ValueError: nested unevenly.
    """
    array = np.array(values)
    if array.dtype.kind == "f" and array.size and np.abs(array).max() >= 2**63:
        exact: np.ndarray = np.array(values, np.object_)
        if all(isinstance(item, int) for item in exact.ravel().tolist()):
            return exact
    return array


def decode_json(data: Any, kind: DataType, shape: tuple[int, ...], tensor: str, model: str) -> np.ndarray:
    """A tensor from the `data` of a request, nested or flat.

    Raises:
        InvalidArgumentError: FP16 and BF16 have no JSON form; nested too deeply.
        InternalError: wrong number or type of elements (Triton answers 500 here).
    """
    if kind.name in ("FP16", "BF16"):
        raise InvalidArgumentError(
            f"receiving {kind.name} data via JSON is not supported. Please use the binary data format for input "
            f"'{tensor}'"
        )
    count = element_count(shape, tensor, model)
    if not shape:
        return np.empty((), kind.dtype)
    if kind.name == "BYTES":
        return _decode_strings(data, count, shape, tensor)
    values = data if isinstance(data, np.ndarray) else _as_array(data, tensor)
    _check_count(values.size, count, tensor, shape)
    return _narrow(values, kind, tensor).reshape(shape)


def _as_array(data: Any, tensor: str) -> np.ndarray:
    if not isinstance(data, list):
        raise InternalError(f"Unable to parse 'data' of input '{tensor}': expected an array")
    try:
        return _numbers(data).reshape(-1)
    except ValueError:  # nested unevenly, or deeper than numpy goes: row-major order of the leaves
        return _numbers(_flatten(data, tensor))


def _flatten(data: list[Any], tensor: str) -> list[Any]:
    leaves: list[Any] = []
    stack = [iter(data)]
    while stack:
        for item in stack[-1]:
            if isinstance(item, list):
                stack.append(iter(item))
                break
            leaves.append(item)
        else:
            stack.pop()
        if len(stack) > _MAX_NESTING:
            raise InvalidArgumentError(
                f"JSON nesting depth exceeds maximum allowed limit ({_MAX_NESTING}) in 'data' of input '{tensor}'"
            )
    return leaves


def _check_count(found: int, expected: int, tensor: str, shape: tuple[int, ...]) -> None:
    if found > expected:
        raise InternalError(
            f"Shape does not match true shape of 'data' field: input '{tensor}' of shape {list(shape)} takes {expected} "
            f"elements, got {found}"
        )
    if found < expected:
        raise InternalError(
            f"Failed to parse 'data' field: input '{tensor}' of shape {list(shape)} takes {expected} elements, got {found}"
        )


def _narrow(values: np.ndarray, kind: DataType, tensor: str) -> np.ndarray:
    """Numbers in the tensor's own type; integers wrap silently, as in Triton."""
    allowed = {"b": "b", "f": "iuf", "i": "iu", "u": "iu"}[kind.dtype.kind]
    if not values.size:
        return np.empty(values.shape, kind.dtype)
    if (
        values.dtype == np.object_
        and kind.dtype.kind in "iu"
        and all(isinstance(item, int) for item in values.tolist())
    ):
        mask = (1 << (8 * kind.size)) - 1
        wrapped = np.array([item & mask for item in values.flat], np.uint64)
        return wrapped.astype(kind.dtype)
    if values.dtype.kind not in allowed:
        raise InternalError(
            f"Unable to parse 'data' of input '{tensor}': expected {kind.name} values, got "
            f"{_described(values.dtype.kind)}"
        )
    with np.errstate(over="ignore"):
        return values.astype(kind.dtype)


def _described(dtype_kind: str) -> str:
    return {"b": "booleans", "i": "integers", "u": "integers", "f": "floating-point numbers", "U": "strings"}.get(
        dtype_kind, "mixed values"
    )


def _decode_strings(data: Any, count: int, shape: tuple[int, ...], tensor: str) -> np.ndarray:
    if not isinstance(data, list):
        raise InternalError(f"Unable to parse 'data' of input '{tensor}': expected an array")
    leaves = _flatten(data, tensor)
    _check_count(len(leaves), count, tensor, shape)
    if not all(isinstance(item, str) for item in leaves):
        raise InternalError(f"Unable to parse 'data' of input '{tensor}': expected strings")
    return bytes_array([item.encode() for item in leaves], shape)


def encode_json(array: np.ndarray, output: str) -> orjson.Fragment:
    """The flat `data` of an output.

    Raises:
        InvalidArgumentError: FP16 and BF16 have no JSON form; bytes that are not text.
    """
    if array.dtype.itemsize == 2 and array.dtype.kind not in "iu":
        name = "FP16" if array.dtype == np.float16 else "BF16"
        raise InvalidArgumentError(
            f"sending {name} data via JSON is not supported. Please use the binary data format for output '{output}'"
        )
    flat = array.reshape(-1)
    if array.dtype.hasobject:
        return orjson.Fragment(orjson.dumps(_text(flat, output)))
    if array.dtype.kind == "f" and not np.isfinite(flat).all():
        return orjson.Fragment(json.dumps(flat.tolist(), separators=(",", ":")).encode())
    if flat.size <= _CHUNK:
        return orjson.Fragment(_dump(flat))
    parts = [_dump(flat[start : start + _CHUNK])[1:-1] for start in range(0, flat.size, _CHUNK)]
    return orjson.Fragment(b"[" + b",".join(parts) + b"]")


def _dump(flat: np.ndarray) -> bytes:
    return orjson.dumps(np.ascontiguousarray(flat), option=orjson.OPT_SERIALIZE_NUMPY)


def _text(flat: np.ndarray, output: str) -> list[str]:
    try:
        return [item.decode() for item in flat]
    except UnicodeDecodeError as error:
        raise InvalidArgumentError(
            f"output '{output}' holds bytes that are no UTF-8 text ({error}). Please use the binary data format"
        ) from None
