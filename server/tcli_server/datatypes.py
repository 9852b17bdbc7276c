"""The tensor data types of the V2 protocol, and what they are called in configs and in numpy."""

from dataclasses import dataclass

import ml_dtypes
import numpy as np
from tritonclient.grpc import model_config_pb2


@dataclass(frozen=True, slots=True)
class DataType:
    """One row of the data type table.

    `size` is the bytes of one element on the wire, 0 for BYTES, whose elements vary.
    """

    name: str
    config_type: int
    dtype: np.dtype
    size: int


def _row(name: str, dtype: object, config_name: str | None = None) -> DataType:
    numpy_type = np.dtype(dtype)  # type: ignore[call-overload]
    config_type = model_config_pb2.DataType.Value(config_name or f"TYPE_{name}")
    return DataType(name, config_type, numpy_type, 0 if numpy_type.hasobject else numpy_type.itemsize)


_TABLE = (
    _row("BOOL", np.bool_),
    _row("UINT8", np.uint8),
    _row("UINT16", np.uint16),
    _row("UINT32", np.uint32),
    _row("UINT64", np.uint64),
    _row("INT8", np.int8),
    _row("INT16", np.int16),
    _row("INT32", np.int32),
    _row("INT64", np.int64),
    _row("FP16", np.float16),
    _row("FP32", np.float32),
    _row("FP64", np.float64),
    _row("BYTES", np.object_, "TYPE_STRING"),
    _row("BF16", ml_dtypes.bfloat16),
)

BY_NAME: dict[str, DataType] = {row.name: row for row in _TABLE}
"""V2 name -> row. BYTES tensors are object arrays of `bytes`; BF16 tensors are `ml_dtypes.bfloat16` arrays."""

BY_CONFIG_TYPE: dict[int, DataType] = {row.config_type: row for row in _TABLE}
"""`model_config_pb2.DataType` value -> row; TYPE_INVALID is absent."""

BY_DTYPE: dict[np.dtype, DataType] = {row.dtype: row for row in _TABLE}
"""numpy dtype -> row."""


def datatype_of(array: np.ndarray) -> str:
    """The V2 name of an array's data type.

    Raises:
        KeyError: the dtype has no V2 name (complex numbers, dates, fixed-width strings, ...).
    """
    return BY_DTYPE[array.dtype].name
