"""The trace extension over both protocols, with NVIDIA's clients."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
import tritonclient.grpc
import tritonclient.http
from google.protobuf.json_format import MessageToDict
from tritonclient.grpc import service_pb2 as pb

from tcli_server import Engine
from tcli_server.options import EngineOptions
from tcli_server.serving import ServeOptions, Server
from tcli_server.tracing.options import TraceOptions

STARTED = {
    "trace_level": ["OFF"],
    "trace_rate": ["1000"],
    "trace_count": ["-1"],
    "log_frequency": ["0"],
    "trace_file": ["trace.json"],
    "trace_mode": ["triton"],
}


@pytest.fixture(scope="module")
def server(standard_repository: Path) -> Iterator[Server]:
    options = ServeOptions(
        http_address="127.0.0.1", grpc_address="127.0.0.1", http_port=0, grpc_port=0, allow_metrics=False
    )
    traced = EngineOptions(trace=TraceOptions(file="trace.json"))
    with Server(Engine(standard_repository, options=traced), options) as running:
        yield running


@pytest.fixture(autouse=True)
def as_started(server: Server) -> Iterator[None]:
    yield
    for model in ("add_sub", ""):
        server.engine.change_trace(model, dict.fromkeys(("level", "rate", "count", "log_frequency"))).result()


@pytest.fixture(params=["http", "grpc"])
def client(request: pytest.FixtureRequest, server: Server) -> Iterator[Any]:
    port = server.http_port if request.param == "http" else server.grpc_port
    with getattr(tritonclient, request.param).InferenceServerClient(f"127.0.0.1:{port}") as client:
        yield client


def plain(answer: Any) -> dict[str, list[str]]:
    """Settings as gRPC has them, whichever protocol they came by."""
    if isinstance(answer, dict):
        return {name: value if isinstance(value, list) else [value] for name, value in answer.items()}
    settings = MessageToDict(answer, preserving_proto_field_name=True)["settings"]
    return {name: value["value"] for name, value in settings.items()}


def test_a_model_has_what_the_server_has_but_for_its_own(client: Any):
    assert plain(client.get_trace_settings()) == STARTED
    changed = client.update_trace_settings(settings={"trace_rate": "5", "trace_level": ["TIMESTAMPS"]})
    assert plain(changed) == STARTED | {"trace_rate": ["5"], "trace_level": ["TIMESTAMPS"]}
    own = plain(client.update_trace_settings("add_sub", {"trace_rate": "7", "trace_level": ["TENSORS", "TIMESTAMPS"]}))
    assert own == plain(changed) | {"trace_rate": ["7"], "trace_level": ["TIMESTAMPS", "TENSORS"]}
    client.update_trace_settings(settings={"trace_rate": "6", "trace_count": "9", "log_frequency": "2"})
    assert plain(client.get_trace_settings("add_sub")) == own | {"trace_count": ["9"], "log_frequency": ["2"]}
    cleared = client.update_trace_settings("add_sub", {"trace_rate": None})
    assert plain(cleared)["trace_rate"] == ["6"]
    fields = ("trace_rate", "trace_count", "log_frequency", "trace_level")
    assert plain(client.update_trace_settings(settings=dict.fromkeys(fields))) == STARTED


@pytest.mark.parametrize(
    ("settings", "words", "status"),
    [
        ({"trace_rate": "x"}, "Unable to parse 'trace_rate', got: x", 400),
        ({"trace_rate": "4294967296"}, "value is out of range [ 0, 4294967295 ], got: 4294967296", 400),
        ({"trace_count": "-2"}, "Unable to parse 'trace_count'. Expecting value >= -1, got: -2", 400),
        ({"trace_level": ["TENSORS", "OFF"]}, "Expect only one trace level 'OFF' is specified", 400),
        ({"trace_level": ["MAX"]}, "there is no trace level 'MAX', expected one of OFF, TIMESTAMPS, TENSORS", 400),
        ({"trace_file": "/etc/passwd"}, "trace file location can not be updated through network protocol", 501),
        ({"trace_mode": "opentelemetry"}, "there is no trace setting 'trace_mode' to be changed", 400),
        (
            {"trace_level": ["TIMESTAMPS"], "trace_rate": "0"},
            "invalid trace setting :sample rate must be non-zero",
            400,
        ),
        ({"trace_rate": "3", "log_frequency": "1.5"}, "Unable to parse 'log_frequency', got: 1.5", 400),
    ],
)
def test_what_is_wrong_is_said_and_changes_nothing(server: Server, settings: dict[str, Any], words: str, status: int):
    refused = httpx.post(f"http://127.0.0.1:{server.http_port}/v2/trace/setting", json=settings)
    assert words in refused.json()["error"]
    assert refused.status_code == status
    with tritonclient.grpc.InferenceServerClient(f"127.0.0.1:{server.grpc_port}") as client:
        request = pb.TraceSettingRequest()
        for name, value in settings.items():
            request.settings[name].value.extend(value if isinstance(value, list) else [value])
        with pytest.raises(grpc.RpcError) as failed:
            client._client_stub.TraceSetting(request)
        assert words in failed.value.details()
        assert failed.value.code().name == {400: "INVALID_ARGUMENT", 501: "UNIMPLEMENTED"}[status]
        assert plain(client.get_trace_settings()) == STARTED


def test_bodies_and_models_that_are_none(server: Server):
    url = f"http://127.0.0.1:{server.http_port}/v2"
    for body, status in ((b"", 500), (b"[]", 400), (b'{"trace_rate": 7}', 500), (b'{"trace_level": "OFF"}', 500)):
        assert httpx.post(f"{url}/trace/setting", content=body).status_code == status
    large = b'{"trace_rate": ' + b" " * 20_000 + b'"1"}'
    assert httpx.post(f"{url}/trace/setting", content=large).status_code == 400
    for answer in (
        httpx.get(f"{url}/models/nope/trace/setting"),
        httpx.post(f"{url}/models/nope/trace/setting", json={}),
    ):
        assert (answer.status_code, answer.json()) == (400, {"error": "Request for unknown model : nope"})
    assert httpx.get(f"{url}/models/add_sub/versions/1/trace/setting").status_code == 404


def test_two_values_over_grpc(server: Server):
    with tritonclient.grpc.InferenceServerClient(f"127.0.0.1:{server.grpc_port}") as client:
        two = pb.TraceSettingRequest(settings={"trace_rate": pb.TraceSettingRequest.SettingValue(value=["1", "2"])})
        with pytest.raises(grpc.RpcError, match="expect only 1 value for 'trace_rate'"):
            client._client_stub.TraceSetting(two)
