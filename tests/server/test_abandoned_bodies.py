"""What clients sent and left behind: its memory counts for as long as it is held, and no longer."""

import contextlib
import gc
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc

import onnx_models
from http_wire import Wire, post
from repositories import write_model
from tcli_server import Engine, EngineOptions
from tcli_server.backends.onnxruntime.backend import OnnxRuntimeBackend
from tcli_server.protocols.grpc.infer import _Call
from tcli_server.protocols.http.exchange import Exchange
from tcli_server.serving import ServeOptions, Server
from waiting import until

SPACE = b" " * 200_000
"""Makes any JSON large enough to be read in a thread."""


@pytest.fixture
def server(tmp_path: Path, loopback: ServeOptions) -> Iterator[Server]:
    write_model(tmp_path, "identity", onnx_models.identity(shape=("N", "M")))
    with Server(Engine(tmp_path, options=EngineOptions(model_control_mode="explicit")), loopback) as running:
        yield running


@contextlib.contextmanager
def occupied(pool: ThreadPoolExecutor) -> Iterator[None]:
    """All threads of a pool have something else to do."""
    leave = threading.Event()
    busy = [pool.submit(leave.wait, 60) for _ in range(pool._max_workers)]
    until(lambda: all(work.running() for work in busy))
    try:
        yield
    finally:
        leave.set()


def held(server: Server) -> int:
    """Bytes of bodies that count as held."""
    return server._http[0][0]._budget.held


def watch(server: Server) -> list[Exchange]:
    """Every exchange from now on."""
    shared, seen = server._http[0][0]._shared, []
    handler = shared.handler

    def watched(exchange: Exchange) -> None:
        seen.append(exchange)
        handler(exchange)

    shared.handler = watched
    return seen


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v2/repository/models/identity/load", 200),
        ("/v2/repository/models/nobody/load", 500),
        ("/v2/repository/models/identity/unload", 200),
        ("/v2/repository/index", 200),
        ("/v2/models/identity/infer", 404),
    ],
)
def test_every_answered_request_gives_its_share_of_the_memory_back(server: Server, path: str, status: int):
    with Wire(server.http_port) as wire:
        for _ in range(2):
            wire.send(post(b"{}" + SPACE, path))
            assert wire.read().status == status
    assert held(server) == 0


def test_an_abandoned_inference_that_waits_to_be_read_is_dropped(server: Server):
    server.engine.load("identity")
    seen = watch(server)
    with occupied(server._http[0][1]._pool):
        wire = Wire(server.http_port)
        wire.send(post(b"{}" + SPACE, "/v2/models/identity/infer"))
        until(lambda: bool(seen))
        assert seen[0].body
        wire.reset()
        until(lambda: not seen[0].body)
        assert held(server) == 0


def test_an_abandoned_load_counts_until_it_is_done(server: Server):
    seen = watch(server)
    body = json.dumps({"parameters": {"config": json.dumps({"max_batch_size": 3})}}).encode() + SPACE
    with occupied(server._http[0][1]._control_pool):
        wire = Wire(server.http_port)
        wire.send(post(body, "/v2/repository/models/identity/load"))
        until(lambda: bool(seen))
        wire.reset()
        until(lambda: not server._http[0][0]._shared.connections)
        assert held(server) == len(body)
    until(lambda: held(server) == 0)
    assert server.engine.model_config("identity").max_batch_size == 3


def test_an_abandoned_call_that_waits_to_be_read_is_dropped(server: Server):
    server.engine.load("identity")
    request = pb.ModelInferRequest(model_name="identity")
    tensor = request.inputs.add(name="INPUT0", datatype="FP32", shape=[1, 50_000])
    tensor.contents.fp32_contents.extend([1.0] * 50_000)

    def waiting() -> list[_Call]:
        gc.collect()  # calls of other tests, kept by tracebacks
        return [found for found in gc.get_objects() if isinstance(found, _Call) and found.data]

    assert server._grpc is not None
    with (
        occupied(server._grpc._pools[0]),
        grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel,
    ):
        call = service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer.future(request)
        until(lambda: len(waiting()) == 1)
        call.cancel()
        until(lambda: not waiting())


def test_files_of_abandoned_loads_count_until_the_loads_are_over(server: Server, monkeypatch: pytest.MonkeyPatch):
    """Loads that wait for each other, each with a file, from clients that do not wait for them."""
    leave = threading.Event()
    open_model = OnnxRuntimeBackend.open

    def held_open(*arguments: Any) -> Any:
        assert leave.wait(60)
        return open_model(*arguments)

    monkeypatch.setattr(OnnxRuntimeBackend, "open", held_open)
    request = pb.RepositoryModelLoadRequest(model_name="identity")
    request.parameters["config"].string_param = "{}"
    request.parameters["file:1/model.onnx"].bytes_param = onnx_models.identity()
    request.parameters["file:1/other"].bytes_param = bytes(1 << 20)
    assert server._grpc is not None
    admission = server._grpc._admission
    monkeypatch.setattr(admission, "_most_bytes", 3 << 20)
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        for count in (1, 2):
            call = stub.RepositoryModelLoad.future(request)
            until(lambda count=count: server.engine._control.operations._waiting == count)
            call.cancel()
        until(lambda: not admission._calls)
        with pytest.raises(grpc.RpcError) as refusal:
            stub.RepositoryModelLoad(request, timeout=60)
        assert refusal.value.code() is grpc.StatusCode.UNAVAILABLE
        assert "--max-pending-bytes" in refusal.value.details()
        leave.set()
        until(lambda: not admission._bytes)
        stub.RepositoryModelLoad(request, timeout=60)
    assert server.engine.model_ready("identity")
