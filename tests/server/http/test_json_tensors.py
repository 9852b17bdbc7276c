"""Tensors in JSON, in both directions."""

import json

import numpy as np
import orjson
import pytest

from tcli_server.datatypes import BY_NAME
from tcli_server.errors import InternalError, InvalidArgumentError
from tcli_server.protocols.http.json_tensors import LARGE, decode_json, encode_json, loads


def decode(data: object, datatype: str, shape: tuple) -> np.ndarray:
    return decode_json(data, BY_NAME[datatype], shape, "x", "m")


@pytest.mark.parametrize("data", [[1, 2, 3, 4], [[1, 2], [3, 4]], [[1], [2, 3], 4], [[[[1]], [2]], [[3, 4]]]])
def test_nested_and_flat_data_are_the_same(data: list):
    assert decode(data, "INT32", (2, 2)).tolist() == [[1, 2], [3, 4]]


def test_integers_wrap_to_the_type():
    assert decode([300, -1], "UINT8", (2,)).tolist() == [44, 255]
    assert decode([2**63, 2**64 - 1, 5], "UINT64", (3,)).tolist() == [2**63, 2**64 - 1, 5]


def test_integers_are_accepted_for_floats():
    assert decode([1, 2.5], "FP32", (2,)).tolist() == [1.0, 2.5]


@pytest.mark.parametrize(
    ("data", "datatype"),
    [(["1"], "FP32"), ([1.5], "INT32"), ([1], "BOOL"), ([True], "INT8"), ([1], "BYTES"), (5, "FP32"), ([None], "FP32")],
)
def test_wrong_types_are_refused(data: object, datatype: str):
    with pytest.raises(InternalError, match="Unable to parse 'data'"):
        decode(data, datatype, (1,))


def test_wrong_counts_are_refused():
    with pytest.raises(InternalError, match="Shape does not match true shape of 'data' field"):
        decode([1, 2, 3], "INT32", (2,))
    with pytest.raises(InternalError, match="Failed to parse 'data' field"):
        decode([1], "INT32", (2,))


def test_half_precision_has_no_json_form():
    with pytest.raises(InvalidArgumentError, match="receiving FP16 data via JSON is not supported"):
        decode([1], "FP16", (1,))
    with pytest.raises(InvalidArgumentError, match="sending FP16 data via JSON is not supported"):
        encode_json(np.zeros(1, np.float16), "y")


def test_data_nested_deeper_than_triton_allows_is_refused():
    data: object = 1
    for _ in range(150):
        data = [data]
    with pytest.raises(InvalidArgumentError, match="nesting depth exceeds"):
        decode(data, "INT32", (1,))


def test_nan_and_infinity_travel_both_ways():
    document, _ = loads(b'{"data": [NaN, Infinity, -Infinity, 1]}')
    values = decode(document["data"], "FP32", (4,))
    assert np.isnan(values[0])
    assert values[1:].tolist() == [np.inf, -np.inf, 1.0]
    assert orjson.dumps({"data": encode_json(values, "y")}) == b'{"data":[NaN,Infinity,-Infinity,1.0]}'


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("indent", [None, 1])
def test_a_large_array_is_read_as_a_small_one_is(nested: bool, indent: int | None):
    values = np.random.default_rng(0).normal(size=(400, 50)).round(6)
    data = values.tolist() if nested else values.ravel().tolist()
    decoy = '},"data":[1,2,3]'
    body = json.dumps(
        {"id": decoy, "inputs": [{"data": data, "name": "x"}, {"name": "y", "data": [7]}], "outputs": []}, indent=indent
    ).encode()
    assert len(body) > LARGE
    document, arrays = loads(body)
    assert document["id"] == decoy
    assert document["inputs"][1]["data"] == [7]
    assert len(arrays) == 1
    decoded = decode(arrays[document["inputs"][0]["data"]], "FP64", (400, 50))
    assert np.array_equal(decoded, values)


def test_large_arrays_of_strings_and_booleans_are_read_too():
    words = [f"word, [{index}]" for index in range(20_000)]
    document, arrays = loads(json.dumps({"data": words, "flags": [True] * 50_000}).encode())
    assert arrays == []
    assert document["data"] == words


@pytest.mark.parametrize("broken", [b'{"data": [1, 2', b"{", b"", b"nonsense", b'{"data": [1,,2]}'])
def test_malformed_json_is_refused(broken: bytes):
    for body in (broken, broken.replace(b"1,", b"1," * LARGE)):
        with pytest.raises(InternalError, match="failed to parse the request JSON"):
            loads(body)


def test_large_outputs_are_written_as_small_ones_are():
    values = np.arange(200_000, dtype=np.float32) / 7
    text = orjson.dumps({"data": encode_json(values, "y")})
    assert np.array_equal(np.array(orjson.loads(text)["data"], np.float32), values)


def test_bytes_that_are_not_text_are_refused_in_json():
    array = np.array([b"\xff"], np.object_)
    with pytest.raises(InvalidArgumentError, match="no UTF-8 text"):
        encode_json(array, "y")
