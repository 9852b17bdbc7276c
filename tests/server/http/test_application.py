"""What the endpoints say of a server as a whole, and what they do when something in it is broken."""

import logging
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import httpx
import pytest

import onnx_models
from repositories import write_model
from tcli_server import Engine, EngineOptions
from tcli_server.serving import ServeOptions, Server
from waiting import until

TENSOR = {"name": "INPUT0", "datatype": "FP32", "shape": [1, 4], "data": [1.0] * 4}


@pytest.fixture
def server(tmp_path: Path, loopback: ServeOptions) -> Iterator[Server]:
    """In explicit mode, with one model on disk that is not loaded."""
    write_model(tmp_path, "identity", onnx_models.identity())
    with Server(Engine(tmp_path, options=EngineOptions(model_control_mode="explicit")), loopback) as running:
        yield running


@pytest.fixture
def http(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"http://127.0.0.1:{server.http_port}", timeout=60) as client:
        yield client


def broken(*_: object, **__: object) -> NoReturn:
    raise KeyError("broken")


def test_a_server_without_models_says_so(http: httpx.Client):
    assert [http.get(f"/v2/health/{what}").status_code for what in ("live", "ready")] == [200, 200]
    assert http.post("/v2/repository/index").json() == [{"name": "identity"}]
    assert http.post("/v2/repository/index", json={"ready": True}).json() == []


def test_a_load_and_an_unload_are_answered_when_they_are_done(http: httpx.Client):
    loaded = http.post("/v2/repository/models/identity/load")
    assert (loaded.status_code, loaded.content) == (200, b"")
    assert http.post("/v2/repository/index").json() == [{"name": "identity", "version": "1", "state": "READY"}]
    ready = http.get("/v2/models/identity/ready")
    assert (ready.status_code, ready.content) == (200, b"")
    assert http.post("/v2/models/identity/infer", json={"inputs": [TENSOR]}).status_code == 200
    unloaded = http.post("/v2/repository/models/identity/unload")
    assert (unloaded.status_code, unloaded.content) == (200, b"")
    assert http.get("/v2/models/identity/ready").status_code == 400
    absent = http.post("/v2/repository/models/nothing/load")
    assert (absent.status_code, "no folder 'nothing'" in absent.json()["error"]) == (500, True)


def test_health_of_an_engine_that_is_not_ready_or_stops(server: Server, http: httpx.Client):
    server.engine.ready = lambda: False  # type: ignore[method-assign]
    assert [http.get(f"/v2/health/{what}").status_code for what in ("live", "ready")] == [200, 400]
    assert server.engine.shutdown()
    assert [http.get(f"/v2/health/{what}").status_code for what in ("live", "ready")] == [503, 503]


@pytest.mark.parametrize(
    ("method", "path", "where"),
    [
        ("GET", "/v2/health/ready", "ready"),
        ("GET", "/v2/models/identity", "metadata_of"),
        ("GET", "/v2/models/identity/config", "config_of"),
        ("GET", "/v2/models/stats", "statistics"),
        ("POST", "/v2/repository/index", "repository_index"),
        ("POST", "/v2/repository/models/identity/load", "begin_load"),
        ("POST", "/v2/repository/models/identity/unload", "begin_unload"),
        ("POST", "/v2/models/identity/infer", "submit"),
        ("POST", "/v2/models/identity/infer", "check_model"),
    ],
)
def test_a_defect_is_answered_and_logged_once_and_the_connection_lives_on(
    server: Server, http: httpx.Client, caplog: pytest.LogCaptureFixture, method: str, path: str, where: str
):
    assert http.post("/v2/repository/models/identity/load").status_code == 200
    setattr(server.engine, where, broken)
    body = {"inputs": [TENSOR]} if path.endswith("infer") else {}
    with caplog.at_level(logging.ERROR):
        response = http.request(method, path, json=body)
        assert (response.status_code, response.json()) == (500, {"error": "KeyError: 'broken'"})
        assert http.get("/v2/health/live").status_code == 200
    assert [record.exc_info is not None for record in caplog.records] == [True]


def test_no_thread_outlives_the_server(tmp_path: Path, loopback: ServeOptions):
    write_model(tmp_path, "identity", onnx_models.identity())
    before = set(threading.enumerate())
    server = Server(Engine(tmp_path, options=EngineOptions(model_control_mode="explicit")), loopback)
    server.start()
    with httpx.Client(base_url=f"http://127.0.0.1:{server.http_port}", timeout=60) as http:
        assert http.post("/v2/repository/models/identity/load").status_code == 200  # one pool,
        assert http.get("/v2/models/identity").status_code == 200  # another,
        large = {**TENSOR, "shape": [1, 20_000], "data": [1.0] * 20_000}
        assert http.post("/v2/models/identity/infer", json={"inputs": [large]}).status_code == 400  # and the third
    ours = {thread.name.rpartition("_")[0] for thread in set(threading.enumerate()) - before}
    assert {"http", "http-status", "http-control"} <= ours
    server.shutdown()
    until(lambda: not {one for one in set(threading.enumerate()) - before if one.name.startswith("http")})
