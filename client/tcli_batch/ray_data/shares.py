"""Into which shares the data of a job is cut: each is a task of Ray's, and a part of the output."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from tcli_batch.addresses import file_state
from tcli_batch.block import Cursor
from tcli_batch.errors import UnreadableError
from tcli_batch.sources.kinds import DataFile, Kinds

_BYTES = 32 << 20
_ROWS = 65_536
_FILES = 256
"""Of one row each."""


@dataclass(frozen=True)
class Share:
    """A stretch of the data.

    Attributes:
        number: its place among the shares, which is the order of the data.
        start: of it ...
        stop: ... and the place after it.
    """

    number: int
    start: Cursor
    stop: Cursor


def cut(files: Sequence[DataFile], kinds: Kinds) -> list[Share]:
    """The shares of a job; the same data gives the same ones.

    Raises:
        DataError: a file cannot be read.
    """
    places = [*_starts(files, kinds), Cursor(len(files))]
    return [Share(number, *pair) for number, pair in enumerate(pairwise(places))]


def _starts(files: Sequence[DataFile], kinds: Kinds) -> Iterator[Cursor]:
    singles = 0
    for number, file in enumerate(files):
        if file.is_table:
            singles = 0
            yield from (Cursor(number, row) for row in _rows_of(file, kinds))
            continue
        if singles % _FILES == 0:
            yield Cursor(number)
        singles += 1


def _rows_of(file: DataFile, kinds: Kinds) -> Iterator[int]:
    yield 0
    try:
        table = kinds.table(file)
    except UnreadableError:  # it is refused when its turn comes
        return
    if not table.rows:
        return
    row_bytes = max(1, file_state(file.name).get("size", 0) // table.rows)
    step = max(1, min(_ROWS, _BYTES // row_bytes))
    place = bisect_left(table.starts, step)
    while place < len(table.starts):
        row = table.starts[place]
        yield row
        place = bisect_left(table.starts, row + step)
