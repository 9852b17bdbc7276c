"""What one client sends can cost only that client: bodies made to be expensive, and texts made to be unanswerable."""

import base64
import gzip
import http.client
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from loop_stall import longest_stall
from tcli_server import Engine
from tcli_server.options import EngineOptions
from tcli_server.serving import ServeOptions, Server

LONGEST_STALL = 1.5
"""Seconds. The faults that these bodies once met took 20 to 60; what is right takes some hundredths on a quiet machine."""


@pytest.fixture(scope="module")
def explicit(standard_repository: Path) -> Iterator[Server]:
    """A server with model control and room for large bodies; its models are those of the standard repository."""
    options = ServeOptions(
        http_address="127.0.0.1", grpc_address="127.0.0.1", http_port=0, grpc_port=0, metrics_port=0,
        http_max_input_size=32 << 20,
    )  # fmt: skip
    engine = Engine(standard_repository, options=EngineOptions(model_control_mode="explicit", load_models=("*",)))
    with Server(engine, options) as running:
        yield running


def post(server: Server, path: str, body: bytes, headers: dict[str, str] | None = None) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.http_port, timeout=120)
    try:
        connection.request("POST", path, body, headers or {})
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def infer(server: Server, body: bytes | dict, model: str = "identity_fp32", **headers: str) -> tuple[int, str]:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {key.replace("_", "-"): value for key, value in headers.items()}
    status, answer = post(server, f"/v2/models/{model}/infer", content, named)
    return status, json.loads(answer)["error"] if status != 200 else answer.decode("latin-1")


def one_input(shape: str = "[1,1]", datatype: str = "FP32", data: bytes = b"[1]") -> bytes:
    return b'{"inputs":[{"name":"INPUT0","datatype":"%b","shape":%b,"data":%b}]}' % (
        datatype.encode(),
        shape.encode(),
        data,
    )


def many_strings(count: int) -> tuple[bytes, dict[str, str]]:
    head = (
        b'{"inputs":[{"name":"INPUT0","datatype":"BYTES","shape":[1,%d],"parameters":{"binary_data_size":%d}}],'
        b'"outputs":[{"name":"NONE"}]}' % (count, 4 * count)
    )
    return head + bytes(4 * count), {"Inference-Header-Content-Length": str(len(head))}


def all_classes(count: int) -> tuple[bytes, dict[str, str]]:
    head = (
        b'{"inputs":[{"name":"INPUT0","datatype":"FP32","shape":[1,%d],"parameters":{"binary_data_size":%d}}],'
        b'"outputs":[{"name":"OUTPUT0","parameters":{"classification":%d}}]}' % (count, 4 * count, count)
    )
    return head + os.urandom(4 * count), {"Inference-Header-Content-Length": str(len(head))}


GZIP = {"Content-Encoding": "gzip"}
HOSTILE: dict[str, Callable[[], tuple[str, bytes, dict[str, str]]]] = {
    "100,000 huge dims": lambda: ("identity_fp32", gzip.compress(one_input(json.dumps([2**62] * 100_000))), GZIP),
    "1,500 huge dims": lambda: ("identity_fp32", one_input(json.dumps([2**62] * 700)), {}),
    "a string among numbers": lambda: (
        "identity_fp32",
        one_input("[1,33001]", data=b"[" + b"1," * 33_000 + b'"' + b"x" * 60_000 + b'"]'),
        {},
    ),
    "data without values": lambda: ("identity_fp32", gzip.compress(b'{"inputs":[' + b'"data":[,' * 500_000), GZIP),
    "keys without values": lambda: ("identity_fp32", gzip.compress(b'{"inputs":[' + b'"data"' * 3_000_000), GZIP),
    "empty arrays as data": lambda: ("identity_fp32", gzip.compress(one_input(data=b"[" + b"[]," * 2_000_000 + b"1]")), GZIP),
    "empty arrays beside data": lambda: ("identity_fp32", b'{"more":[' + b"[]," * 5_000_000 + b"1]}", {}),
    "empty objects as data": lambda: ("identity_fp32", one_input(data=b"[" + b"{}," * 5_000_000 + b"1]"), {}),
    "deep": lambda: ("identity_fp32", b'{"inputs":' + b"[" * 10_000_000, {}),
    "quotes that do not end": lambda: ("identity_fp32", b'{"inputs":[NaN' + b'"\\"' * 5_000_000, {}),
    "only escapes": lambda: ("identity_bytes", one_input("[1,1]", "BYTES", b'["' + b"\\n" * 7_000_000 + b'"]'), {}),
    "only backslashes": lambda: ("identity_bytes", one_input("[1,1]", "BYTES", b'["' + b"\\\\" * 7_000_000 + b'"]'), {}),
    "only NaN": lambda: ("identity_fp32", one_input("[1,3000000]", data=b"[" + b"NaN," * 2_999_999 + b"1]"), {}),
    "long numbers": lambda: ("identity_fp32", one_input("[1,2]", data=b"[" + b"9" * 15_000_000 + b",1]"), {}),
    "only space": lambda: ("identity_fp32", one_input(data=b"[" + b" " * 15_000_000 + b"1]"), {}),
    "a long id": lambda: ("identity_fp32", b'{"id":"' + b"x" * 15_000_000 + b'","inputs":[]}', {}),
    "many binary strings": lambda: ("identity_bytes", *many_strings(3_000_000)),
    "many JSON strings": lambda: ("identity_fp32", one_input("[1,3000000]", "BYTES", b"[" + b'"",' * 2_999_999 + b'""]'), {}),
    "a million classes": lambda: ("identity_fp32", *all_classes(1_000_000)),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_the_loop_does_not_stall(explicit: Server, name: str):
    model, body, headers = HOSTILE[name]()
    statuses: list[int] = []
    stall = longest_stall(
        explicit, lambda: statuses.append(post(explicit, f"/v2/models/{model}/infer", body, headers)[0])
    )
    assert statuses[0] in (200, 400, 500)
    assert stall < LONGEST_STALL


@pytest.mark.parametrize(
    ("model", "body"),
    [
        ("identity_bytes", b'{"INPUT0":"' + b'\\"' * 7_000_000 + b'"}'),
        ("identity_bytes", b'{"INPUT0":[' + b'"INPUT0",' * 2_000_000 + b'"x"]}'),
        ("identity_fp32", b'{"INPUT0":[' + b"1," * 7_000_000 + b"1]}"),
        ("identity_fp32", b'{"INPUT0":[' + b"[1]," * 3_000_000 + b"[1]]}"),
        ("identity_fp32", b"{" + b'"INPUT0":1,' * 1_000_000 + b'"INPUT0":1}'),
        ("identity_fp32", b'{"parameters":{"x":[' + b"1," * 7_000_000 + b"1]}}"),
        ("identity_fp32", b'{"x":' + b"[" * 10_000_000),
    ],
)
def test_nor_do_requests_to_generate(explicit: Server, model: str, body: bytes):
    statuses: list[int] = []
    path = f"/v2/models/{model}/generate_stream"
    stall = longest_stall(explicit, lambda: statuses.append(post(explicit, path, body)[0]))
    assert statuses[0] in (200, 400, 500)
    assert stall < LONGEST_STALL


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("index", b'{"a":[' + b"[]," * 5_000_000 + b"1]}"),
        ("index", b"[" * 15_000_000),
        ("models/new/load", b'{"parameters":{"file:1/model.onnx":"' + b"QUJD" * 5_000_000 + b'"}}'),
        ("models/new/load", b'{"parameters":{"config":"' + b'\\"' * 7_000_000 + b'"}}'),
        ("models/new/unload", b'{"parameters":{"x":' + b"[" * 10_000_000),
    ],
)
def test_the_repository_s_requests_do_not_stall_it_either(explicit: Server, path: str, body: bytes):
    statuses: list[int] = []
    stall = longest_stall(explicit, lambda: statuses.append(post(explicit, f"/v2/repository/{path}", body)[0]))
    assert statuses[0] in (400, 500)
    assert stall < LONGEST_STALL


def test_pipelined_statistics_of_all_models_leave_the_loop_free(explicit: Server):
    def ask() -> None:
        for _ in range(30):
            connection = http.client.HTTPConnection("127.0.0.1", explicit.http_port, timeout=60)
            connection.request("GET", "/v2/models/stats")
            assert len(json.loads(connection.getresponse().read())["model_stats"]) > 10
            connection.close()

    assert longest_stall(explicit, ask) < LONGEST_STALL


# --- what cannot be answered as it is ---


@pytest.mark.parametrize("padding", [0, 200_000])
@pytest.mark.parametrize("text", ["\\ud800", "\\udc00x", "\x1b[31mred", "x\x00y"])
def test_texts_that_no_encoder_takes_are_answered(explicit: Server, text: str, padding: int):
    body = f'{{"id":"{text}","inputs":[],"outputs":[{{"name":"{text}"}}],"more":"{"x" * padding}"}}'
    status, error = infer(explicit, body.encode())
    assert status in (400, 500)
    assert error.isprintable()


@pytest.mark.parametrize("padding", [0, 200_000])
def test_control_characters_in_names_are_shown_as_escapes(explicit: Server, padding: int):
    document = {"id": "\x1b]0;owned\x07", "inputs": [], "outputs": [{"name": "\u2028\x1b[2J"}], "more": "x" * padding}
    status, error = infer(explicit, document)
    assert status == 400
    assert "\\x1b]0;owned\\x07" in error
    assert "\\u2028\\x1b[2J" in error


def test_long_names_are_cut_in_messages(explicit: Server):
    tensor = {"name": "n" * 10_000, "datatype": "FP32", "shape": [2], "data": [1]}
    status, error = infer(explicit, {"inputs": [tensor]})
    assert status == 500
    assert "(10000 characters)" in error
    assert len(error) < 500
    status, error = infer(explicit, {"id": "i" * 100_000, "inputs": []})
    assert len(error) < 11_000


@pytest.mark.parametrize(
    ("shape", "status"),
    [
        ([1] * 65, 400),
        ([1] * 1000, 400),
        ([0, 2**62], 400),
        ([2**40, 0, 2**40], 400),
        ([2**62], 400),  # elements fit 64 bits, bytes do not
        ([2**61, 1], 400),
        ([2**63], 400),
        ([2**64 - 1], 400),
        ([2**64], 500),
        ([], 400),
        ([1.0], 500),
        ([True], 500),
    ],
    ids=str,
)
@pytest.mark.parametrize("padding", [0, 200_000])
@pytest.mark.parametrize("binary", [False, True])
def test_shapes_that_no_array_has(explicit: Server, shape: list, status: int, padding: int, binary: bool):
    tensor: dict = {"name": "INPUT0", "datatype": "FP32", "shape": shape, "data": [1.0]}
    tail, headers = b"", {}
    if binary:
        del tensor["data"]
        tensor["parameters"] = {"binary_data_size": 4}
        tail = bytes(4)
    head = json.dumps({"inputs": [tensor], "id": "x" * padding}).encode()
    if binary:
        headers["Inference_Header_Content_Length"] = str(len(head))
    assert infer(explicit, head + tail, **headers)[0] == status


def test_byte_size_overflow_says_so(explicit: Server):
    status, error = infer(explicit, one_input("[2305843009213693952]"))
    assert (status, "byte size overflow for input 'INPUT0'" in error) == (400, True)


@pytest.mark.parametrize("depth", [100, 120, 1100, 100_000])
def test_deep_data_is_refused_as_newer_tritons_do(explicit: Server, depth: int):
    status, error = infer(explicit, one_input("[1,1]", data=b"[" * depth + b"1" + b"]" * depth))
    assert (status, "JSON nesting depth exceeds maximum allowed limit (100)" in error) == (400, True)
    assert infer(explicit, one_input("[1,1]", data=b"[" * 50 + b"1" + b"]" * 50))[0] == 200


def test_an_empty_shape_is_the_model_s_to_judge(explicit: Server):
    """Triton: unexpected shape, not a byte size that nobody asked about."""
    head = b'{"inputs":[{"name":"INPUT0","datatype":"FP32","shape":[],"parameters":{"binary_data_size":8}}]}'
    status, error = infer(explicit, head + bytes(8), "reshaped", Inference_Header_Content_Length=str(len(head)))
    assert (status, "unexpected shape for input 'INPUT0' for model 'reshaped'. Expected [2,2], got []" in error) == (
        400,
        True,
    )


def test_another_server_s_request_is_told_what_is_missing(explicit: Server):
    status, error = infer(explicit, {"instances": [[1]]})
    assert (status, error) == (500, "Unable to parse 'inputs': the key is missing, found instances")


@pytest.mark.parametrize("length", ["1_0", "+5", "0x10", "9" * 5000, "-0", "5 5"])
def test_lengths_that_are_no_plain_numbers(explicit: Server, length: str):
    status, error = infer(explicit, one_input(), Inference_Header_Content_Length=length)
    assert (status, "Unable to parse Inference-Header-Content-Length" in error) == (400, True)


# --- the repository's requests ---


@pytest.mark.parametrize("path", ["index", "models/new/load", "models/new/unload"])
def test_the_input_size_bounds_the_repository_s_requests(explicit: Server, path: str):
    status, body = post(explicit, f"/v2/repository/{path}", b'{"a":"' + b"x" * (33 << 20) + b'"}')
    assert status == 400
    assert b"Use --http-max-input-size to allow more" in body


@pytest.mark.parametrize("content", ["QUI", "QU?=", "QUJD-_-_", "QQ==QQ==", "=", "Ü===", "A" * 300_001])
def test_files_that_are_no_base64_are_refused_instead_of_guessed(explicit: Server, content: str):
    document = {"parameters": {"config": "{}", "file:1/model.onnx": content}}
    status, body = post(explicit, "/v2/repository/models/new/load", json.dumps(document).encode())
    assert (status, b"load parameter 'file:1/model.onnx' is not base64" in body) == (400, True)


def test_a_pushed_file_arrives_whole(explicit: Server, standard_repository: Path):
    model = (standard_repository / "identity_fp32" / "1" / "model.onnx").read_bytes()
    model += b"\x7a\x80\x80\x10" + bytes(1 << 18)  # an unknown field of 256 KiB, which protobuf readers skip
    config = json.dumps({"backend": "onnxruntime", "max_batch_size": 0})
    for encode in (base64.b64encode, base64.encodebytes):
        document = {"parameters": {"config": config, "file:1/model.onnx": encode(model).decode()}}
        status, body = post(explicit, "/v2/repository/models/pushed/load", json.dumps(document).encode())
        assert (status, body) == (200, b"")
        assert infer(explicit, one_input("[1,1]"), "pushed")[0] == 200
        assert post(explicit, "/v2/repository/models/pushed/unload", b"")[0] == 200
