"""Comma-separated values: the first line names the columns."""

import csv
import io
from collections.abc import Iterator

from tcli_batch.addresses import open_data
from tcli_batch.errors import DataError, UnreadableError
from tcli_batch.sources import CHUNK_BYTES, Chunk, Table, lines_about

_CHUNK_ROWS = 8_192
_LONGEST_CELL = 64 << 20
_SNIFFED = ",;\t|"
_ENDINGS = {".tsv": "\t"}


class CsvFile(Table):
    """A `.csv` or `.tsv` file in UTF-8; the delimiter is the one that its first line holds most of.

    Raises:
        DataError: it cannot be read, or has no columns.
    """

    def __init__(self, file: str) -> None:
        self._file = file
        csv.field_size_limit(_LONGEST_CELL)
        first = _first_line(file)
        ending = next((mark for suffix, mark in _ENDINGS.items() if file.lower().endswith(suffix)), "")
        self._delimiter = ending or max(_SNIFFED, key=first.count)
        header = next(csv.reader([first], delimiter=self._delimiter), [])
        if not any(name.strip() for name in header):
            raise DataError(f"'{file}' is empty", "its first line must name the columns")
        if len(set(header)) != len(header):
            twice = next(name for name in header if header.count(name) > 1)
            raise DataError(f"'{file}' has two columns '{twice}'")
        self.columns = tuple(name.strip() for name in header)
        self.rows_about = max(0, lines_about(file) - 1)

    def chunks(self, start: int = 0) -> Iterator[Chunk]:
        cells: list[list[str]] = []
        refused: dict[int, str] = {}
        size, first = 0, start
        width = len(self.columns)
        for row in self._rows(start):
            if len(row) != width:
                refused[len(cells)] = f"expected {width} cells, found {len(row)}"
                row = (row + [""] * width)[:width]
            cells.append(row)
            size += sum(map(len, row))
            if size >= CHUNK_BYTES or len(cells) >= _CHUNK_ROWS:
                yield self._chunk(first, cells, refused)
                first += len(cells)
                cells, refused, size = [], {}, 0
        if cells:
            yield self._chunk(first, cells, refused)

    def _chunk(self, first: int, cells: list[list[str]], refused: dict[int, str]) -> Chunk:
        return Chunk(first, len(cells), dict(zip(self.columns, zip(*cells, strict=True), strict=True)), refused)

    def _rows(self, start: int) -> Iterator[list[str]]:
        row = 0
        try:
            with io.TextIOWrapper(open_data(self._file), "utf-8-sig", newline="") as stream:
                reader = csv.reader(stream, delimiter=self._delimiter)
                next(reader, None)
                for cells in reader:
                    if not cells:
                        continue
                    if row >= start:
                        yield cells
                    row += 1
        except UnicodeDecodeError as problem:
            raise UnreadableError(f"'{self._file}': row {row} is no text in UTF-8: {problem.reason}") from None
        except csv.Error as problem:
            raise UnreadableError(f"'{self._file}': row {row} cannot be read: {problem}") from None
        except OSError as problem:
            raise UnreadableError(f"'{self._file}' cannot be read: {problem.strerror or problem}") from None


def _first_line(file: str) -> str:
    try:
        with io.TextIOWrapper(open_data(file), "utf-8-sig", newline="") as stream:
            return stream.readline(_LONGEST_CELL).rstrip("\r\n")
    except UnicodeDecodeError as problem:
        raise UnreadableError(f"'{file}' is no text in UTF-8: {problem.reason}") from None
    except OSError as problem:
        raise UnreadableError(f"'{file}' cannot be read: {problem.strerror or problem}") from None
