"""Tensors as text, each type of data as in Triton's traces."""

import json
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from tcli_server.tracing.tensors import copied


def written(array: np.ndarray, room: int = 1 << 20) -> dict[str, Any]:
    tensor, _ = copied("TENSOR_QUEUE_INPUT", "IN", array, room)
    told: dict[str, Any] = json.loads(b"{" + b"".join(tensor.pieces()) + b"}")
    assert told["activity"] == "TENSOR_QUEUE_INPUT"
    assert told["tensor"]["name"] == "IN"
    return dict(told["tensor"])


@pytest.mark.parametrize(
    ("values", "dtype", "datatype", "data"),
    [
        ([True, False], np.bool_, "BOOL", "1,0"),
        ([65, 200], np.uint8, "UINT8", "65,200"),
        ([65, -3], np.int8, "INT8", "65,-3"),
        ([2**64 - 1], np.uint64, "UINT64", "18446744073709551615"),
        ([-(2**63)], np.int64, "INT64", "-9223372036854775808"),
        ([0.5, 2], np.float16, "FP16", "0.5,2.0"),
        ([0.5, 2, np.nan], ml_dtypes.bfloat16, "BF16", "0.5,2.0,nan"),
        ([0.1, 1234567.5], np.float32, "FP32", "0.1,1234567.5"),
        ([0.1, np.nan, np.inf, -np.inf], np.float32, "FP32", "0.1,nan,inf,-inf"),
        ([1 / 3, 1e300], np.float64, "FP64", "0.3333333333333333,1e+300"),
        ([b"ab", b"c d"], object, "BYTES", '"ab","c d"'),
        ([b'q"\\', "ä".encode(), b"\xff"], object, "BYTES", '"q\\"\\\\","ä","\\\\xff"'),
        ([], np.int32, "INT32", ""),
    ],
)
def test_each_type_of_data(values: list[Any], dtype: Any, datatype: str, data: str):
    assert written(np.array(values, dtype)) == {
        "name": "IN", "data": data, "shape": str(len(values)), "dtype": datatype,
    }  # fmt: skip


def test_shapes_and_many_elements():
    numbers = np.arange(10_000, dtype=np.int32).reshape(2, -1).T  # not one after the other in memory
    told = written(numbers)
    assert told["shape"] == "5000,2"
    assert np.array_equal(np.array(told["data"].split(","), int).reshape(5000, 2), numbers)
    assert written(np.array(5))["shape"] == ""


@pytest.mark.parametrize(
    "array", [np.zeros(1000, np.int8), np.array([b"x" * 1000], object), np.array([b""] * 20, object)]
)
def test_what_takes_too_much_is_left_out(array: np.ndarray):
    assert written(array, 2000)["data"] == ""
    assert written(array, 5000)["data"] != ""
