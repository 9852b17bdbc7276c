"""One input of a model, and whether arrays fit it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import ml_dtypes
import numpy as np
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_analyzer.data.errors import DataError
from tcli_server.datatypes import BY_CONFIG_TYPE, BY_DTYPE, DataType

_KINDS = {"b": "booleans", "i": "integers", "u": "integers", "f": "fractions", "S": "strings", "U": "strings"}


@dataclass(frozen=True, slots=True)
class ModelInput:
    """What a model takes.

    Attributes:
        dims: of one item, without the batch dimension; -1 where any size is taken.
        optional: requests may leave it out.
    """

    name: str
    kind: DataType
    dims: tuple[int, ...]
    optional: bool = False

    @property
    def varies(self) -> bool:
        """Whether some dimension takes any size."""
        return -1 in self.dims

    @property
    def described(self) -> str:
        """For messages: "FP32 [3, 224, 224]"."""
        return f"{self.kind.name} {list(self.dims)}"

    def fitted(self, array: np.ndarray, place: str) -> np.ndarray:
        """The item in the shape that a request has, where it only differs by leading dimensions of 1.

        Args:
            place: the file and the entry, for the message.

        Raises:
            DataError: it has another shape.
        """
        more = len(self.dims) - array.ndim
        shape = array.shape
        if more > 0:
            shape = (1,) * more + shape
        elif more < 0 and all(size == 1 for size in shape[:-more]):
            shape = shape[-more:]
        if self._takes(shape):
            return array.reshape(shape)
        raise DataError(
            f"{place}: input '{self.name}' takes {self.described} an item, found shape {list(array.shape)}",
            "shapes are those of one item, without the batch dimension",
        )

    def shaped(self, flat: np.ndarray, place: str) -> np.ndarray:
        """A flat list of elements as an item.

        Raises:
            DataError: it has another number of elements, or more than one dimension has any size.
        """
        known = math.prod(size for size in self.dims if size >= 0)
        free = sum(size < 0 for size in self.dims)
        if free > 1:
            raise DataError(
                f"{place}: input '{self.name}' takes {self.described} an item, and {flat.size} elements without a shape "
                "do not say which",
                f'write {{"content": [...], "shape": [...]}}, or give --shape {self.name}:d1,d2,...',
            )
        if free and known and flat.size % known == 0:
            return flat.reshape(self.dims)
        if free or flat.size != known:
            raise DataError(
                f"{place}: input '{self.name}' takes {self.described} an item, "
                f"{f'a multiple of {known}' if free else f'{known:,}'} elements; found {flat.size:,}"
            )
        return flat.reshape(self.dims)

    def converted(self, array: np.ndarray, place: str, *, from_text: bool = False) -> np.ndarray:
        """The array in the input's data type, where that changes the kind of no value.

        Args:
            from_text: numbers were written without a type, so whole ones may be fractions, and 0 and 1 booleans.

        Raises:
            DataError: its elements are of another kind, out of the type's range, or not numbers (NaN).
        """
        wanted = self.kind.dtype
        if not self.kind.size:
            return self._as_bytes(array, place)
        if array.dtype == np.dtype("V2") and self.kind.name == "BF16":  # how numpy keeps what it does not know
            array = array.view(ml_dtypes.bfloat16)
        found, own = _kind(array.dtype), _kind(wanted)
        is_flag = from_text and own == "b" and found in "iu" and bool(np.isin(array, (0, 1)).all())
        is_whole = from_text and own == "f" and found in "iu"
        if found != own and not (found in "iu" and own in "iu") and not is_flag and not is_whole:
            raise DataError(
                f"{place}: input '{self.name}' takes {self.kind.name}, found {_name(array.dtype)}",
                f"convert it: array.astype(numpy.{wanted.name})" if not from_text else f"write {_KINDS[own]}",
            )
        if own in "iu" and array.size:
            limits, low, high = np.iinfo(wanted), int(array.min()), int(array.max())
            if low < limits.min or high > limits.max:
                raise DataError(
                    f"{place}: input '{self.name}' takes {self.kind.name}, {limits.min} to {limits.max}; found "
                    f"{low if low < limits.min else high}"
                )
        with np.errstate(over="ignore"):
            values = np.ascontiguousarray(array, dtype=wanted).reshape(array.shape)
        if own == "f":
            self._check_numbers(values, place)
        return values

    def _check_numbers(self, values: np.ndarray, place: str) -> None:
        missing = np.isnan(values)
        if missing.any():
            first = [int(axis[0]) for axis in np.nonzero(np.atleast_1d(missing))]
            raise DataError(
                f"{place}: input '{self.name}' has {int(missing.sum()):,} elements that are not numbers (NaN), the first at "
                f"{first}",
                "replace them: numpy.nan_to_num(array)",
            )

    def _as_bytes(self, array: np.ndarray, place: str) -> np.ndarray:
        if array.dtype.kind not in "SUO":
            raise DataError(
                f"{place}: input '{self.name}' takes BYTES (strings), found {_name(array.dtype)}",
                "convert it: array.astype(str)",
            )
        flat = np.empty(array.size, np.object_)
        for position, element in enumerate(array.reshape(-1).tolist()):
            if not isinstance(element, str | bytes):
                raise DataError(
                    f"{place}: input '{self.name}' takes BYTES (strings), found {type(element).__name__} {element!r:.40}"
                )
            flat[position] = element.encode() if isinstance(element, str) else element
        return flat.reshape(array.shape)

    def _takes(self, shape: Sequence[int]) -> bool:
        return len(shape) == len(self.dims) and all(
            dim in (-1, size) for dim, size in zip(self.dims, shape, strict=True)
        )


def model_inputs(config: ModelConfig, shapes: Mapping[str, Sequence[int]]) -> dict[str, ModelInput]:
    """The inputs of a complete configuration, by name.

    Args:
        shapes: of inputs whose dims vary, without the batch dimension; leading dimensions that a configuration has no more
            are left out.

    Raises:
        DataError: a shape is for an input that the model does not have, or does not fit its dims.
    """
    found = {}
    for one in config.input:
        dims = tuple(one.dims)
        own = ModelInput(one.name, BY_CONFIG_TYPE[one.data_type], dims, one.optional)
        if one.name in shapes:
            given = tuple(shapes[one.name])
            given = given[len(given) - len(dims) :] if len(given) > len(dims) else given
            if not own._takes(given):
                raise DataError(
                    f"shape {list(shapes[one.name])} does not fit input '{one.name}', whose dims are {list(dims)}",
                    f"--shape {one.name}:{','.join('N' if dim < 0 else str(dim) for dim in dims)}",
                )
            own = ModelInput(one.name, own.kind, given, one.optional)
        found[one.name] = own
    unknown = [name for name in shapes if name not in found]
    if unknown:
        raise DataError(
            f"model '{config.name}' has no input '{unknown[0]}'", f"its inputs are {', '.join(found) or 'none'}"
        )
    return found


def _kind(dtype: np.dtype) -> str:
    """numpy's letter for the kind of a type; bfloat16, which numpy does not know, is a float."""
    return "f" if dtype == ml_dtypes.bfloat16 else dtype.kind


def _name(dtype: np.dtype) -> str:
    plain = dtype.newbyteorder("=")
    return BY_DTYPE[plain].name if plain in BY_DTYPE and plain.kind != "O" else str(dtype)
