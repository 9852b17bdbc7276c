"""Tensors of other libraries, in and out, without a copy.

numpy makes and reads the capsules, as it frees memory safely whoever lets go of it last, and when. It knows neither BF16
nor GPUs, and is strict with some others, so it always sees unsigned integers of the same size on the CPU, and the
description in the capsule is changed before and after.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np

from .errors import TritonModelException

CPU = (1, 0)
_CUDA = 2
_ON_CPU = (1, 3)
"""CPU, and CPU memory that is pinned for CUDA."""

_CAPSULE = b"dltensor"
_INT, _UINT, _FLOAT, _BFLOAT, _BOOL = 0, 1, 2, 4, 6

_TYPES = {
    "BOOL": (_BOOL, 8),
    "UINT8": (_UINT, 8),
    "UINT16": (_UINT, 16),
    "UINT32": (_UINT, 32),
    "UINT64": (_UINT, 64),
    "INT8": (_INT, 8),
    "INT16": (_INT, 16),
    "INT32": (_INT, 32),
    "INT64": (_INT, 64),
    "FP16": (_FLOAT, 16),
    "FP32": (_FLOAT, 32),
    "FP64": (_FLOAT, 64),
    "BF16": (_BFLOAT, 16),
}
_NAMES = {kind: name for name, kind in _TYPES.items()}


class _Description(ctypes.Structure):
    """`DLTensor` of dlpack.h, with which a `DLManagedTensor` begins."""

    _fields_ = (
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.c_void_p),
        ("strides", ctypes.c_void_p),
        ("byte_offset", ctypes.c_uint64),
    )


_is_valid = ctypes.pythonapi.PyCapsule_IsValid
_is_valid.argtypes = [ctypes.py_object, ctypes.c_char_p]
_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_pointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
_pointer.restype = ctypes.c_void_p


class Imported:
    """Memory of another library's, kept alive by `data`.

    Attributes:
        data: uint8, one-dimensional; of a GPU's memory, nobody may look at its elements.
    """

    __slots__ = ("data", "datatype", "device", "shape")

    def __init__(self, data: np.ndarray, datatype: str, shape: list[int], device: tuple[int, int]) -> None:
        self.data = data
        self.datatype = datatype
        self.shape = shape
        self.device = device

    @property
    def address(self) -> int:
        """Where its memory begins."""
        address: int = self.data.__array_interface__["data"][0]
        return address

    @property
    def on_cpu(self) -> bool:
        """Whether this process can read it."""
        return self.device[0] in _ON_CPU


def imported(tensor: Any) -> Imported:
    """Take over the memory of a capsule, or of an object that gives one.

    Raises:
        TritonModelException: it is neither, or its memory is not such as a tensor's.
    """
    if _is_valid(tensor, _CAPSULE):
        return _taken(tensor)
    if type(tensor).__name__ == "PyCapsule":
        raise TritonModelException("this DLPack capsule was used before, or is none of the kind 'dltensor'")
    if not hasattr(tensor, "__dlpack__") or not hasattr(tensor, "__dlpack_device__"):
        raise TritonModelException(
            "Provided tensor is not supported. Tensor must be a DLPack capsule or have `__dlpack__` and `__dlpack_device__` "
            f"attributes, found {type(tensor).__name__}"
        )
    kind = int(tensor.__dlpack_device__()[0])
    _check_device(kind)
    if kind == _CUDA:
        # 1 is the default stream: what is under way on others is then waited for by it.
        return _taken(tensor.__dlpack__(stream=1))
    return _taken(_on_numpy(tensor) if isinstance(tensor, np.ndarray) else tensor.__dlpack__(stream=None))


def _on_numpy(array: np.ndarray) -> Any:
    """A capsule of a numpy array, which itself gives none of bool (before 1.25) or read-only ones."""
    from .tensor import Tensor

    return Tensor("array", array).to_dlpack()


def _check_device(kind: int) -> None:
    if kind != _CUDA and kind not in _ON_CPU:
        raise TritonModelException(
            f"DLDevice type {kind} is not supported by the Python backend: expected CPU (1), CUDA (2) or pinned memory (3)"
        )


def _taken(capsule: Any) -> Imported:
    description = _Description.from_address(_pointer(capsule, _CAPSULE))
    device = (description.device_type, description.device_id)
    kind = (description.code, description.bits, description.lanes)
    datatype = _NAMES.get(kind[:2])
    _check_device(device[0])
    if datatype is None or kind[2] != 1:
        raise TritonModelException(
            f"DLPack type (code {kind[0]}, {kind[1]} bits, {kind[2]} lanes) is not supported: expected bool, integers of 8 to "
            "64 bits, floats of 16 to 64 bits, or bfloat16"
        )
    array = _numpy_array(capsule, description)
    if not array.flags.c_contiguous:
        raise TritonModelException(
            "DLPack tensor is not contiguous. Only contiguous DLPack tensors that are stored in C-Order are supported."
        )
    address, shape = array.__array_interface__["data"][0], list(array.shape)
    data = np.asarray(_Memory(address, (array.nbytes,), "|u1", array))
    return Imported(data, datatype, shape, device)


def _numpy_array(capsule: Any, description: _Description) -> np.ndarray:
    from_dlpack = getattr(np, "from_dlpack", None) or getattr(np, "_from_dlpack", None)
    if from_dlpack is None:
        raise _too_old()
    before = (description.device_type, description.device_id, description.code)
    description.device_type, description.device_id, description.code = (*CPU, _UINT)
    try:
        array: np.ndarray = from_dlpack(_Giver(capsule))
    finally:  # numpy has not let go of the description: it belongs to the array now, or to the capsule still
        description.device_type, description.device_id, description.code = before
    return array


class _Giver:
    """An object with a capsule of CPU memory, as numpy wants one."""

    __slots__ = ("_capsule",)

    def __init__(self, capsule: Any) -> None:
        self._capsule = capsule

    def __dlpack__(self, **_: Any) -> Any:
        return self._capsule

    def __dlpack_device__(self) -> tuple[int, int]:
        return CPU


class _Memory:
    """An address with something that keeps it valid; `numpy.asarray` makes a writable array of it."""

    __slots__ = ("__array_interface__", "_owner")

    def __init__(self, address: int, shape: tuple[int, ...], typestr: str, owner: object) -> None:
        self.__array_interface__ = {"data": (address, False), "shape": shape, "typestr": typestr, "version": 3}
        self._owner = owner


def exported(
    data: np.ndarray | Imported,
    shape: Sequence[int],
    datatype: str,
    device: tuple[int, int],
    owner: object = None,
) -> Any:
    """A capsule of memory in C order, which keeps its owner alive, the data itself where there is none; as in Triton, it does not say whether that is read only.

    Raises:
        TritonModelException: numpy is too old.
    """
    code, bits = _TYPES[datatype]
    address = data.address if isinstance(data, Imported) else data.__array_interface__["data"][0]
    seen = np.asarray(_Memory(address, tuple(shape), f"=u{bits // 8}", data if owner is None else owner))
    give: Any | None = getattr(seen, "__dlpack__", None)
    if give is None:
        raise _too_old()
    capsule = give()
    description = _Description.from_address(_pointer(capsule, _CAPSULE))
    description.code = code
    description.device_type, description.device_id = device
    return capsule


def _too_old() -> TritonModelException:
    return TritonModelException(
        f"DLPack needs numpy 1.22 or newer in the model's environment, which has {np.__version__}"
    )
