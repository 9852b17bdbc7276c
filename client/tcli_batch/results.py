"""What is written for each row: where it came from, its tensors, its classes."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tcli_batch.ranking import Classes
from tcli_client.tensors import Array


@dataclass(eq=False)
class Results:
    """Rows that were answered, as columns.

    Attributes:
        sources: the file of each row.
        indices: int64 [n], its place in it.
        tensors: output name -> array [n, ...].
        classes: output name -> the best classes of each row.
    """

    sources: Sequence[str]
    indices: Array
    tensors: dict[str, Array] = field(default_factory=dict)
    classes: dict[str, Classes] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.sources)


def plain(array: Array) -> Any:
    """An array as Python's numbers, texts and lists; bytes that are no UTF-8 are escaped as in Python."""
    if array.dtype.hasobject:
        return _texts(array.tolist())
    if array.dtype.name == "bfloat16":
        return array.astype("float32").tolist()
    return array.tolist()


def _texts(value: Any) -> Any:
    if isinstance(value, list):
        return [_texts(item) for item in value]
    return value.decode(errors="backslashreplace") if isinstance(value, bytes) else value
