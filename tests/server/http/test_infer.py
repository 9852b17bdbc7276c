"""Inference over HTTP, request by request as bytes: what a client sends and what it gets."""

import gzip
import json
import threading
import time
import zlib

import httpx
import numpy as np
import pytest

ONES = [1.0] * 16


@pytest.fixture(scope="module")
def http(http_url: str):
    with httpx.Client(base_url=f"http://{http_url}", timeout=60) as client:
        yield client


def add_sub(**changes: object) -> dict:
    tensor = {"datatype": "FP32", "shape": [1, 16], "data": ONES}
    return {"inputs": [{"name": "INPUT0", **tensor}, {"name": "INPUT1", **tensor}], **changes}


def infer(http: httpx.Client, document: object, model: str = "add_sub", **more: object) -> httpx.Response:
    content = document if isinstance(document, bytes) else json.dumps(document).encode()
    return http.post(f"/v2/models/{model}/infer", content=content, **more)


def error_of(response: httpx.Response) -> str:
    return response.json()["error"]


def test_json_request_is_answered_in_json(http: httpx.Client):
    response = infer(http, add_sub(id="seven"))
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    assert response.json() == {
        "id": "seven",
        "model_name": "add_sub",
        "model_version": "1",
        "outputs": [
            {"name": "OUTPUT0", "datatype": "FP32", "shape": [1, 16], "data": [2.0] * 16},
            {"name": "OUTPUT1", "datatype": "FP32", "shape": [1, 16], "data": [0.0] * 16},
        ],
    }


def test_only_requested_outputs_are_sent(http: httpx.Client):
    outputs = infer(http, add_sub(outputs=[{"name": "OUTPUT1"}])).json()["outputs"]
    assert [output["name"] for output in outputs] == ["OUTPUT1"]


def test_the_version_can_be_named(http: httpx.Client):
    assert http.post("/v2/models/add_sub/versions/1/infer", json=add_sub()).status_code == 200
    absent = http.post("/v2/models/add_sub/versions/7/infer", json=add_sub())
    assert (absent.status_code, error_of(absent)) == (
        404,
        "Request for unknown model: 'add_sub' version 7 is not found",
    )


def test_binary_input_and_output(http: httpx.Client):
    values = np.arange(16, dtype=np.float32)
    tensor = {"datatype": "FP32", "shape": [1, 16], "parameters": {"binary_data_size": 64}}
    head = json.dumps(
        {
            "inputs": [{"name": "INPUT0", **tensor}, {"name": "INPUT1", **tensor}],
            "outputs": [{"name": "OUTPUT0", "parameters": {"binary_data": True}}, {"name": "OUTPUT1"}],
        }
    ).encode()
    response = infer(http, head + values.tobytes() * 2, headers={"Inference-Header-Content-Length": str(len(head))})
    assert response.headers["content-type"] == "application/octet-stream"
    length = int(response.headers["inference-header-content-length"])
    document = json.loads(response.content[:length])
    assert document["outputs"][0]["parameters"] == {"binary_data_size": 64}
    assert document["outputs"][1]["data"] == [0.0] * 16
    assert np.array_equal(np.frombuffer(response.content[length:], np.float32), values * 2)


def test_binary_output_for_all_outputs(http: httpx.Client):
    document = add_sub(parameters={"binary_data_output": True})
    assert infer(http, document).headers["content-type"] == "application/octet-stream"
    listed = infer(http, {**document, "outputs": [{"name": "OUTPUT0"}]})
    assert listed.headers["content-type"] == "application/json"


def test_raw_request_is_the_inputs_bytes_alone(http: httpx.Client):
    values = np.arange(4, dtype=np.float32)
    headers = {"Inference-Header-Content-Length": "0"}
    response = infer(http, values.tobytes(), "slow", headers=headers)
    length = int(response.headers["inference-header-content-length"])
    assert json.loads(response.content[:length])["outputs"][0]["shape"] == [1, 4]
    refused = infer(http, values.tobytes(), "add_sub", headers=headers)
    assert refused.status_code == 400
    assert "Raw request must only have 1 input" in error_of(refused)


def test_classification(http: httpx.Client):
    data = [float(index) for index in range(16)]
    document = add_sub(outputs=[{"name": "OUTPUT0", "parameters": {"classification": 3}}])
    document["inputs"][0]["data"] = data
    output = infer(http, document).json()["outputs"][0]
    assert output["datatype"] == "BYTES"
    assert output["shape"] == [1, 3]
    # The label file has 15 lines, so the last class has no name.
    assert output["data"] == ["16.000000:15", "15.000000:14:class 14", "14.000000:13:class 13"]


@pytest.mark.parametrize(
    ("coding", "encode"), [("gzip", gzip.compress), ("deflate", zlib.compress), ("deflate", gzip.compress)]
)
def test_compressed_requests(http: httpx.Client, coding: str, encode):
    response = infer(http, encode(json.dumps(add_sub()).encode()), headers={"Content-Encoding": coding})
    assert response.status_code == 200


@pytest.mark.parametrize(
    ("accept", "coding"),
    [
        ("gzip", "gzip"),
        ("deflate", "deflate"),
        ("gzip;q=0.5, deflate;q=0.9", "deflate"),
        ("gzip;q=0", None),
        ("br", None),
    ],
)
def test_compressed_responses(http: httpx.Client, accept: str, coding: str | None):
    response = infer(http, add_sub(), headers={"Accept-Encoding": accept})
    assert response.headers.get("content-encoding") == coding
    assert response.json()["outputs"][0]["data"] == [2.0] * 16


def test_unknown_coding_is_refused_with_the_known_ones(http: httpx.Client):
    response = infer(http, add_sub(), headers={"Content-Encoding": "br"})
    assert response.status_code == 501
    assert response.headers["accept-encoding"] == "gzip, deflate"


def test_damaged_compressed_body_is_refused(http: httpx.Client):
    body = gzip.compress(json.dumps(add_sub()).encode())
    for damaged in (body[:-9], b"nonsense", b""):
        assert infer(http, damaged, headers={"Content-Encoding": "gzip"}).status_code == 400


WRONG = {
    "not JSON": (b"{", 500, "failed to parse the request JSON"),
    "no inputs": ({}, 500, "Unable to parse 'inputs'"),
    "missing input": (
        {"inputs": add_sub()["inputs"][:1]},
        400,
        "expected 2 inputs but got 1 inputs for model 'add_sub'. Got input(s) ['INPUT0'], but missing required input(s) "
        "['INPUT1']. Please provide all required input(s).",
    ),
    "unknown input": (
        {"inputs": [{**add_sub()["inputs"][0], "name": "X"}, add_sub()["inputs"][1]]},
        400,
        "unexpected inference input 'X' for model 'add_sub'",
    ),
    "duplicate input": ({"inputs": [add_sub()["inputs"][0]] * 2}, 400, "input 'INPUT0' already exists in request"),
    "unknown output": (add_sub(outputs=[{"name": "X"}]), 400, "unexpected inference output 'X' for model 'add_sub'"),
    "duplicate output": (add_sub(outputs=[{"name": "OUTPUT0"}] * 2), 400, "output 'OUTPUT0' already exists"),
    "reserved parameter": (
        add_sub(parameters={"triton_x": 1}),
        400,
        "'triton_x': keys starting with 'triton_' are reserved for Triton usage",
    ),
    "object as parameter": (add_sub(parameters={"x": {}}), 400, "invalid type for request parameter 'x'"),
    "shared memory": (
        {
            "inputs": [
                {"name": "INPUT0", "datatype": "FP32", "shape": [1, 16], "parameters": {"shared_memory_region": "r"}}
            ]
        },
        501,
        "shared memory",
    ),
}


@pytest.mark.parametrize(("document", "status", "message"), WRONG.values(), ids=WRONG.keys())
def test_wrong_requests(http: httpx.Client, document: object, status: int, message: str):
    response = infer(http, document)
    assert (response.status_code, message in error_of(response)) == (status, True), response.text


WRONG_INPUTS = {
    "data type": (
        {"datatype": "INT32", "data": [1] * 16},
        400,
        "data-type is 'INT32', but model 'add_sub' expects 'FP32'",
    ),
    "unknown data type": ({"datatype": "FP31"}, 400, "invalid datatype 'FP31'"),
    "shape": (
        {"shape": [1, 8], "data": ONES[:8]},
        400,
        "Expected [-1,16], got [1,8]. NOTE: the model's max_batch_size",
    ),
    "no batch dimension": ({"shape": [16]}, 400, "batch size does not match"),
    "batch too large": ({"shape": [9, 16], "data": ONES * 9}, 400, "batch size does not match"),
    "too few elements": ({"data": ONES[:3]}, 500, "Failed to parse 'data' field"),
    "too many elements": ({"data": ONES * 2}, 500, "Shape does not match true shape of 'data' field"),
    "negative dimension": ({"shape": [-1, 16]}, 500, "Unable to parse 'shape'"),
    "overflow": ({"shape": [2**62, 4]}, 400, "causes total element count to exceed maximum size of"),
    "strings": ({"data": ["1"] * 16}, 500, "expected FP32 values, got strings"),
    "no data": ({"data": None}, 500, "Unable to parse 'data'"),
    "data twice": ({"parameters": {"binary_data_size": 64}}, 400, "Input must set only one of the following fields"),
}


@pytest.mark.parametrize(("changes", "status", "message"), WRONG_INPUTS.values(), ids=WRONG_INPUTS.keys())
def test_wrong_inputs(http: httpx.Client, changes: dict, status: int, message: str):
    document = add_sub()
    document["inputs"][0] |= changes
    response = infer(http, document)
    assert (response.status_code, message in error_of(response)) == (status, True), response.text


def test_batch_larger_than_the_model_takes(http: httpx.Client):
    document = add_sub()
    for tensor in document["inputs"]:
        tensor |= {"shape": [9, 16], "data": ONES * 9}
    response = infer(http, document)
    assert response.status_code == 400
    assert "inference request batch-size must be <= 8 for 'add_sub'" in error_of(response)


def test_errors_carry_the_request_id(http: httpx.Client):
    assert error_of(infer(http, add_sub(id="abc", outputs=[{"name": "X"}]))).startswith("[request id: abc] ")
    assert error_of(infer(http, add_sub(outputs=[{"name": "X"}]))).startswith("[request id: <id_unknown>] ")


@pytest.mark.parametrize(
    ("length", "text"),
    [
        ("-1", "Unable to parse Inference-Header-Content-Length: found '-1', expected a count of bytes"),
        ("x", "Unable to parse Inference-Header-Content-Length"),
        ("1_0", "Unable to parse Inference-Header-Content-Length"),
        ("100000", "inference header size should be in range"),
        ("9" * 19, "inference header size should be in range"),
        ("9" * 20, "Unable to parse Inference-Header-Content-Length"),
    ],
)
def test_json_length_out_of_range_is_refused(http: httpx.Client, length: str, text: str):
    response = infer(http, add_sub(), headers={"Inference-Header-Content-Length": length})
    assert (response.status_code, text in error_of(response)) == (400, True)


@pytest.mark.parametrize("count", [1, 10_000], ids=["small", "large"])
@pytest.mark.parametrize(
    ("datatype", "element", "text"),
    [("BYTES", b"\x01\0\0\0\xff", "no UTF-8 text"), ("FP16", b"\0\0", "sending FP16 data via JSON")],
)
def test_what_json_cannot_say_is_told_whoever_writes_the_answer(
    http: httpx.Client, datatype: str, element: bytes, text: str, count: int
):
    size = len(element) * count
    tensor = {"name": "INPUT0", "datatype": datatype, "shape": [1, count], "parameters": {"binary_data_size": size}}
    head = json.dumps({"inputs": [tensor]}).encode()
    headers = {"Inference-Header-Content-Length": str(len(head))}
    response = infer(http, head + element * count, f"identity_{datatype.lower()}", headers=headers)
    assert (response.status_code, text in error_of(response)) == (400, True)
    assert "accept-encoding" not in response.headers


@pytest.mark.parametrize("coding", ["", "gzip"])
@pytest.mark.parametrize("count", [4, 100_000], ids=["small", "large"])
def test_answers_of_every_size_and_coding(http: httpx.Client, count: int, coding: str):
    values = np.arange(count, dtype=np.float32)
    tensor = {"name": "INPUT0", "datatype": "FP32", "shape": [1, count], "parameters": {"binary_data_size": 4 * count}}
    for binary in (False, True):
        head = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": binary}}).encode()
        headers = {"Inference-Header-Content-Length": str(len(head)), "Accept-Encoding": coding}
        response = infer(http, head + values.tobytes(), "identity_fp32", headers=headers)
        assert response.status_code == 200
        assert response.headers.get("content-encoding", "") == coding
        if binary:
            length = int(response.headers["inference-header-content-length"])
            assert response.content[length:] == values.tobytes()
        else:
            assert "inference-header-content-length" not in response.headers
            assert response.json()["outputs"][0]["data"] == values.tolist()


def test_binary_sizes_that_do_not_fit_are_refused(http: httpx.Client):
    def ask(size: int, sent: int) -> httpx.Response:
        tensor = {"name": "INPUT0", "datatype": "FP32", "shape": [1, 4], "parameters": {"binary_data_size": size}}
        head = json.dumps({"inputs": [tensor]}).encode()
        return infer(http, head + bytes(sent), "slow", headers={"Inference-Header-Content-Length": str(len(head))})

    assert ask(16, 16).status_code == 200
    assert "expecting 8 additional bytes for model 'slow'" in error_of(ask(16, 8))
    assert "unexpected additional input data for model 'slow'" in error_of(ask(16, 20))
    assert "input byte size mismatch for input 'INPUT0' for model 'slow'. Expected 16, got 12" in error_of(ask(12, 12))


@pytest.mark.parametrize("model", ["nope", "add_sub/versions/9"])
def test_a_model_that_is_not_there_is_told_before_anything_else(http: httpx.Client, model: str):
    response = http.post(f"/v2/models/{model}/infer", content=b"{")
    assert response.status_code == 404
    assert "Request for unknown model" in error_of(response)


def test_the_walk_throughs_payload_shape(http: httpx.Client):
    """A model without batching takes its configured dims, and gives back its configured dims, whatever the file has."""
    tensor = {"name": "INPUT0", "datatype": "FP32", "shape": [2, 2], "data": [[1, 2], [3, 4]]}
    output = infer(http, {"inputs": [tensor]}, "reshaped").json()["outputs"][0]
    assert (output["shape"], output["data"]) == ([4], [1.0, 2.0, 3.0, 4.0])
    refused = infer(http, {"inputs": [{**tensor, "shape": [1, 2, 2]}]}, "reshaped")
    assert "Expected [2,2], got [1,2,2]" in error_of(refused)


@pytest.mark.parametrize("padding", [0, 200_000])
@pytest.mark.parametrize("shape", [[0, 2**62], [2**40, 0, 2**40], [1] * 70])
def test_shapes_that_no_array_can_have_are_answered(http: httpx.Client, shape: list[int], padding: int):
    """With padding the request is large enough to be read in a thread, where an error must find its way back, too."""
    tensor = {"name": "INPUT0", "datatype": "FP32", "shape": shape, "data": [1.0] if 0 not in shape else []}
    response = infer(http, {"inputs": [tensor], "id": "x" * padding}, "identity_fp32")
    assert response.status_code in (400, 500)
    assert error_of(response)


def test_large_requests_do_not_stall_small_ones(http_url: str):
    """While big JSON bodies are being read, health checks are answered in between, not only after them."""
    rows = 1_000_000
    tensor = {"name": "INPUT0", "datatype": "FP32", "shape": [1, rows], "data": [0.5] * rows}
    body = json.dumps({"inputs": [tensor]}).encode()
    done = threading.Event()
    statuses: list[int] = []

    def send_large() -> None:
        with httpx.Client(base_url=f"http://{http_url}", timeout=120) as client:
            statuses.extend(infer(client, body, "identity_fp32").status_code for _ in range(3))
        done.set()

    sender = threading.Thread(target=send_large)
    answered = 0
    with httpx.Client(base_url=f"http://{http_url}", timeout=120) as client:
        start = time.monotonic()
        sender.start()
        while not done.is_set() and time.monotonic() - start < 120:
            assert client.get("/v2/health/live").status_code == 200
            answered += 1
    sender.join(120)
    assert statuses == [200, 200, 200]
    # One answer a large request would be all there is if each blocked the server while it is read and written.
    assert answered > 12


def test_white_space_is_not_what_a_large_request_is_refused_for(http_url: str):
    tensor = {"name": "INPUT0", "datatype": "FP32", "shape": [1, 4], "data": [1.0, 2.0, 3.0, 4.0]}
    blank = json.dumps({"inputs": [tensor]})[:-1] + " \n" * (3 << 20) + "}"
    answer = httpx.post(f"http://{http_url}/v2/models/slow/infer", content=blank, timeout=60)
    assert answer.status_code == 200
    assert answer.json()["outputs"][0]["data"] == [1, 2, 3, 4]
