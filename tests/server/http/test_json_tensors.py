"""Tensors in JSON, in both directions."""

import json

import ml_dtypes
import numpy as np
import orjson
import pytest

from tcli_server.datatypes import BY_NAME
from tcli_server.errors import InternalError, InvalidArgumentError
from tcli_server.protocols.http.json_pieces import Pieces, loads
from tcli_server.protocols.http.json_tensors import decode_json, encode_json
from tcli_server.protocols.tensors import PIECE


def decode(data: object, datatype: str, shape: tuple) -> np.ndarray:
    return decode_json(data, BY_NAME[datatype], shape, "x", "m", 64 << 20)


@pytest.mark.parametrize("data", [[1, 2, 3, 4], [[1, 2], [3, 4]], [[1], [2, 3], 4], [[[[1]], [2]], [[3, 4]]]])
def test_nested_and_flat_data_are_the_same(data: list):
    assert decode(data, "INT32", (2, 2)).tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize(
    ("data", "datatype", "stored"),
    [
        ([300], "UINT8", 44),
        ([2**64 - 1], "UINT8", 255),
        ([70000], "UINT16", 4464),
        ([2**32], "UINT32", 0),
        ([2**64 - 1], "UINT64", 2**64 - 1),
        ([-129], "INT8", 127),
        ([2**31], "INT32", -(2**31)),
        ([-(2**63)], "INT64", -(2**63)),
    ],
)
def test_integers_of_64_bits_are_narrowed_as_in_triton(data: list, datatype: str, stored: int):
    assert decode(data, datatype, (1,)).tolist() == [stored]


@pytest.mark.parametrize("datatype", ["UINT8", "UINT16", "UINT32", "UINT64"])
@pytest.mark.parametrize("data", [[-1], [5, -1], [[2**64 - 1], [-1]], [-(2**63)]])
def test_negative_numbers_are_no_unsigned_ones(data: list, datatype: str):
    with pytest.raises(InternalError, match="Unable to parse 'data'"):
        decode(data, datatype, (len(data),))


@pytest.mark.parametrize("datatype", ["INT8", "INT16", "INT32", "INT64", "UINT8", "UINT64", "BOOL"])
@pytest.mark.parametrize("text", ["18446744073709551616", "-9223372036854775809", "1.0", "1e2", "NaN", "9" * 300])
def test_what_no_64_bit_integer_is_is_refused_for_integers(text: str, datatype: str):
    with pytest.raises(InternalError):
        decode(loads(f"[{text}]".encode()), datatype, (1,))


@pytest.mark.parametrize("datatype", ["INT8", "INT16", "INT32", "INT64"])
def test_signed_types_take_no_more_than_63_bits(datatype: str):
    with pytest.raises(InternalError, match="more than 63 bits"):
        decode([2**63], datatype, (1,))


def test_large_integers_are_rounded_once_for_floats():
    values = [2**63, 2**64 - 1, -(2**63), 16777217]
    assert decode(values, "FP64", (4,)).tolist() == [float(value) for value in values]
    assert decode(values, "FP32", (4,)).tolist() == [np.float32(float(value)) for value in values]


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
    for _ in range(99):
        data = [data]
    assert decode(data, "INT32", (1,)).tolist() == [1]
    with pytest.raises(InvalidArgumentError, match="nesting depth exceeds"):
        decode([data], "INT32", (1,))
    with pytest.raises(InvalidArgumentError, match="nesting depth exceeds"):
        decode([1, [data]], "INT32", (2,))


def test_nan_and_infinity_travel_both_ways():
    document = loads(b'{"data": [NaN, Infinity, -Infinity, 1]}')
    values = decode(document["data"], "FP32", (4,))
    assert np.isnan(values[0])
    assert values[1:].tolist() == [np.inf, -np.inf, 1.0]
    assert orjson.dumps({"data": encode_json(values, "y")}) == b'{"data":[NaN,Infinity,-Infinity,1.0]}'


@pytest.mark.parametrize("text", ["NaN", "Infinity", "Inf", "-Inf", "-Infinity", "-NaN"])
def test_every_spelling_that_triton_reads(text: str):
    (value,) = decode(loads(f'["\\"NaN", {text}]'.encode())[1:], "FP64", (1,)).tolist()
    assert str(value) == {"N": "nan", "I": "inf", "-": "-inf"}[text[0]] or (text == "-NaN" and np.isnan(value))


def test_texts_that_look_like_such_numbers_stay_as_they_are():
    body = b'{"id": "-NaN, Inf, Infinity", "data": [-NaN, "Inf", Infinity]}'
    document = loads(body)
    assert document["id"] == "-NaN, Inf, Infinity"
    assert np.isnan(document["data"][0])
    assert document["data"][1:] == ["Inf", np.inf]


@pytest.mark.parametrize(
    "number", ["-9223372036854775808", "-9223372036854775809", "18446744073709551615", "18446744073709551616", "1" * 30]
)
def test_numbers_beside_them_mean_what_they_mean_alone(number: str):
    alone, beside = loads(f"[{number}]".encode())[0], loads(f"[NaN,{number}]".encode())[1]
    assert (beside, type(beside)) == (alone, type(alone))


@pytest.mark.parametrize(
    "text",
    ["nan", "inf", "INF", "+1", "01", "1.", ".5", "1NaN", "--NaN", "NaN1", "Infi", "1e400", "-1e999", "1e", "-", "0x1"],
)
def test_numbers_that_triton_does_not_read(text: str):
    for body in (f"[{text}]", f"[NaN,{text}]", f'{{"inputs":[{{"data":[{"1," * PIECE}{text}]}}]}}'):
        with pytest.raises(InternalError, match="failed to parse the request JSON"):
            loads(body.encode())


@pytest.mark.parametrize(
    "text", [b'"\\ud800"', b'"\\udc00\\ud800"', b'"\xed\xa0\x80"', b'"\xff"', b'"a\x00b"', b'"\n"']
)
@pytest.mark.parametrize("more", [b"", b",NaN", b',"' + b"x" * PIECE + b'"'])
def test_strings_that_are_no_text(text: bytes, more: bytes):
    with pytest.raises(InternalError, match="failed to parse the request JSON"):
        loads(b"[" + text + more + b"]")


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("indent", [None, 1])
def test_a_large_array_is_read_as_a_small_one_is(nested: bool, indent: int | None):
    values = np.random.default_rng(0).normal(size=(400, 50)).round(6)
    data = values.tolist() if nested else values.ravel().tolist()
    decoy = '},"data":[1,2,3]'
    body = json.dumps(
        {"id": decoy, "inputs": [{"data": data, "name": "x"}, {"name": "y", "data": [7]}], "outputs": []}, indent=indent
    ).encode()
    assert len(body) > PIECE
    document = loads(body)
    assert document["id"] == decoy
    assert decode(document["inputs"][1]["data"], "INT8", (1,)).tolist() == [7]
    assert isinstance(document["inputs"][0]["data"], Pieces)
    assert np.array_equal(decode(document["inputs"][0]["data"], "FP64", (400, 50)), values)


def test_large_arrays_of_strings_and_booleans_are_read_too():
    words = [f"word, [{index}]" for index in range(20_000)]
    document = loads(json.dumps({"inputs": [{"data": words}, {"data": [[True, False]] * 20_000}]}).encode())
    decoded = [item["data"] for item in document["inputs"]]
    assert decode(decoded[0], "BYTES", (20_000,)).tolist() == [word.encode() for word in words]
    assert decode(decoded[1], "BOOL", (20_000, 2)).tolist() == [[True, False]] * 20_000


@pytest.mark.parametrize("broken", [b'{"data": [1, 2', b"{", b"", b"nonsense", b'{"data": [1,,2]}'])
def test_malformed_json_is_refused(broken: bytes):
    for body in (broken, broken.replace(b"1,", b"1," * PIECE)):
        with pytest.raises(InternalError, match="failed to parse the request JSON"):
            loads(body)


def test_a_tensor_larger_than_the_limit_is_refused_before_it_is_made():
    with pytest.raises(InvalidArgumentError, match="exceeds the maximum allowed value"):
        decode([1], "FP64", (10_000_000,))


def test_large_outputs_are_written_as_small_ones_are():
    values = np.arange(200_000, dtype=np.float32) / 7
    text = orjson.dumps({"data": encode_json(values, "y")})
    assert np.array_equal(np.array(orjson.loads(text)["data"], np.float32), values)


def test_floats_have_as_many_digits_as_their_type():
    values = [0.1, 1 / 3, 1e-7]
    single, double = np.array(values, np.float32), np.array(values, np.float64)
    assert orjson.dumps(encode_json(single, "y")) == b"[0.1,0.33333334,1e-7]"
    assert orjson.dumps(encode_json(double, "y")) == b"[0.1,0.3333333333333333,1e-7]"


def test_bytes_that_are_not_text_are_refused_in_json():
    array = np.array([b"\xff"], np.object_)
    with pytest.raises(InvalidArgumentError, match="no UTF-8 text"):
        encode_json(array, "y")


@pytest.mark.parametrize(("datatype", "size"), [("FP64", 8), ("UINT8", 1), ("BYTES", 4)])
def test_the_limit_is_the_last_size_that_is_allowed(datatype: str, size: int):
    data: list = [""] * 10 if datatype == "BYTES" else [1] * 10
    assert decode_json(data, BY_NAME[datatype], (10,), "x", "m", 10 * size).size == 10
    with pytest.raises(InvalidArgumentError, match=rf"\({10 * size} bytes\) that exceeds .* {10 * size - 1} bytes"):
        decode_json(data, BY_NAME[datatype], (10,), "x", "m", 10 * size - 1)


@pytest.mark.parametrize("datatype", ["BOOL", "INT32", "UINT64", "FP32", "BYTES"])
@pytest.mark.parametrize(("data", "shape"), [([], (0,)), ([[], []], (2, 0)), ([[[]], []], (0, 7))])
def test_no_data_is_a_tensor_of_no_elements(data: list, shape: tuple[int, ...], datatype: str):
    array = decode(data, datatype, shape)
    assert (array.shape, array.dtype) == (shape, BY_NAME[datatype].dtype)


@pytest.mark.parametrize(("datatype", "element"), [("INT8", 0), ("BYTES", b"")])
def test_of_a_shape_without_dimensions_no_data_is_looked_at(datatype: str, element: object):
    assert decode([1, "a", None], datatype, ()).item() == element


def test_the_smallest_unsigned_number_is_zero():
    assert decode([0, 1], "UINT8", (2,)).tolist() == [0, 1]


@pytest.mark.parametrize(
    ("data", "datatype", "text"),
    [
        (["a"], "FP32", "expected FP32 values, got strings"),
        ([None], "FP32", "expected FP32 values, got null"),
        ([{}], "BYTES", "expected strings, got objects"),
        (["a", None], "BYTES", "expected strings, got values of several types"),
        ([1, None], "FP32", "expected FP32 values, got values of several types"),
        ([True, 1], "BOOL", "expected BOOL values, got values of several types"),
        ([True], "FP32", "expected FP32 values, got booleans"),
        ([1], "BYTES", "expected strings, got integers"),
        ([1, 2.0], "INT64", "expected INT64 values, got floating-point numbers"),
        ([2**63], "INT64", "expected INT64 values, got integers of more than 63 bits"),
        ([True], "BYTES", "expected strings, got booleans"),
    ],
)
def test_what_was_found_instead_is_said(data: list, datatype: str, text: str):
    with pytest.raises(InternalError, match=text):
        decode(data, datatype, (len(data),))


def test_nesting_that_is_not_even_is_bounded_just_as_well():
    def nested(depth: int, last: object) -> object:
        for _ in range(depth):
            last = [last]
        return last

    assert decode([1, nested(98, 2)], "INT32", (2,)).tolist() == [1, 2]
    assert decode([[3, nested(97, 4)], 5], "INT32", (3,)).tolist() == [3, 4, 5]
    for data in ([1, nested(99, 2)], [[3, nested(98, 4)]]):
        with pytest.raises(InvalidArgumentError, match="nesting depth exceeds"):
            decode(data, "INT32", (2,))


@pytest.mark.parametrize("more", [b"", b"NaN,"])
def test_what_does_not_end_is_too_deep_only_if_it_is(more: bytes):
    with pytest.raises(InternalError, match="failed to parse the request JSON"):
        loads(b"[" * 100 + more)
    with pytest.raises(InvalidArgumentError, match="nesting depth exceeds"):
        loads(b"[" * 101 + more)


def test_brackets_in_texts_are_no_nesting():
    with pytest.raises(InternalError, match="failed to parse the request JSON"):
        loads(b'["' + b'[\\"' * 200 + b'",')


@pytest.mark.parametrize(("dtype", "name"), [(np.float16, "FP16"), (ml_dtypes.bfloat16, "BF16")])
def test_sixteen_bit_floats_are_named_in_both_directions(dtype: type, name: str):
    with pytest.raises(InvalidArgumentError, match=f"receiving {name} data via JSON is not supported"):
        decode([1], name, (1,))
    with pytest.raises(InvalidArgumentError, match=f"sending {name} data via JSON is not supported.*output 'y'"):
        encode_json(np.zeros(1, dtype), "y")


@pytest.mark.parametrize("count", [0, 1, PIECE, PIECE + 1, 2 * PIECE + 1])
@pytest.mark.parametrize("dtype", [np.bool_, np.int8, np.int16, np.uint16, np.uint64, np.float64, np.object_])
def test_outputs_of_every_kind_and_size(dtype: type, count: int):
    array = np.arange(count).astype(np.uint8).astype(dtype) if dtype is not np.object_ else np.empty(count, dtype)
    if dtype is np.object_:
        array[:] = [b"%d" % index for index in range(count)]
    expected = [item.decode() for item in array] if dtype is np.object_ else array.tolist()
    assert orjson.loads(orjson.dumps(encode_json(array, "y"))) == expected
    if count % 2 == 0:
        assert orjson.loads(orjson.dumps(encode_json(array.reshape(2, -1).T, "y")))[1:2] == expected[count // 2 :][:1]
