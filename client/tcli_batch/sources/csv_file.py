"""Comma-separated values: the first line names the columns."""

import csv
import io
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from tcli_batch.addresses import open_data
from tcli_batch.errors import DataError, UnreadableError
from tcli_batch.sources import CHUNK_BYTES, Chunk, Table, lines_about

_CHUNK_ROWS = 8_192
_CELL_BYTES = 8
_LONGEST_CELL = 64 << 20
_SNIFFED = ",;\t|"
_ENDINGS = {".tsv": "\t"}


class _Columns(Mapping[str, Sequence[str]]):
    """Columns of rows, made when they are wanted: of a wide table few are."""

    def __init__(self, places: Mapping[str, int], rows: Sequence[Sequence[str]]) -> None:
        self._places, self._rows = places, rows

    def __getitem__(self, name: str) -> Sequence[str]:
        place = self._places[name]
        return [row[place] for row in self._rows]

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


class CsvFile(Table):
    """A `.csv` or `.tsv` file in UTF-8; the delimiter is the one that its first line holds most of.

    Raises:
        DataError: it cannot be read, or has no columns.
    """

    def __init__(self, file: str) -> None:
        self._file = file
        csv.field_size_limit(_LONGEST_CELL)
        first = self._first_line()
        ending = next((mark for suffix, mark in _ENDINGS.items() if file.lower().endswith(suffix)), "")
        self._delimiter = ending or max(_SNIFFED, key=first.count)
        header = [name.strip() for name in self._header()]
        if not any(header):
            raise DataError(f"'{file}' is empty", "its first line must name the columns")
        twice = [name for name, count in Counter(header).items() if count > 1]
        if twice:
            raise DataError(f"'{file}' has two columns '{twice[0]}'")
        self.columns = tuple(header)
        self._places = {name: place for place, name in enumerate(header)}
        self.rows_about = max(0, lines_about(file) - 1)

    def chunks(self, start: int = 0) -> Iterator[Chunk]:
        cells: list[list[str]] = []
        refused: dict[int, str] = {}
        size, first = 0, start
        width = len(self.columns)
        for row in self._rows(start):
            if isinstance(row, str):
                refused[len(cells)] = row
                row = [""] * width
            elif len(row) != width:
                refused[len(cells)] = f"expected {width} cells, found {len(row)}"
                row = (row + [""] * width)[:width]
            text = "".join(row)
            if not _is_utf8(text):
                refused[len(cells)] = "it is no text in UTF-8"
                row, text = [""] * width, ""
            cells.append(row)
            size += len(text) + _CELL_BYTES * width
            if size >= CHUNK_BYTES or len(cells) >= _CHUNK_ROWS:
                yield self._chunk(first, cells, refused)
                first += len(cells)
                cells, refused, size = [], {}, 0
        if cells:
            yield self._chunk(first, cells, refused)

    def _chunk(self, first: int, cells: list[list[str]], refused: dict[int, str]) -> Chunk:
        return Chunk(first, len(cells), _Columns(self._places, cells), refused)

    def _rows(self, start: int) -> Iterator[list[str] | str]:
        """The cells of each row, or why it could not be read."""
        row = 0
        with self._explained(), self._opened() as stream:
            reader = csv.reader(stream, delimiter=self._delimiter, strict=True)
            next(reader, None)
            while True:
                try:
                    cells: list[str] | str | None = next(reader, None)
                except csv.Error as problem:  # the next line may be good again
                    cells = f"it cannot be read: {problem}"
                if cells is None:
                    return
                if not cells:
                    continue
                if row >= start:
                    yield cells
                row += 1

    def _first_line(self) -> str:
        with self._explained(), self._opened() as stream:
            line = stream.readline(_LONGEST_CELL)
        if not _is_utf8(line):
            raise UnreadableError(f"'{self._file}' is no text in UTF-8", "iconv -f utf-16 -t utf-8 may make one of it")
        return line

    def _header(self) -> list[str]:
        with self._explained(), self._opened() as stream:
            return next(csv.reader(stream, delimiter=self._delimiter, strict=True), [])

    def _opened(self) -> io.TextIOWrapper:
        return io.TextIOWrapper(open_data(self._file), "utf-8-sig", "surrogateescape", newline="")

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except csv.Error as problem:
            raise UnreadableError(f"'{self._file}': its first line cannot be read: {problem}") from None
        except OSError as problem:
            raise UnreadableError(f"'{self._file}' cannot be read: {problem.strerror or problem}") from None


def _is_utf8(text: str) -> bool:
    """Whether a text has no bytes that could not be decoded."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
