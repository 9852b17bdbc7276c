"""JSON lines: each line is a row, an object with a value for each input, or the value of the only one."""

import base64
import codecs
import itertools
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import orjson

from tcli_batch.addresses import open_data
from tcli_batch.errors import UnreadableError
from tcli_batch.sources import CHUNK_BYTES, VALUE, Chunk, Table, lines_about

_CHUNK_ROWS = 8_192
_LOOKED_AT = 1_000
_LONGEST_LINE = 256 << 20


class JsonLinesFile(Table):
    """A `.jsonl` or `.ndjson` file. Empty lines are passed over and not counted.

    Raises:
        DataError: it cannot be read, or has no row that can be.
    """

    def __init__(self, file: str) -> None:
        self._file = file
        self.columns = columns_of(file, (row for row, _ in _rows(file, 0)))
        self.rows_about = lines_about(file)

    def chunks(self, start: int = 0) -> Iterator[Chunk]:
        return chunks_of(_rows(self._file, start), self.columns, start)


Row = Any
"""A parsed row, or a `Unreadable`."""


class Unreadable(str):
    """Why a row could not be parsed."""

    __slots__ = ()


def columns_of(file: str, rows: Iterator[Row]) -> tuple[str, ...]:
    """The columns of the first row that can be read."""
    problem = "it has no rows"
    for row in itertools.islice(rows, _LOOKED_AT):
        if not isinstance(row, Unreadable):
            return tuple(row) if isinstance(row, dict) else (VALUE,)
        problem = f"its first row cannot be read: {row}"
    raise UnreadableError(f"'{file}': {problem}")


def chunks_of(rows: Iterator[tuple[Row, int]], columns: Sequence[str], start: int) -> Iterator[Chunk]:
    """Rows and the bytes that each took, in stretches.

    A row that lacks a column has None there.
    """
    taken: list[Row] = []
    size, first = 0, start
    try:
        for row, length in rows:
            taken.append(row)
            size += length
            if size >= CHUNK_BYTES or len(taken) >= _CHUNK_ROWS:
                yield _chunk(first, taken, columns)
                first += len(taken)
                taken, size = [], 0
    except UnreadableError:  # what was read before is good
        if taken:
            yield _chunk(first, taken, columns)
        raise
    if taken:
        yield _chunk(first, taken, columns)


def _chunk(first: int, rows: list[Row], columns: Sequence[str]) -> Chunk:
    refused: dict[int, str] = {}
    bare = tuple(columns) == (VALUE,)
    for place, row in enumerate(rows):
        if isinstance(row, Unreadable):
            refused[place] = str(row)
        elif not bare and not isinstance(row, dict):
            refused[place] = f"expected an object with {', '.join(columns)}, as the first row"
    if bare:
        values: list[Any] = [row[VALUE] if isinstance(row, dict) and VALUE in row else row for row in rows]
        return Chunk(first, len(rows), {VALUE: values}, refused)
    known, others = set(columns), defaultdict[str, list[int]](list)
    for place, row in enumerate(rows):
        if isinstance(row, dict) and not row.keys() <= known:
            for name in row.keys() - known:
                others[name].append(place)
    found = [row if place not in refused else {} for place, row in enumerate(rows)]
    cells = {column: [_cell(row.get(column)) for row in found] for column in columns}
    return Chunk(first, len(rows), cells, refused, others)


def _cell(value: Any) -> Any:
    """A value; perf_analyzer's two forms of one, `{"b64": ...}` and `{"content": [...], "shape": [...]}`, are taken too."""
    if not isinstance(value, dict):
        return value
    try:
        if value.keys() == {"b64"}:
            return base64.b64decode(value["b64"], validate=True)
        if value.keys() == {"content", "shape"}:
            return np.asarray(value["content"]).reshape(value["shape"])
    except (ValueError, TypeError, OverflowError):
        return value  # which fits nowhere, and is shown then
    return value


def _rows(file: str, start: int) -> Iterator[tuple[Row, int]]:
    try:
        with open_data(file) as stream:
            row = 0
            if stream.read(len(codecs.BOM_UTF8)) != codecs.BOM_UTF8:
                stream.seek(0)
            while line := stream.readline(_LONGEST_LINE + 1):
                if line.isspace():
                    continue
                if len(line) > _LONGEST_LINE:
                    while not line.endswith(b"\n") and (line := stream.readline(CHUNK_BYTES)):
                        pass
                    value: Row = Unreadable(f"longer than {_LONGEST_LINE >> 20} MiB")
                else:
                    value = parsed(line) if row >= start else None
                if row >= start:
                    yield value, len(line)
                row += 1
    except OSError as problem:
        raise UnreadableError(f"'{file}' cannot be read: {problem.strerror or problem}") from None


def parsed(text: bytes) -> Row:
    """A row from its JSON."""
    try:
        return orjson.loads(text)
    except ValueError as problem:
        return Unreadable(f"no JSON: {problem}")
