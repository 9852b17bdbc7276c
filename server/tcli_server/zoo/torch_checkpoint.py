"""Reads tensors from a file of `torch.save`'s legacy format, without torch and without running code from the file.

The format is a row of pickles (a magic number, the protocol, facts on the machine, the state dict, the keys of the
storages), then for each key an int64 count and the raw little-endian elements.
"""

import pickle
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001
_DTYPES = {
    "BoolStorage": "?",
    "ByteStorage": "u1",
    "CharStorage": "i1",
    "DoubleStorage": "<f8",
    "FloatStorage": "<f4",
    "HalfStorage": "<f2",
    "IntStorage": "<i4",
    "LongStorage": "<i8",
    "ShortStorage": "<i2",
}


class CheckpointError(ValueError):
    """The file is no checkpoint of plain tensors in the legacy format."""


@dataclass(frozen=True)
class _StorageType:
    dtype: str


@dataclass(frozen=True)
class _Storage:
    key: str
    dtype: str


@dataclass(frozen=True)
class _TensorPlan:
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


def load_checkpoint(path: Path) -> dict[str, np.ndarray]:
    """The tensors of a state dict by name.

    Raises:
        CheckpointError: the file is something else, is truncated, or asks for anything but plain CPU tensors.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        try:
            magic, protocol = _unpickle(file), _unpickle(file)
            if (magic, protocol) != (_MAGIC, _PROTOCOL):
                raise CheckpointError(f"{path} is not in torch's legacy checkpoint format")
            _unpickle(file)
            state = _unpickle(file)
            keys = _unpickle(file)
        except (pickle.UnpicklingError, EOFError, TypeError, ValueError, AttributeError, IndexError, KeyError) as error:
            raise CheckpointError(f"{path} is no checkpoint of plain tensors: {error}") from None
        dtypes = {plan.storage.key: plan.storage.dtype for plan in state.values() if isinstance(plan, _TensorPlan)}
        storages = {key: _read_storage(file, np.dtype(dtypes[key]), path) for key in keys}
    return {name: _tensor(plan, storages, path) for name, plan in state.items()}


def _unpickle(file: BinaryIO) -> Any:
    return _Unpickler(file).load()


class _Unpickler(pickle.Unpickler):
    """Knows the few names that a state dict of plain tensors consists of and refuses every other."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _plan_tensor
        if module == "torch" and name in _DTYPES:
            return _StorageType(_DTYPES[name])
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is not allowed")

    def persistent_load(self, pid: Any) -> Any:
        kind, storage_type, key, _device, _count, view = pid
        if kind != "storage" or not isinstance(storage_type, _StorageType) or view is not None:
            raise pickle.UnpicklingError("a storage of an unknown kind")
        return _Storage(str(key), storage_type.dtype)


def _plan_tensor(storage: _Storage, offset: int, shape: Sequence[int], stride: Sequence[int], *_: Any) -> _TensorPlan:
    if not isinstance(storage, _Storage):
        raise pickle.UnpicklingError("a tensor without a storage")
    return _TensorPlan(storage, offset, tuple(shape), tuple(stride))


def _read_storage(file: BinaryIO, dtype: np.dtype, path: Path) -> np.ndarray:
    count = int.from_bytes(file.read(8), "little", signed=True)
    data = file.read(max(0, count) * dtype.itemsize)
    if count < 0 or len(data) != count * dtype.itemsize:
        raise CheckpointError(f"{path} is truncated")
    return np.frombuffer(data, dtype)


def _tensor(plan: object, storages: dict[str, np.ndarray], path: Path) -> np.ndarray:
    if not isinstance(plan, _TensorPlan):
        raise CheckpointError(f"{path} holds something that is not a tensor")
    storage = storages[plan.storage.key]
    reach = plan.offset + sum((size - 1) * step for size, step in zip(plan.shape, plan.stride, strict=True))
    if min((plan.offset, *plan.shape, *plan.stride), default=0) < 0 or reach >= max(1, storage.size):
        raise CheckpointError(f"{path} holds a tensor that reaches beyond its data")
    strides = [step * storage.itemsize for step in plan.stride]
    return np.lib.stride_tricks.as_strided(storage[plan.offset :], plan.shape, strides, writeable=False)
