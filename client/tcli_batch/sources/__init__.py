"""The data of a job: files of several kinds, each read in stretches of rows.

A kind is either a `Table`, a file of many rows, or a `Single`, a file that is one row.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tcli_client.tensors import Array

TABLE_SUFFIXES = {
    ".npy": "npy",
    ".npz": "npz",
    ".json": "json",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
    ".wav": "wav",
}
"""Endings of files that hold rows -> their kind."""

CHUNK_BYTES = 4 << 20
"""About as much of a table is read at a time."""

CHUNK_ROWS = 65_536
_SAMPLE = 1 << 16

VALUE = "value"
"""What the column is called where rows are bare values."""


@dataclass(eq=False)
class Chunk:
    """Rows of a table that follow each other, as the file holds them.

    Attributes:
        first: the index of the first row.
        columns: column -> an array [count, ...], or a value for each row.
        refused: place among these rows -> why it could not be read; its values mean nothing.
        others: what only some rows have and is no column -> their places.
    """

    first: int
    count: int
    columns: Mapping[str, "Array | Sequence[Any]"]
    refused: dict[int, str] = field(default_factory=dict)
    others: dict[str, list[int]] = field(default_factory=dict)


class Table(ABC):
    """A file of many rows.

    Attributes:
        columns: their names.
        rows: how many there are; None where only reading it all would tell.
        rows_about: a guess where `rows` is None, for who waits; 0 where there is none.
        starts: rows at which reading may begin without what is before them.
        typed: whether all rows of a column have one type and shape, so that the first tells of all.
    """

    columns: tuple[str, ...]
    rows: int | None = None
    rows_about: int = 0
    starts: Sequence[int] = (0,)
    typed: bool = False

    @abstractmethod
    def chunks(self, start: int = 0) -> Iterator[Chunk]:
        """Its rows from one on; every call reads the file anew.

        Raises:
            DataError: the file cannot be read on.
        """


class Single(ABC):
    """Files that are one row each."""

    @abstractmethod
    def read(self, file: str) -> dict[str, Array]:
        """A file as input name -> array of one row, without a batch dimension; from any thread.

        Raises:
            RowError: it cannot be read, or does not fit the model.
        """


def lines_about(file: str) -> int:
    """Lines of a file, by its size and its first ones; 0 where it cannot be read."""
    try:
        with open(file, "rb") as stream:  # noqa: PTH123  names stay as they were given
            sample = stream.read(_SAMPLE)
            size = stream.seek(0, 2)
    except OSError:
        return 0
    return size * sample.count(b"\n") // max(1, len(sample))


def chunk_rows(row_bytes: int) -> int:
    """Rows of so many bytes to read at a time."""
    return max(1, min(CHUNK_ROWS, CHUNK_BYTES // max(1, row_bytes)))
