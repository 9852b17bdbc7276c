"""Values of one input, one an item: from a file, a folder of pictures, or made up."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np


class Column(Protocol):
    """Read item by item, and no more than is asked for.

    Attributes:
        source: where they are from, for people.
        count: how many items there are; None where there are as many as anybody wants.
        notes: what a user should know, one sentence each; complete when the items have been read.
    """

    source: str
    count: int | None
    notes: list[str]

    def item(self, index: int) -> np.ndarray:
        """One item, without the batch dimension, in the input's data type and shape.

        Raises:
            DataError: the file is wrong.
            UnusableItemError: this item cannot be read, others may.
        """


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is read, whatever there is.

    Attributes:
        items: at most; from larger files and folders evenly spread ones are taken.
        tensor_bytes: of all items together, about; at least one item is read.
        file_bytes: of a file that must be read as a whole (JSON, text).
    """

    items: int = 1024
    tensor_bytes: int = 64 << 20
    file_bytes: int = 256 << 20
