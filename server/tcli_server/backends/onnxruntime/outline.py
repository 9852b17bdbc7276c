"""Reads an ONNX file without the values of its initializers, which are most of it and which a look at the graph does not need.

Knows how protobuf writes messages, as its own parser cannot leave anything out.
"""

from collections.abc import Mapping
from os import SEEK_CUR
from pathlib import Path
from typing import BinaryIO

_Fields = Mapping[int, "_Fields | None"]
"""By number: which of a field's own to leave out, None for all of it."""

_VALUES: _Fields = dict.fromkeys((4, 5, 6, 7, 9, 10, 11))
"""Of TensorProto: float_data, int32_data, string_data, int64_data, raw_data, double_data, uint64_data."""

_LEFT_OUT: _Fields = {7: {5: _VALUES}}
"""ModelProto's graph, in it GraphProto's initializers, in these their values."""

_VARINT, _DELIMITED = 0, 2
_FIXED = {1: 8, 5: 4}
"""Wire type -> bytes."""

_LONGEST_VARINT = 10
_NOTHING: _Fields = {}

_MOST_FIELDS = 1_000_000
"""More are for a parser that is not written in Python."""


class NoOutlineError(ValueError):
    """The file is damaged, is something else, or has what ONNX files have not."""


def read_outline(path: Path) -> bytes:
    """A model as it is in its file, but for the values.

    Raises:
        NoOutlineError: the whole file is to be read; that may say more.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        return _Outline(file).read(path.stat().st_size, _LEFT_OUT)


class _Outline:
    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._fields = 0

    def read(self, size: int, left_out: _Fields) -> bytes:
        """The next message, of so many bytes, without some of its fields."""
        kept: list[bytes] = []
        left = size
        while left > 0:
            tag, used = self._varint()
            left -= used
            field, kind = tag >> 3, tag & 7
            if kind == _DELIMITED:
                length, used = self._varint()
                left -= used + length
                if left < 0:
                    raise NoOutlineError
                fields = left_out.get(field, _NOTHING)
                if fields is None:
                    self._file.seek(length, SEEK_CUR)
                else:
                    value = self.read(length, fields) if fields else self._bytes(length)
                    kept += (_varint(tag), _varint(len(value)), value)
            elif kind == _VARINT:
                number, used = self._varint()
                left -= used
                kept += (_varint(tag), _varint(number))
            elif kind in _FIXED:
                left -= _FIXED[kind]
                kept += (_varint(tag), self._bytes(_FIXED[kind]))
            else:
                raise NoOutlineError
            self._fields += 1
            if left < 0 or self._fields > _MOST_FIELDS:
                raise NoOutlineError
        return b"".join(kept)

    def _varint(self) -> tuple[int, int]:
        """A number, and the bytes that it takes."""
        number = 0
        for used in range(1, _LONGEST_VARINT + 1):
            (byte,) = self._bytes(1)
            number |= (byte & 0x7F) << 7 * (used - 1)
            if byte < 0x80:
                return number, used
        raise NoOutlineError

    def _bytes(self, count: int) -> bytes:
        data = self._file.read(count)
        if len(data) != count:
            raise NoOutlineError
        return data


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number >= 0x80:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
