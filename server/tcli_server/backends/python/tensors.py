"""The server's side of tensors in shared memory; the worker's is `stub/tensors.py`."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from tritonclient.utils import deserialize_bytes_tensor, serialize_byte_tensor

from tcli_server.backends.python.stub.memory import ReadMemory, WrittenMemory
from tcli_server.datatypes import BY_DTYPE, BY_NAME
from tcli_server.request import Inputs

_ALIGNMENT = 64

Description = list[Any]


def write(tensors: Sequence[Inputs], memory: WrittenMemory) -> tuple[list[int], list[list[Description]]]:
    """Copy the tensors of several requests into one block.

    Returns:
        [offset, size] of the block, and the descriptions of each request's tensors.

    Raises:
        FullError: the memory has no room for them.
    """
    described: list[list[Description]] = []
    arrays: list[tuple[int, int, np.ndarray]] = []
    size = 0
    for inputs in tensors:
        descriptions: list[Description] = []
        for name, array in inputs.items():
            kind = BY_DTYPE[array.dtype]
            shape = array.shape
            if not kind.size:
                array = _serialized(array)
            nbytes = array.nbytes
            descriptions.append([name, kind.name, shape, size, nbytes])
            if nbytes:
                arrays.append((size, nbytes, array))
                size += -(-nbytes // _ALIGNMENT) * _ALIGNMENT
        described.append(descriptions)
    if not size:
        return [0, 0], described
    block = memory.take(size)
    for start, nbytes, array in arrays:
        memory.shaped(block + start, nbytes, array.dtype, array.shape)[...] = array
    for descriptions in described:
        for description in descriptions:
            description[3] += block
    return [block, size], described


def _serialized(array: np.ndarray) -> np.ndarray:
    if not array.size:
        return np.empty(0, np.uint8)
    return np.frombuffer(serialize_byte_tensor(array).item(), np.uint8)


def read(descriptions: Iterable[Description], memory: ReadMemory) -> dict[str, np.ndarray]:
    """Copies of tensors."""
    arrays: dict[str, np.ndarray] = {}
    for name, datatype, shape, start, nbytes in descriptions:
        kind = BY_NAME[datatype]
        if not nbytes:
            arrays[name] = np.empty(shape, kind.dtype)
        elif kind.size:
            arrays[name] = memory.shaped(start, nbytes, kind.dtype, shape).copy()
        else:
            arrays[name] = deserialize_bytes_tensor(memory.array(start, nbytes).tobytes()).reshape(shape)
    return arrays
