"""Headers that models get, and how long a request took, over both protocols and both engines of gRPC."""

import json
import re
from collections.abc import Iterator
from queue import SimpleQueue
from typing import Any

import httpx
import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.http
from tritonclient.utils import InferenceServerException

from python_models import write_python_model
from tcli_server import Engine
from tcli_server.errors import InvalidArgumentError
from tcli_server.protocols.grpc import GrpcOptions
from tcli_server.serving import ServeOptions, Server, check_endpoints

ECHO = """
    import json

    import numpy as np
    import triton_python_backend_utils as pb_utils


    class TritonPythonModel:
        def execute(self, requests):
            return [
                pb_utils.InferenceResponse(
                    [pb_utils.Tensor("SEEN", np.array([request.parameters()], dtype=object))],
                    parameters=json.loads(json.loads(request.parameters()).get("back", "{}")),
                )
                for request in requests
            ]
"""
CONFIG = """
    backend: "python"
    input [ { name: "IN" data_type: TYPE_FP32 dims: [ 1 ] } ]
    output [ { name: "SEEN" data_type: TYPE_STRING dims: [ 1 ] } ]
"""
HEADERS = {"x-tenant": "blue", "other": "no", "x-more": "a, b"}
LONG, TOO_LONG = "x-" + "n" * 98, "x-" + "n" * 99
"""No pattern is looked for in the second: that may take the square of a name's length."""
TIMING = r"queue;dur=[0-9.]+, compute_input;dur=[0-9.]+, compute_infer;dur=[0-9.]+, compute_output;dur=[0-9.]+, total;dur=[0-9.]+"


@pytest.fixture(scope="module", params=["nghttp2", "aio"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    repository = tmp_path_factory.mktemp("models")
    write_python_model(repository, "echo", ECHO, CONFIG)
    options = ServeOptions(
        http_address="127.0.0.1", grpc_address="127.0.0.1", http_port=0, grpc_port=0, allow_metrics=False,
        http_header_forward_pattern="^X-", http_response_header_pattern="^x-|content", grpc=GrpcOptions(engine=request.param, header_forward_pattern="^(x-|seq)"),
    )  # fmt: skip
    with Server(Engine(repository), options) as running:
        yield running


def infer(protocol: str, server: Server, headers: dict[str, str], **more: Any) -> Any:
    module = getattr(tritonclient, protocol)
    port = server.http_port if protocol == "http" else server.grpc_port
    tensor = module.InferInput("IN", [1], "FP32")
    tensor.set_data_from_numpy(np.ones(1, np.float32))
    with module.InferenceServerClient(f"127.0.0.1:{port}") as client:
        return client.infer("echo", [tensor], headers=dict(headers), **more)  # it writes in them


def seen(result: Any) -> dict[str, Any]:
    return json.loads(result.as_numpy("SEEN")[0])


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_the_model_gets_the_headers_that_the_pattern_is_found_in(protocol: str, server: Server):
    for _ in range(3):  # what repeats is not read again
        assert seen(infer(protocol, server, HEADERS)) == {"x-tenant": "blue", "x-more": "a, b"}
    assert seen(infer(protocol, server, {**HEADERS, "x-tenant": "red"}, parameters={"mine": 7})) == {
        "x-tenant": "red",
        "x-more": "a, b",
        "mine": 7,
    }
    assert seen(infer(protocol, server, {LONG: "1", TOO_LONG: "2"})) == {LONG: "1"}
    assert seen(infer(protocol, server, {})) == {}


def test_generate_and_streams_hand_them_on_too(server: Server):
    url = f"http://127.0.0.1:{server.http_port}/v2/models/echo/generate"
    assert json.loads(httpx.post(url, json={"IN": 1}, headers={"X-Tenant": "blue"}).json()["SEEN"]) == {
        "x-tenant": "blue"
    }
    answers: SimpleQueue[Any] = SimpleQueue()
    tensor = tritonclient.grpc.InferInput("IN", [1], "FP32")
    tensor.set_data_from_numpy(np.ones(1, np.float32))
    with tritonclient.grpc.InferenceServerClient(f"127.0.0.1:{server.grpc_port}") as client:
        client.start_stream(lambda result, error: answers.put(error or result), headers={"x-server-timing": "true"})
        client.async_stream_infer("echo", [tensor])
        result = answers.get(timeout=60)
    assert seen(result) == {"x-server-timing": "true"}
    assert re.fullmatch(TIMING, result.get_response().parameters["server_timing"].string_param)


def test_a_reserved_name_is_refused(server: Server):
    with pytest.raises(InferenceServerException, match="Header 'sequence_id' is reserved and cannot be forwarded"):
        infer("grpc", server, {"sequence_id": "7"})
    assert seen(infer("grpc", server, {"x-a": "1"})) == {"x-a": "1"}


def test_who_asks_is_told_how_long_it_took(server: Server):
    url = f"http://127.0.0.1:{server.http_port}/v2/models/echo/infer"
    body = {"inputs": [{"name": "IN", "shape": [1], "datatype": "FP32", "data": [1]}]}
    assert re.fullmatch(
        TIMING, httpx.post(url, json=body, headers={"x-server-timing": "true"}).headers["server-timing"]
    )
    assert "server-timing" not in httpx.post(url, json=body).headers
    told = infer("grpc", server, {"x-server-timing": "true"}).get_response().parameters["server_timing"].string_param
    assert re.fullmatch(TIMING, told)
    assert "server_timing" not in infer("grpc", server, {}).get_response().parameters


@pytest.mark.parametrize("coding", ["identity", "gzip"])
def test_response_parameters_that_the_pattern_is_found_in_are_headers(server: Server, coding: str):
    back = {
        "x-cache": "hit",
        "X-Hits": 3,
        "x-warm": True,
        "x-bad": "a\r\nx-evil: 1",
        "x bad": "1",
        "Content-Length": 7,
        "y": 1,
        LONG: 1,
        TOO_LONG: 2,
        "x-too-large": "v" * 20_000,
        "x-large": "v" * 4000,
    } | {f"x-more-{number}": "v" * 4000 for number in range(9)}
    body = {
        "parameters": {"back": json.dumps(back)},
        "inputs": [{"name": "IN", "shape": [1], "datatype": "FP32", "data": [1]}],
    }
    url = f"http://127.0.0.1:{server.http_port}/v2/models/echo/infer"
    answer = httpx.post(url, json=body, headers={"accept-encoding": coding})
    assert answer.json()["parameters"] == back
    told = {name: value for name, value in answer.headers.items() if name.startswith("x") or name == "y"}
    assert told.pop("x-large") == "v" * 4000
    assert [told.pop(f"x-more-{number}") for number in (0, 1, 2)] == ["v" * 4000] * 3  # and no more: 16 KiB in all
    assert told == {"x-cache": "hit", "x-hits": "3", "x-warm": "true", LONG: "1"}


@pytest.mark.parametrize(
    "options",
    [ServeOptions(http_header_forward_pattern="("), ServeOptions(grpc=GrpcOptions(header_forward_pattern="("))],
)
def test_a_pattern_that_is_none_is_refused_before_anything_starts(options: ServeOptions):
    with pytest.raises(
        InvalidArgumentError,
        match=r"_header_forward_pattern: '\(' is no regular expression \(missing \).*at character 1\), .*; fix: ",
    ):
        check_endpoints(options)
