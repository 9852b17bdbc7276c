"""Answers of several requests, put together so that whoever takes them has fewer and larger ones."""

import time
from collections.abc import Mapping, Sequence

import numpy as np

from tcli_batch.block import Answers, Block, Cursor, Refusal, array_bytes
from tcli_client.tensors import Array

_MOST_BYTES = 8 << 20
_MOST_ROWS = 65_536
_SECONDS = 0.2
"""Answers wait for more so long at most, so that whoever writes them sees them come."""


class Gathered:
    """Answered and refused rows that follow each other, and were not taken yet."""

    def __init__(self) -> None:
        self._began = 0.0
        self._forget()

    def _forget(self) -> None:
        self._sources: list[str] = []
        self._indices: list[Array] = []
        self._outputs: list[Mapping[str, Array]] = []
        self._refusals: list[Refusal] = []
        self._example: dict[str, Array] = {}
        self._bytes = 0
        self._after = Cursor()

    def __bool__(self) -> bool:
        return bool(self._indices or self._refusals)

    @property
    def seconds_left(self) -> float:
        """Until what is here should be taken, however little it is."""
        return self._began + _SECONDS - time.monotonic() if self else _SECONDS

    @property
    def is_due(self) -> bool:
        """Whether it should be taken, as there are many or they have waited."""
        return self.seconds_left < 0 or len(self._refusals) >= _MOST_ROWS

    def goes_with(self, outputs: Mapping[str, Array]) -> bool:
        """Whether such rows can be added: those that are here have the same outputs and shapes, and are not too many."""
        if not self._outputs:
            return True
        return (
            self._bytes < _MOST_BYTES
            and len(self._sources) < _MOST_ROWS
            and self._outputs[0].keys() == outputs.keys()
            and all(self._outputs[0][name].shape[1:] == array.shape[1:] for name, array in outputs.items())
        )

    def add(self, block: Block, first: int, last: int, outputs: Mapping[str, Array]) -> None:
        """Rows of a block that were answered, and what was refused before the block's next row."""
        self._begin()
        self._example = self._example or block.rows(first, first + 1)
        self._sources += block.sources[first:last]
        self._indices.append(block.indices[first:last])
        self._outputs.append(outputs)
        self._bytes += sum(map(array_bytes, outputs.values()))
        self._pass(block, first, last)

    def refuse(self, block: Block, first: int, last: int, reason: str) -> None:
        """Rows of a block that have no answer; without rows, only what the block itself refuses."""
        self._begin()
        self._refusals += [
            Refusal(block.sources[row], int(block.indices[row]), reason, block.place(row)) for row in range(first, last)
        ]
        self._pass(block, first, last)

    def take(self) -> Answers:
        """All that is here, which then is not any more."""
        names: Sequence[str] = tuple(self._outputs[0]) if self._outputs else ()
        answers = Answers(
            self._sources,
            _joined(self._indices) if self._indices else np.empty(0, np.int64),
            {name: _joined([outputs[name] for outputs in self._outputs]) for name in names},
            sorted(self._refusals, key=lambda refusal: refusal.place),
            self._after,
            self._example,
        )
        self._forget()
        return answers

    def _begin(self) -> None:
        if not self:
            self._began = time.monotonic()

    def _pass(self, block: Block, first: int, last: int) -> None:
        start, self._after = (block.place(first) if first else Cursor()), block.place(last)
        if block.refusals:
            self._refusals += [refusal for refusal in block.refusals if start <= refusal.place < self._after]


def _joined(arrays: list[Array]) -> Array:
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)
