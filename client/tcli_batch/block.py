"""What travels through a batch job: rows that follow each other, as columns."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from tcli_client.tensors import Array


@dataclass(frozen=True, order=True)
class Cursor:
    """A place in the data, between two rows.

    Attributes:
        file: which of the job's files, from 0.
        row: the next row of that file.
    """

    file: int = 0
    row: int = 0


@dataclass(frozen=True)
class Refusal:
    """A row without an answer.

    Attributes:
        source: the file as it was named.
        index: of the row in the file, from 0.
        place: of the row in the data.
    """

    source: str
    index: int
    reason: str
    place: Cursor


@dataclass(eq=False)
class Block:
    """Rows of the same shapes, in the order of the data.

    Attributes:
        sources: the file of each row.
        indices: int64 [n], the row's place in its file.
        inputs: input name -> array [n, ...], as many as there are rows.
        refusals: rows of the same stretch of data that could not be read or do not fit the model, in order.
        after: where the data goes on.
        files: of rows that are a file each, its number among the job's; empty where all are of `after`'s file.
    """

    sources: Sequence[str]
    indices: Array
    inputs: dict[str, Array]
    refusals: list[Refusal]
    after: Cursor
    files: Sequence[int] = ()

    def __len__(self) -> int:
        return len(self.sources)

    def rows(self, first: int, last: int) -> dict[str, Array]:
        """The inputs of some of its rows."""
        return {name: array[first:last] for name, array in self.inputs.items()}

    def place(self, row: int) -> Cursor:
        """Where in the data a row is, or, after the last one, where the data goes on."""
        if row == len(self):
            return self.after
        return Cursor(self.files[row]) if self.files else Cursor(self.after.file, int(self.indices[row]))


@dataclass(eq=False)
class Answers:
    """What came of rows that follow each other; their outputs have the same shapes.

    Attributes:
        outputs: output name -> array [n, ...].
        refusals: of the same stretch of data, in order.
        after: where the data goes on.
        example: the inputs of one row that was answered.
    """

    sources: Sequence[str] = ()
    indices: Array = field(default_factory=lambda: np.empty(0, np.int64))
    outputs: dict[str, Array] = field(default_factory=dict)
    refusals: list[Refusal] = field(default_factory=list)
    after: Cursor = field(default_factory=Cursor)
    example: dict[str, Array] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.sources)


def array_bytes(array: Array) -> int:
    """Bytes of an array, with those of its elements where they are `bytes`."""
    if array.dtype.hasobject:
        return array.nbytes + sum(map(len, array.ravel().tolist()))
    return array.nbytes
