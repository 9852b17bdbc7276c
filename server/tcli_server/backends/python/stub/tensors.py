"""Tensors on their way through shared memory: a list of descriptions, each [name, data type, shape, offset, size]."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .memory import WrittenMemory
from .tensor import Tensor

_ALIGNMENT = 64

Description = list[Any]


def write(tensors: Sequence[Tensor], memory: WrittenMemory) -> tuple[int, list[Description]]:
    """Copy tensors into one block: its offset, -1 for none, and their descriptions.

    Raises:
        FullError: the memory has no room for them.
    """
    descriptions: list[Description] = []
    size = 0
    for tensor in tensors:
        nbytes = tensor.nbytes
        descriptions.append([tensor.name(), tensor.datatype, tensor.shape(), size, nbytes])
        size += -(-nbytes // _ALIGNMENT) * _ALIGNMENT
    if not size:
        return -1, descriptions
    block = memory.take(size)
    view = memoryview(memory.array(block, size))  # type: ignore[arg-type]
    for tensor, description in zip(tensors, descriptions, strict=True):
        start, nbytes = description[3], description[4]
        if nbytes:
            tensor.write_to(view[start : start + nbytes])
        description[3] = block + start
    return block, descriptions


def read(descriptions: Sequence[Description], block: int, root: np.ndarray) -> list[Tensor]:
    """Tensors over a block that begins at `block`; they keep `root` alive."""
    return [
        Tensor._received(name, datatype, shape, root[start - block : start - block + size])
        for name, datatype, shape, start, size in descriptions
    ]
