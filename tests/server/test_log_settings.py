"""The logging extension over both protocols, with NVIDIA's clients."""

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
from tcli_server.observability.log import LOG, LogOptions, configure_log
from tcli_server.serving import ServeOptions, Server

DEFAULT = {
    "log_file": "",
    "log_info": True,
    "log_warning": True,
    "log_error": True,
    "log_verbose_level": 0,
    "log_format": "default",
}


@pytest.fixture(scope="module")
def server(standard_repository: Path) -> Iterator[Server]:
    options = ServeOptions(
        http_address="127.0.0.1", grpc_address="127.0.0.1", http_port=0, grpc_port=0, allow_metrics=False
    )
    with Server(Engine(standard_repository), options) as running:
        yield running


@pytest.fixture(autouse=True)
def logged(log_of_its_own: None) -> None:  # noqa: ARG001
    configure_log(LogOptions())


@pytest.fixture(params=["http", "grpc"])
def client(request: pytest.FixtureRequest, server: Server) -> Iterator[Any]:
    port = server.http_port if request.param == "http" else server.grpc_port
    with getattr(tritonclient, request.param).InferenceServerClient(f"127.0.0.1:{port}") as client:
        yield client


def plain(answer: Any) -> dict[str, Any]:
    """Settings as HTTP has them, whichever protocol they came by."""
    if isinstance(answer, dict):
        return answer
    settings = MessageToDict(answer, preserving_proto_field_name=True)["settings"]
    return {name: next(iter(value.values())) for name, value in settings.items()}


def test_what_is_changed_is_logged_so_from_then_on(client: Any, capsys: pytest.CaptureFixture[str]):
    assert plain(client.get_log_settings()) == DEFAULT
    changed = {"log_info": False, "log_verbose_level": 1, "log_format": "ISO8601"}
    assert plain(client.update_log_settings(changed)) == DEFAULT | changed
    assert plain(client.get_log_settings()) == DEFAULT | changed
    for log in (LOG.debug, LOG.info, LOG.warning):
        log("line of %s", log.__name__)
    lines = capsys.readouterr().err.splitlines()
    assert [line.rpartition(" ")[2] for line in lines] == ["debug", "warning"]
    assert all(line[10] == "T" for line in lines)
    client.update_log_settings({"log_info": True, "log_verbose_level": 0, "log_format": "default"})
    assert plain(client.get_log_settings()) == DEFAULT


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"log_info": 1}, "expect boolean for 'log_info', got: 1"),
        ({"log_verbose_level": True}, "expect uint32 for 'log_verbose_level', got: True"),
        ({"log_format": "short"}, "invalid argument for log_format, got: short, expected default or ISO8601"),
        ({"log_file": "/etc/passwd"}, "log file location can not be updated through network protocol"),
        ({"log_inof": False}, "there is no log setting 'log_inof', expected one of log_file, log_info, "),
        ({"log_error": False, "log_warning": "no"}, "expect boolean for 'log_warning', got: no"),
    ],
)
def test_what_is_wrong_is_said_and_changes_nothing(server: Server, settings: dict[str, Any], words: str):
    refused = httpx.post(f"http://127.0.0.1:{server.http_port}/v2/logging", json=settings)
    assert words in refused.json()["error"]
    assert refused.status_code == (501 if "log_file" in settings else 400)
    kinds = {bool: "bool_param", int: "uint32_param", str: "string_param"}
    request = pb.LogSettingsRequest()
    for name, value in settings.items():
        setattr(request.settings[name], kinds[type(value)], value)
    with tritonclient.grpc.InferenceServerClient(f"127.0.0.1:{server.grpc_port}") as client:
        with pytest.raises(grpc.RpcError) as failed:
            client._client_stub.LogSettings(request)
        assert words in failed.value.details()
        assert failed.value.code().name == ("UNIMPLEMENTED" if "log_file" in settings else "INVALID_ARGUMENT")
        assert plain(client.get_log_settings()) == DEFAULT


def test_bodies_that_are_no_settings(server: Server):
    url = f"http://127.0.0.1:{server.http_port}/v2/logging"
    for body, status in ((b"", 500), (b"{", 500), (b"[]", 400), (b"7", 400), (b'{"log_verbose_level": -1}', 400)):
        assert httpx.post(url, content=body).status_code == status
    assert httpx.post(url, content=b'{"log_info": ' + b" " * 20_000 + b"false}").status_code == 400
    assert httpx.post(url, content=b'{"log_info": null}').json() == DEFAULT
    assert httpx.get(url).json() == DEFAULT


def test_a_setting_without_a_value_over_grpc(server: Server):
    with tritonclient.grpc.InferenceServerClient(f"127.0.0.1:{server.grpc_port}") as client:
        request = pb.LogSettingsRequest(settings={"log_info": pb.LogSettingsRequest.SettingValue()})
        with pytest.raises(grpc.RpcError, match="expect boolean for 'log_info', got: None"):
            client._client_stub.LogSettings(request)
