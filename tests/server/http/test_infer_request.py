"""Requests are read without their model; what Triton knows by name goes where the scheduler looks for it."""

import json

import numpy as np
import pytest

from tcli_server.errors import InternalError, InvalidArgumentError
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
    request, _ = read({"parameters": {"priority": 2, "timeout": 1_500, "sequence_id": "s", "mine": 0.5}})
    assert (request.priority, request.timeout_us) == (2, 1_500)
    assert request.parameters == {"sequence_id": "s", "mine": 0.5}


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
    decode_request(b"{}" if json_length is None else b"x" * LIMIT, 0, "m", "", LIMIT)


def test_outputs_are_json_unless_it_is_said_that_they_are_not():
    assert not read({})[1].default.binary
    assert not read({"parameters": {"priority": 1}})[1].default.binary
    assert not read({"parameters": {"binary_data_output": False}})[1].default.binary
    assert read({"parameters": {"binary_data_output": True}})[1].default.binary
