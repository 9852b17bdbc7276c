"""Responses as bodies, and which of them an event loop may write itself."""

import json

import numpy as np
import pytest

from tcli_server.protocols.http.infer_request import OutputForm, ResponseForm
from tcli_server.protocols.http.infer_response import encode_response, takes_long
from tcli_server.protocols.tensors import PIECE
from tcli_server.request import InferenceResponse

JSON, BINARY = ResponseForm(OutputForm()), ResponseForm(OutputForm(binary=True), all_binary=True)


def response(**outputs: np.ndarray) -> InferenceResponse:
    return InferenceResponse("m", "3", outputs=outputs)


def test_a_response_says_whose_it_is_and_gives_its_parameters():
    length, parts = encode_response(InferenceResponse("m", "3", "seven", {}, {"a": 1, "b": "c"}), JSON)
    assert (length, json.loads(b"".join(parts))) == (
        0,
        {"id": "seven", "model_name": "m", "model_version": "3", "parameters": {"a": 1, "b": "c"}, "outputs": []},
    )
    _, parts = encode_response(response(), JSON)
    assert json.loads(b"".join(parts)) == {"model_name": "m", "model_version": "3", "outputs": []}


def test_binary_tensors_follow_the_json_and_those_without_bytes_do_not():
    outputs = {"A": np.array([1, 2], np.uint8), "none": np.zeros((0, 3), np.float32), "B": np.array([3], np.uint8)}
    length, parts = encode_response(response(**outputs), BINARY)
    body = b"".join(parts)
    sizes = [output["parameters"]["binary_data_size"] for output in json.loads(body[:length])["outputs"]]
    assert (sizes, body[length:]) == ([2, 0, 1], bytes([1, 2, 3]))
    length, parts = encode_response(response(none=outputs["none"]), BINARY)
    assert (length, json.loads(b"".join(parts))["outputs"][0]["parameters"]) == (0, {"binary_data_size": 0})


LARGE = np.zeros((300, 300), np.float32)
STRINGS = np.array([b"x" * (PIECE // 4)] * 8, np.object_)


@pytest.mark.parametrize(
    ("array", "form", "long"),
    [
        (LARGE, BINARY, False),  # its own memory is sent
        (LARGE.T[1:], BINARY, True),
        (np.zeros((4, 4), np.float32).T[1:], BINARY, False),
        (LARGE, JSON, True),
        (LARGE, ResponseForm(OutputForm(True, 1)), True),
        (LARGE[0], JSON, False),
        (STRINGS, JSON, True),
        (STRINGS, BINARY, True),
        (STRINGS[:2], BINARY, False),
        (np.array([b""] * 10_000, np.object_), BINARY, True),
    ],
)
def test_what_takes_long(array: np.ndarray, form: ResponseForm, long: bool):
    small = np.zeros(1, np.float32)
    assert takes_long(response(small=small, y=array), form) is long
    assert takes_long(response(y=array, small=small), ResponseForm(JSON.default, {"y": form.default})) is long


def test_an_answer_without_outputs_is_json_each_time():
    form = ResponseForm(OutputForm(binary=True), all_binary=True)
    for _ in range(3):
        length, parts = encode_response(response(), form)
        assert (length, json.loads(b"".join(parts))["outputs"]) == (0, [])


@pytest.mark.parametrize("ids", [["", "a", ""], ["a", "b", ""], ['q"é', "", "a"]])
def test_an_answer_has_its_own_id_whatever_those_before_had(ids: list[str]):
    for number, request_id in enumerate(ids):
        length, parts = encode_response(InferenceResponse("ids", "1", request_id, {"O": np.int8([number])}), BINARY)
        document = json.loads(bytes(parts[0]))
        assert (document.get("id", ""), document["model_name"], length) == (request_id, "ids", len(parts[0]))
        assert bytes(parts[1]) == bytes([number])
