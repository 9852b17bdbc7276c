"""The tensors of a traced request: what is kept of them until they are written, and as which text."""

import codecs
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import orjson

from tcli_server.datatypes import BY_DTYPE

MOST_BYTES = 4 << 20
"""Of the tensors of one trace. They are copied where requests end, which may be the event loop: this takes it a millisecond."""

OVERHEAD = 1 << 10
"""Bytes that a tensor takes beside its data."""

_ELEMENT = 64
"""Bytes that an element of BYTES takes beside its own."""

_LONGEST_NAME = 1024
"""Characters; of a request that is refused, clients choose them."""

_AT_ONCE = 1 << 12
_BYTES_AT_ONCE = 1 << 13
"""Numbers, and bytes of strings, that become text without letting other threads run."""

_ERRORS = "backslashreplace"


@dataclass(frozen=True, slots=True)
class TracedTensor:
    """One tensor at one point of a request's way.

    Attributes:
        activity: that point; names are Triton's.
        data: a copy, as others may write to the tensor before the trace is written; None where the trace had no room for it.
    """

    activity: str
    name: str
    datatype: str
    shape: tuple[int, ...]
    data: np.ndarray | None

    def pieces(self) -> Iterator[bytes]:
        """As JSON, without the braces around; piece by piece, as other threads wait while one is made."""
        head = {"activity": self.activity, "tensor": {"name": self.name, "data": ""}}
        yield orjson.dumps(head)[1:-3]
        if self.data is not None:
            elements = self.data.reshape(-1)
            for start in range(0, elements.size, _AT_ONCE):
                if start:
                    yield b","
                some = elements[start : start + _AT_ONCE]
                if some.dtype.hasobject:
                    yield from _strings(some.tolist())
                else:
                    yield _numbers(some)
        tail = {"shape": ",".join(map(str, self.shape)), "dtype": self.datatype}
        yield b'",' + orjson.dumps(tail)[1:]


def copied(activity: str, name: str, array: np.ndarray, room: int) -> tuple[TracedTensor, int]:
    """A tensor to be traced, and the bytes that it takes; without its data where it would take more than `room`."""
    size = OVERHEAD + _bytes_of(array, room)
    data = array.copy() if size <= room else None
    known = BY_DTYPE.get(array.dtype)
    datatype = str(array.dtype) if known is None else known.name
    return TracedTensor(activity, name[:_LONGEST_NAME], datatype, array.shape, data), OVERHEAD if data is None else size


def _bytes_of(array: np.ndarray, room: int) -> int:
    """What it takes; of BYTES, no less than `room` as soon as it takes that."""
    if not array.dtype.hasobject:
        return array.nbytes
    size = array.size * _ELEMENT
    return size if size > room else size + sum(map(len, array.reshape(-1).tolist()))


def _numbers(elements: np.ndarray) -> bytes:
    if elements.dtype == np.bool_:  # as Triton
        elements = elements.view(np.uint8)
    if elements.dtype.kind not in "iu":
        elements = (
            elements if elements.dtype.kind == "f" else elements.astype(np.float32)
        )  # BF16 is no float of numpy's
        if not np.isfinite(elements).all():  # of which JSON has none
            return ",".join(map(str, elements)).encode()
    return orjson.dumps(np.ascontiguousarray(elements), option=orjson.OPT_SERIALIZE_NUMPY)[1:-1]


def _strings(elements: list[bytes]) -> Iterator[bytes]:
    """Each in JSON's form, and that as it stands inside of a JSON string."""
    if sum(map(len, elements)) <= _BYTES_AT_ONCE:
        texts = [element.decode(errors=_ERRORS) for element in elements]
        yield _inside(orjson.dumps(texts).decode()[1:-1])
        return
    for number, element in enumerate(elements):
        yield b',\\"' if number else b'\\"'
        decoder = codecs.getincrementaldecoder("utf-8")(_ERRORS)
        for start in range(0, len(element), _BYTES_AT_ONCE):
            end = start + _BYTES_AT_ONCE
            text = decoder.decode(element[start:end], end >= len(element))
            yield _inside(_inside(text).decode())
        yield b'\\"'


def _inside(text: str) -> bytes:
    return orjson.dumps(text)[1:-1]
