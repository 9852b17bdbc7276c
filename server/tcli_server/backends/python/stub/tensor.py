"""`Tensor`: a named array of a model's input or output, over numpy, over shared memory or by DLPack."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from . import dlpack
from .cuda import copy_to_host
from .datatypes import CODES, DTYPES, NAME_OF_DTYPE, name_of_dtype
from .errors import TritonModelException
from .strings import deserialized, serialized
from .texts import text_of

_UINT16 = np.dtype(np.uint16)
_QUICKLY_COPIED = 4096
"""Bytes up to which a copy on the way costs less than finding out how to do without."""

_EMPTY_NAME = "Tensor name cannot be an empty string."


class Tensor:
    """A named array.

    Args:
        name: of the input or output.
        numpy_array: taken as it is, without a copy, unless its memory is in another order than C's or its bytes in
            another than the machine's. Arrays of strings, of kind O, S and U, become BYTES and are serialised at once.

    Attributes:
        datatype: name on the wire (`FP32`).
        nbytes: size of what `write_to` writes.

    Raises:
        TypeError: no name or no array.
        TritonModelException: the name is empty, or the server has no such data type.
    """

    __slots__ = ("__weakref__", "_array", "_data", "_device", "_name", "_shape", "datatype", "nbytes")

    _array: np.ndarray | None
    _data: np.ndarray | bytes | dlpack.Imported
    _device: tuple[int, int]
    _shape: list[int] | None
    datatype: str
    nbytes: int

    def __init__(self, name: str, numpy_array: np.ndarray) -> None:
        if type(numpy_array) is not np.ndarray:
            numpy_array = _plain(numpy_array)
        if not name or type(name) is not str:
            name = _checked_name(name)
        self._name = name
        self._shape = None
        datatype = NAME_OF_DTYPE.get(numpy_array.dtype)
        if datatype is None:
            self._take_unusual(numpy_array)
            return
        self.datatype = datatype
        if not numpy_array.flags.c_contiguous:
            numpy_array = numpy_array.copy(order="C")
        self._array = self._data = numpy_array
        self.nbytes = numpy_array.nbytes

    def _take_unusual(self, array: np.ndarray) -> None:
        """Strings, BF16, and numbers whose bytes are in the other order."""
        datatype = name_of_dtype(array.dtype)
        if datatype is None:
            raise TritonModelException(
                f"NumPy dtype is not supported: tensor '{self._name}' is {array.dtype}, expected bool, int8 to int64, uint8 to "
                "uint64, float16 to float64, or strings (object, S, U)"
            )
        self.datatype = datatype
        if datatype == "BYTES":
            self._array, self._data = array, serialized(array)
            self.nbytes = len(self._data)
            return
        array = array.astype(array.dtype.newbyteorder("="), order="C", copy=False)
        self._array, self._data = array, array.view(_UINT16) if datatype == "BF16" else array
        self.nbytes = array.nbytes

    @classmethod
    def _received(cls, name: str, datatype: str, shape: Sequence[int], buffer: np.ndarray) -> Tensor:
        """A tensor over its serialised bytes, uint8, which it keeps alive and does not copy."""
        self = cls.__new__(cls)
        self._name = name
        self.datatype = datatype
        self._shape = shape  # type: ignore[assignment]
        self._array = None
        self._data = buffer
        self.nbytes = buffer.nbytes
        return self

    @classmethod
    def _imported(cls, name: str, imported: dlpack.Imported) -> Tensor:
        self = cls._received(name, imported.datatype, imported.shape, imported.data)
        if not imported.on_cpu:
            self._data = imported
        self._device = imported.device
        return self

    def name(self) -> str:
        """Of the input or output."""
        return self._name

    def shape(self) -> list[int]:
        """Batch dimension included."""
        if self._shape is not None:
            return list(self._shape)
        return list(self._array.shape)  # type: ignore[union-attr]

    def triton_dtype(self) -> int:
        """Triton's code of the data type."""
        return CODES[self.datatype]

    def is_cpu(self) -> bool:
        """Whether it is in the memory of the CPU, pinned memory included."""
        return not isinstance(self._data, dlpack.Imported)

    def as_numpy(self) -> np.ndarray:
        """The array, without a copy; strings as an object array of `bytes`.

        Raises:
            TritonModelException: it is on a GPU, or BF16, which numpy has not.
        """
        array = self._array
        return array if array is not None else self._decoded()

    def _decoded(self) -> np.ndarray:
        data = self._data
        if isinstance(data, dlpack.Imported):
            raise TritonModelException("Tensor is stored in GPU and cannot be converted to NumPy.")
        dtype = DTYPES.get(self.datatype)
        if dtype is not None:
            array = np.ndarray(self._shape, dtype, data)  # type: ignore[arg-type]
        elif self.datatype == "BYTES":
            array = deserialized(data).reshape(self._shape)
        else:
            raise TritonModelException(
                f"Tensor dtype is BF16 and cannot be converted to NumPy: tensor '{self._name}'. Take it by DLPack, for example "
                "torch.from_dlpack(tensor)"
            )
        self._array = array
        return array

    def write_to(self, buffer: memoryview) -> None:
        """Copy its serialised bytes.

        Args:
            buffer: of exactly `nbytes` bytes.

        Raises:
            TritonModelException: it cannot be copied from its GPU.
        """
        data = self._data
        if isinstance(data, np.ndarray):
            buffer[:] = data.tobytes() if self.nbytes <= _QUICKLY_COPIED else data.data.cast("B")
        elif isinstance(data, bytes):
            buffer[:] = data
        else:
            copy_to_host(data.address, data.device[1], buffer)

    # --- DLPack ---

    def to_dlpack(self) -> Any:
        """A DLPack capsule of the same memory.

        Raises:
            TritonModelException: it holds strings.
        """
        if self.datatype == "BYTES":
            raise TritonModelException("DLPack does not have support for string tensors.")
        return dlpack.exported(self._data, self.shape(), self.datatype, self.__dlpack_device__(), self)  # type: ignore[arg-type]

    @staticmethod
    def from_dlpack(name: str, tensor: Any) -> Tensor:
        """A tensor over the memory of another library's, without a copy.

        Args:
            tensor: a DLPack capsule, or an object with `__dlpack__` and `__dlpack_device__`.

        Raises:
            TritonModelException: it is none, its memory is not in C order, or the server has no such data type.
        """
        return Tensor._imported(_checked_name(name), dlpack.imported(tensor))

    def __dlpack__(
        self,
        stream: Any = None,
        max_version: tuple[int, int] | None = None,
        dl_device: tuple[int, int] | None = None,
        copy: bool | None = None,
    ) -> Any:
        """For consumers. Nothing is under way on any stream, and the oldest version is one that all of them know."""
        if dl_device is not None and tuple(dl_device) != self.__dlpack_device__():
            raise BufferError(f"this tensor is on DLPack device {self.__dlpack_device__()}, not on {tuple(dl_device)}")
        if copy:
            raise BufferError("a tensor is given by DLPack without a copy only")
        return self.to_dlpack()

    def __dlpack_device__(self) -> tuple[int, int]:
        return getattr(self, "_device", dlpack.CPU)

    def __repr__(self) -> str:
        return f"Tensor({self._name!r}, {self.datatype}, shape {self.shape()})"


def _checked_name(name: object) -> str:
    name = text_of("name", name)
    if not name:
        raise TritonModelException(_EMPTY_NAME)
    return name


def _plain(array: object) -> np.ndarray:
    if not isinstance(array, (np.ndarray, np.generic)):
        raise TypeError(
            f"numpy_array: expected a numpy.ndarray, found {type(array).__name__}. Use numpy.asarray, or Tensor.from_dlpack for "
            "the tensors of other libraries"
        )
    return np.asarray(array)
