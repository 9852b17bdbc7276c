"""Requests are read without their model; what Triton knows by name goes where the scheduler looks for it."""

import json

import numpy as np
import pytest

from tcli_server.errors import InternalError, InvalidArgumentError, ServerError, UnsupportedError
from tcli_server.protocols.http.infer_request import QUICK, ResponseForm, TakesLongError, decode_request
from tcli_server.request import InferenceRequest

LIMIT = 1 << 20


def read(document: dict, tail: bytes = b"", quickly: bool = False) -> tuple[InferenceRequest, ResponseForm]:
    head = json.dumps({"inputs": [], **document}).encode()
    return decode_request(head + tail, len(head) if tail else None, "nobody's model", "3", LIMIT, quickly)


def test_a_request_needs_no_model():
    request, _ = read({"id": "x", "inputs": [{"name": "I", "datatype": "INT8", "shape": [2], "data": [1, 2]}]})
    assert (request.model_name, request.model_version, request.id) == ("nobody's model", "3", "x")
    assert request.inputs["I"].tolist() == [1, 2]


def test_a_raw_request_keeps_its_bytes_for_the_model():
    request, form = decode_request(b"raw bytes", 0, "m", "", LIMIT)
    assert (request.raw_input, request.inputs) == (b"raw bytes", {})
    assert form.default.binary


def test_priority_and_timeout_are_no_parameters_of_the_model():
    request, _ = read(
        {"parameters": {"priority": 2, "timeout": 1_500, "sequence_id": "s", "sequence_start": True, "mine": 0.5}}
    )
    assert (request.priority, request.timeout_us) == (2, 1_500)
    assert (request.sequence_id, request.sequence_start, request.sequence_end) == ("s", True, False)
    assert request.parameters == {"mine": 0.5}


@pytest.mark.parametrize("key", ["priority", "timeout"])
@pytest.mark.parametrize("value", [-1, 1.0, "1", True, None, [1], 2**64])
def test_priority_and_timeout_are_whole_numbers(key: str, value: object):
    with pytest.raises(InternalError, match=f"Unable to parse '{key}'"):
        read({"parameters": {key: value}})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("sequence_start", 1),
        ("sequence_end", "true"),
        ("sequence_id", -1),
        ("sequence_id", 1.5),
        ("binary_data_output", 0),
    ],
)
def test_other_reserved_parameters_have_their_types_too(key: str, value: object):
    with pytest.raises(InternalError, match=f"Unable to parse '{key}'"):
        read({"parameters": {key: value}})


@pytest.mark.parametrize("size", [True, 1.0, "4", -1])
def test_binary_sizes_are_whole_numbers(size: object):
    tensor = {"name": "I", "datatype": "FP32", "shape": [1], "parameters": {"binary_data_size": size}}
    with pytest.raises(InternalError, match="Unable to parse 'binary_data_size'"):
        read({"inputs": [tensor]}, bytes(4))


def test_exactly_one_place_holds_the_data():
    shared, binary = {"shared_memory_region": "r"}, {"binary_data_size": 4}
    for changes in (
        {},
        {"data": [1], "parameters": binary},
        {"data": [1], "parameters": shared},
        {"parameters": shared | binary},
    ):
        with pytest.raises(InvalidArgumentError, match="Input must set only one of the following fields"):
            read({"inputs": [{"name": "I", "datatype": "FP32", "shape": [1], **changes}]}, bytes(4))


def test_an_event_loop_is_told_what_takes_long():
    strings = {"name": "I", "datatype": "BYTES", "shape": [QUICK], "parameters": {"binary_data_size": 4 * QUICK}}
    numbers = {"name": "I", "datatype": "UINT8", "shape": [4 * QUICK], "parameters": {"binary_data_size": 4 * QUICK}}
    with pytest.raises(TakesLongError):
        read({"inputs": [strings]}, bytes(4 * QUICK), quickly=True)
    with pytest.raises(TakesLongError):
        read({"id": "x" * QUICK}, quickly=True)
    assert read({"inputs": [strings]}, bytes(4 * QUICK))[0].inputs["I"].tolist() == [b""] * QUICK
    assert np.array_equal(
        read({"inputs": [numbers]}, bytes(4 * QUICK), quickly=True)[0].inputs["I"], np.zeros(4 * QUICK)
    )


@pytest.mark.parametrize("json_length", [None, 0])
def test_the_input_size_is_bounded(json_length: int | None):
    with pytest.raises(InvalidArgumentError, match="Use --http-max-input-size"):
        decode_request(b" " * (LIMIT + 1), json_length, "m", "", LIMIT)
    fits = b'{"inputs":[]}'
    decode_request(fits + b" " * (LIMIT - len(fits)), json_length, "m", "", LIMIT)


def test_outputs_are_json_unless_it_is_said_that_they_are_not():
    assert not read({})[1].default.binary
    assert not read({"parameters": {"priority": 1}})[1].default.binary
    assert not read({"parameters": {"binary_data_output": False}})[1].default.binary
    assert read({"parameters": {"binary_data_output": True}})[1].default.binary


def test_a_binary_tensor_is_no_part_of_the_json_that_is_bounded():
    tensor = {"name": "I", "datatype": "UINT8", "shape": [2 * LIMIT], "parameters": {"binary_data_size": 2 * LIMIT}}
    assert read({"inputs": [tensor]}, bytes(2 * LIMIT))[0].inputs["I"].size == 2 * LIMIT


def test_binary_tensors_lie_one_behind_the_other():
    def tensor(name: str, count: int) -> dict:
        return {"name": name, "datatype": "UINT8", "shape": [count], "parameters": {"binary_data_size": count}}

    request, _ = read({"inputs": [tensor("A", 2), tensor("B", 0), tensor("C", 1)]}, bytes([1, 2, 3]))
    assert {name: array.tolist() for name, array in request.inputs.items()} == {"A": [1, 2], "B": [], "C": [3]}


def test_what_is_known_by_name_may_have_its_smallest_value():
    request, _ = read({"parameters": {"priority": 0, "timeout": 0, "sequence_id": 0, "sequence_start": True}})
    assert (request.priority, request.timeout_us) == (0, 0)
    assert (request.sequence_id, request.sequence_start, request.parameters) == (0, True, {})


def test_outputs_and_their_forms():
    outputs = [
        {"name": "json"},
        {"name": "binary", "parameters": {"binary_data": True}},
        {"name": "best", "parameters": {"classification": 1}},
        {"name": "both", "parameters": {"classification": 2, "binary_data": True}},
        {"name": "neither", "parameters": {"classification": 0, "binary_data": False}},
    ]
    request, form = read({"outputs": outputs, "parameters": {"binary_data_output": True}})
    assert request.outputs == ("json", "binary", "best", "both", "neither")
    assert {name: (one.binary, one.classes) for name, one in form.by_name.items()} == {
        "json": (False, 0), "binary": (True, 0), "best": (False, 1), "both": (True, 2), "neither": (False, 0),
    }  # fmt: skip
    assert read({"outputs": []})[0].outputs == ()


ONE = {"name": "I", "datatype": "FP32", "shape": [1], "data": [1]}
WRONG: dict[str, tuple[object, type[ServerError], str]] = {
    "no object": ([], InternalError, "expected an object"),
    "id": ({"id": 5}, InternalError, "Unable to parse 'id': expected a string"),
    "parameters": ({"parameters": [1]}, InternalError, "Unable to parse 'parameters': expected an object"),
    "null parameter": ({"parameters": {"x": None}}, InvalidArgumentError, "invalid type for request parameter 'x'"),
    "inputs": ({"inputs": {}}, InternalError, "Unable to parse 'inputs': expected an array"),
    "nothing": ({}, InternalError, "Unable to parse 'inputs': the key is missing, found nothing"),
    "input": ({"inputs": [5]}, InternalError, "missing all, as it is no object"),
    "no shape": ({"inputs": [{"name": "I", "datatype": "FP32"}]}, InternalError, "missing 'shape'"),
    "name": ({"inputs": [{**ONE, "name": 5}]}, InternalError, "name and datatype are strings, shape is an array"),
    "datatype": ({"inputs": [{**ONE, "datatype": 5}]}, InternalError, "name and datatype are strings"),
    "shape": ({"inputs": [{**ONE, "shape": 5}]}, InternalError, "name and datatype are strings"),
    "true dim": ({"inputs": [{**ONE, "shape": [True]}]}, InternalError, "found True, expected whole numbers >= 0"),
    "float dim": ({"inputs": [{**ONE, "shape": [1.0]}]}, InternalError, "found 1.0, expected whole numbers >= 0"),
    "negative dim": ({"inputs": [{**ONE, "shape": [-1]}]}, InternalError, "found -1, expected whole numbers >= 0"),
    "largest dim": ({"inputs": [{**ONE, "shape": [2**63 - 1]}]}, InvalidArgumentError, "byte size overflow"),
    "larger dim": ({"inputs": [{**ONE, "shape": [2**63]}]}, InvalidArgumentError, "is more than the largest"),
    "largest of all": ({"inputs": [{**ONE, "shape": [2**64 - 1]}]}, InvalidArgumentError, "is more than the largest"),
    "65 dims": ({"inputs": [{**ONE, "shape": [1] * 65}]}, InvalidArgumentError, "has more than 64 dimensions"),
    "input parameters": ({"inputs": [{**ONE, "parameters": [1]}]}, InternalError, "'parameters' of input 'I'"),
    "outputs": ({"inputs": [], "outputs": {"name": "O"}}, InternalError, "Unable to parse 'outputs': expected an array"),
    "output": ({"inputs": [], "outputs": ["O"]}, InternalError, "Unable to parse 'outputs': each needs a name"),
    "output name": ({"inputs": [], "outputs": [{"name": 5}]}, InternalError, "each needs a name"),
}  # fmt: skip
WRONG |= {
    f"output {parameters}": ({"inputs": [], "outputs": [{"name": "O", "parameters": parameters}]}, kind, text)
    for parameters, kind, text in (
        ([1], InternalError, "Unable to parse 'parameters' of output 'O'"),
        ({"binary_data": 1}, InternalError, "Unable to parse 'binary_data' of output 'O'"),
        ({"classification": -1}, InternalError, "Unable to parse 'classification' of output 'O'"),
        ({"classification": True}, InternalError, "Unable to parse 'classification' of output 'O'"),
        ({"classification": 1.0}, InternalError, "Unable to parse 'classification' of output 'O'"),
        ({"shared_memory_region": "r"}, UnsupportedError, "shared memory is disabled"),
    )
}


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_meant_is_told(name: str):
    document, kind, text = WRONG[name]
    with pytest.raises(kind, match=text):
        decode_request(json.dumps(document).encode(), None, "m", "", LIMIT)


def test_64_dims_are_none_too_many():
    tensor = {**ONE, "shape": [1] * 64}
    assert read({"inputs": [tensor]})[0].inputs["I"].shape == (1,) * 64
