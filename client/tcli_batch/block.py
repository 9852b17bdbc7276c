"""What travels through a batch job: rows that follow each other, as columns."""

from collections.abc import Iterator, Sequence
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
    """

    source: str
    index: int
    reason: str


@dataclass(eq=False)
class Block:
    """Rows of the same shapes, in the order of the data.

    Attributes:
        sources: the file of each row.
        indices: int64 [n], the row's place in its file.
        inputs: input name -> array [n, ...], as many as there are rows.
        refusals: rows of the same stretch of data that could not be read or do not fit the model.
        after: where the data goes on.
    """

    sources: Sequence[str]
    indices: Array
    inputs: dict[str, Array]
    refusals: list[Refusal]
    after: Cursor

    def __len__(self) -> int:
        return len(self.sources)

    @property
    def nbytes(self) -> int:
        """Bytes of its tensors."""
        return sum(map(array_bytes, self.inputs.values()))

    def batches(self, rows: int) -> Iterator[dict[str, Array]]:
        """Its inputs, at most so many rows at a time."""
        for first in range(0, len(self), rows):
            yield {name: array[first : first + rows] for name, array in self.inputs.items()}


@dataclass(eq=False)
class Answers:
    """What came of a block.

    Attributes:
        outputs: output name -> array [n, ...], or a list of arrays where the rows' shapes differ.
    """

    sources: Sequence[str] = ()
    indices: Array = field(default_factory=lambda: np.empty(0, np.int64))
    outputs: dict[str, "Array | list[Array]"] = field(default_factory=dict)
    refusals: list[Refusal] = field(default_factory=list)
    after: Cursor = field(default_factory=Cursor)

    def __len__(self) -> int:
        return len(self.sources)


def array_bytes(array: Array) -> int:
    """Bytes of an array, with those of its elements where they are `bytes`."""
    if array.dtype.hasobject:
        return array.nbytes + sum(map(len, array.ravel().tolist()))
    return array.nbytes
