"""A JSON document: a list of rows, read one after the other; or `{"data": [...]}`, as perf_analyzer takes it."""

import io
import json
import re
from collections.abc import Iterator
from typing import IO

from tcli_batch.addresses import open_data
from tcli_batch.errors import UnreadableError
from tcli_batch.sources import Chunk, Table
from tcli_batch.sources.json_lines import Row, chunks_of, columns_of

_PIECE = 1 << 20
_LONGEST_ROW = 256 << 20
_DECODER = json.JSONDecoder()
_SPACE = re.compile(r"[ \t\r\n]*")
_DATA = re.compile(r'\{[ \t\r\n]*"data"[ \t\r\n]*:[ \t\r\n]*')


class JsonFile(Table):
    """A `.json` file.

    Raises:
        DataError: it cannot be read, or holds something else.
    """

    def __init__(self, file: str) -> None:
        self._file = file
        self.columns = columns_of(file, (row for row, _ in _rows(file)))

    def chunks(self, start: int = 0) -> Iterator[Chunk]:
        rows = _rows(self._file)
        for _ in range(start):
            next(rows, None)
        return chunks_of(rows, self.columns, start)


def _rows(file: str) -> Iterator[tuple[Row, int]]:
    try:
        with io.TextIOWrapper(open_data(file), "utf-8-sig") as stream:
            yield from _elements(file, stream)
    except UnicodeDecodeError as problem:
        raise UnreadableError(f"'{file}' is no text in UTF-8: {problem.reason}") from None
    except OSError as problem:
        raise UnreadableError(f"'{file}' cannot be read: {problem.strerror or problem}") from None


def _elements(file: str, stream: IO[str]) -> Iterator[tuple[Row, int]]:
    """The elements of the outermost list; never more than one of them and a piece of the file in memory."""
    text = _Text(stream)
    text.skip_space()
    if text.left().startswith("{") and not text.skip(_DATA):
        raise UnreadableError(
            f"'{file}' is no list of rows",
            'write [{"INPUT": ...}, ...], or {"data": [...]}; or one row in each line of a .jsonl file',
        )
    if not text.take("["):
        raise UnreadableError(f"'{file}' is no list of rows", 'write [{"INPUT": ...}, ...]')
    row = 0
    text.skip_space()
    if text.take("]"):
        return
    while True:
        try:
            yield text.value()
        except ValueError as problem:
            raise UnreadableError(f"'{file}': row {row} is no JSON: {problem}") from None
        row += 1
        text.skip_space()
        if text.take("]"):
            return
        if not text.take(","):
            raise UnreadableError(f"'{file}' is cut off, or no JSON, after row {row - 1}")
        text.skip_space()


class _Text:
    """A text that is read piece by piece."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._text = ""
        self._at = 0
        self._more()

    def _more(self) -> bool:
        left = self._text[self._at :]
        piece = self._stream.read(max(_PIECE, len(left)))  # as much again: what is long is not parsed too often
        self._text = left + piece
        self._at = 0
        return bool(piece)

    def left(self) -> str:
        return self._text[self._at :]

    def skip_space(self) -> None:
        while True:
            match = _SPACE.match(self._text, self._at)
            self._at = match.end() if match else self._at
            if self._at < len(self._text) or not self._more():
                return

    def skip(self, pattern: "re.Pattern[str]") -> bool:
        match = pattern.match(self._text, self._at)
        if match:
            self._at = match.end()
        return match is not None

    def take(self, character: str) -> bool:
        if self._text[self._at : self._at + 1] != character:
            return False
        self._at += 1
        return True

    def value(self) -> tuple[Row, int]:
        """The next value, and its length.

        Raises:
            ValueError: there is none, or it is too long.
        """
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self._at)
            except RecursionError:
                raise ValueError("lists in lists, too many to be read") from None
            except ValueError:
                if len(self._text) - self._at > _LONGEST_ROW:
                    raise ValueError(f"longer than {_LONGEST_ROW >> 20} MiB") from None
                if not self._more():
                    raise
                continue
            length = end - self._at
            if end < len(self._text) or not self._more():  # a number that ends with the piece may go on in the next one
                self._at += length
                return value, length
