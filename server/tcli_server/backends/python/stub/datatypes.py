"""The data types: Triton's codes, their names on the wire and in configurations, and numpy's types."""

from __future__ import annotations

from typing import Any

import numpy as np

CODES: dict[str, int] = {
    "BOOL": 1,
    "UINT8": 2,
    "UINT16": 3,
    "UINT32": 4,
    "UINT64": 5,
    "INT8": 6,
    "INT16": 7,
    "INT32": 8,
    "INT64": 9,
    "FP16": 10,
    "FP32": 11,
    "FP64": 12,
    "BYTES": 13,
    "BF16": 14,
}
"""Name on the wire -> Triton's code."""

NAMES: dict[int, str] = {code: name for name, code in CODES.items()}
"""Triton's code -> name on the wire."""

TRITON_STRING_TO_NUMPY: dict[str, Any] = {
    "TYPE_BOOL": bool,
    "TYPE_UINT8": np.uint8,
    "TYPE_UINT16": np.uint16,
    "TYPE_UINT32": np.uint32,
    "TYPE_UINT64": np.uint64,
    "TYPE_INT8": np.int8,
    "TYPE_INT16": np.int16,
    "TYPE_INT32": np.int32,
    "TYPE_INT64": np.int64,
    "TYPE_FP16": np.float16,
    "TYPE_FP32": np.float32,
    "TYPE_FP64": np.float64,
    "TYPE_STRING": np.object_,
}
"""Name in a configuration -> numpy type; BF16 has none."""

_FIXED: dict[str, Any] = {
    "BOOL": np.bool_,
    "UINT8": np.uint8,
    "UINT16": np.uint16,
    "UINT32": np.uint32,
    "UINT64": np.uint64,
    "INT8": np.int8,
    "INT16": np.int16,
    "INT32": np.int32,
    "INT64": np.int64,
    "FP16": np.float16,
    "FP32": np.float32,
    "FP64": np.float64,
}

DTYPES: dict[str, np.dtype] = {name: np.dtype(kind) for name, kind in _FIXED.items()}
"""Name on the wire -> numpy dtype, for those of a fixed size that numpy has."""

NAME_OF_DTYPE: dict[np.dtype, str] = {dtype: name for name, dtype in DTYPES.items()}
"""The reverse."""

_STRINGS = "OSU"
"""Kinds of numpy's dtypes that travel as BYTES."""


def name_of_dtype(dtype: np.dtype) -> str | None:
    """The name on the wire of any dtype that a tensor can be made of, whatever its byte order; None for the others."""
    name = NAME_OF_DTYPE.get(dtype)
    if name is not None:
        return name
    if dtype.kind in _STRINGS:
        return "BYTES"
    if dtype.name == "bfloat16":  # of `ml_dtypes` and what builds on it; numpy has none
        return "BF16"
    return NAME_OF_DTYPE.get(dtype.newbyteorder("="))


def triton_string_to_numpy(triton_type_string: str) -> Any:
    """The numpy type of a configuration's data type; `object_` for TYPE_STRING.

    Raises:
        KeyError: there is none of that name, or numpy has no such type (TYPE_BF16).
    """
    return TRITON_STRING_TO_NUMPY[triton_type_string]


def triton_to_numpy_type(data_type: int) -> Any:
    """The numpy type of one of Triton's codes; None where there is none."""
    name = NAMES.get(data_type)
    return np.object_ if name == "BYTES" else _FIXED.get(name or "")


def numpy_to_triton_type(data_type: Any) -> int | None:
    """Triton's code of a numpy type or dtype; None where there is none."""
    if data_type is None:
        return None
    try:
        name = name_of_dtype(np.dtype(data_type))
    except TypeError:
        return None
    return None if name is None else CODES[name]
