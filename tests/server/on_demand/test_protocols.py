"""Models that are loaded on demand, over HTTP and gRPC, with clients that know nothing of it."""

import json
import queue
import shutil
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import tritonclient.grpc as grpcclient
import tritonclient.http as httpclient
from tritonclient.utils import InferenceServerException

from http_wire import Wire
from on_demand_models import ROW, held_up, loaded, on_demand, options, tally, write_identities
from python_models import REPEAT, REPEAT_CONFIG, write_python_model
from repositories import write_model
from sequence_models import sums, sums_config
from tcli_server import Engine
from tcli_server.serving import ServeOptions, Server
from waiting import until


@pytest.fixture
def server(tmp_path: Path, loopback: ServeOptions) -> Iterator[Server]:
    write_identities(tmp_path, "one", "two", "three")
    write_model(tmp_path, "sums", sums(), sums_config())
    with Server(Engine(tmp_path, options=options()), loopback) as running:
        yield running


@pytest.fixture
def over_http(server: Server) -> Iterator[httpclient.InferenceServerClient]:
    with httpclient.InferenceServerClient(f"127.0.0.1:{server.http_port}", concurrency=4) as client:
        yield client


@pytest.fixture
def over_grpc(server: Server) -> Iterator[grpcclient.InferenceServerClient]:
    with grpcclient.InferenceServerClient(f"127.0.0.1:{server.grpc_port}") as client:
        yield client


def row(kind: Any, name: str = "INPUT0", array: np.ndarray = ROW["INPUT0"], datatype: str = "FP32") -> Any:
    tensor = kind.InferInput(name, array.shape, datatype)
    tensor.set_data_from_numpy(array)
    return tensor


def post(name: str) -> bytes:
    tensor = {"name": "INPUT0", "datatype": "FP32", "shape": [1, 4], "data": [1, 1, 1, 1]}
    body = json.dumps({"inputs": [tensor]}).encode()
    return b"POST /v2/models/%s/infer HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (
        name.encode(),
        len(body),
        body,
    )


def test_the_first_request_over_http(server: Server, over_http: httpclient.InferenceServerClient):
    assert over_http.is_server_ready()
    assert over_http.is_model_ready("one")
    assert not over_http.is_model_ready("four")
    assert loaded(server.engine) == set()
    answer = over_http.infer("one", [row(httpclient)])
    assert np.array_equal(answer.as_numpy("OUTPUT0"), ROW["INPUT0"])
    with pytest.raises(InferenceServerException, match="unknown model: 'four' is not found"):
        over_http.infer("four", [row(httpclient)])


def test_the_first_request_over_grpc(server: Server, over_grpc: grpcclient.InferenceServerClient):
    assert over_grpc.is_server_ready()
    assert over_grpc.is_model_ready("one")
    assert not over_grpc.is_model_ready("four")
    assert loaded(server.engine) == set()
    answer = over_grpc.infer("one", [row(grpcclient)])
    assert np.array_equal(answer.as_numpy("OUTPUT0"), ROW["INPUT0"])
    with pytest.raises(InferenceServerException, match="unknown model: 'four' is not found"):
        over_grpc.infer("four", [row(grpcclient)])


def test_while_one_model_loads_everything_else_is_answered(
    server: Server, over_http: httpclient.InferenceServerClient, over_grpc: grpcclient.InferenceServerClient
):
    with ThreadPoolExecutor(8) as pool:
        with held_up(server.engine, "one"):
            waiting = [
                pool.submit(over_grpc.infer, "one", [row(grpcclient)]),
                pool.submit(over_grpc.get_model_metadata, "one"),
                pool.submit(over_grpc.get_model_config, "one"),
            ]
            wires = [Wire(server.http_port) for _ in range(4)]
            for wire, request in zip(
                wires,
                (
                    post("one"),
                    b"GET /v2/models/one HTTP/1.1\r\nHost: x\r\n\r\n",
                    b"GET /v2/models/one/config HTTP/1.1\r\nHost: x\r\n\r\n",
                    b"GET /v2/models/one HTTP/1.1\r\nHost: x\r\n\r\n",
                ),
                strict=True,
            ):
                wire.send(request)
            until(lambda: on_demand(server.engine).waiting == 7)
            assert over_http.infer("two", [row(httpclient)]) is not None
            assert over_grpc.infer("three", [row(grpcclient)]) is not None
            assert over_http.get_model_metadata("two")["name"] == "two"
            assert over_grpc.get_model_config("three").config.name == "three"
            assert over_http.get_inference_statistics("one") == {"model_stats": []}
            assert not any(done.done() for done in waiting)
        assert [type(done.result(60)).__name__ for done in waiting] == [
            "InferResult",
            "ModelMetadataResponse",
            "ModelConfigResponse",
        ]
        answers = [wire.read() for wire in wires]
        assert [answer.status for answer in answers] == [200] * 4
        assert json.loads(answers[1].body) == json.loads(answers[3].body)
        assert json.loads(answers[2].body)["name"] == "one"
        for wire in wires:
            wire.socket.close()
    assert tally(server.engine, "one").loads == 1


def test_a_client_that_leaves_does_not_wait(server: Server):
    with held_up(server.engine, "one"):
        wires = [Wire(server.http_port) for _ in range(2)]
        for wire in wires:
            wire.send(post("one"))
        until(lambda: on_demand(server.engine).waiting == 2)
        wires[0].reset()
        until(lambda: on_demand(server.engine).waiting == 1)
        with grpcclient.InferenceServerClient(f"127.0.0.1:{server.grpc_port}") as client:
            call = client.async_infer("one", [row(grpcclient)], lambda **_: None)
            until(lambda: on_demand(server.engine).waiting == 2)
            call.cancel()
            until(lambda: on_demand(server.engine).waiting == 1)
    assert wires[1].read().status == 200
    wires[1].socket.close()
    assert server.engine.model("one").statistics.success_count == 1


def test_a_stream_keeps_its_order(server: Server, over_grpc: grpcclient.InferenceServerClient):
    """Requests of one model that is loaded, of one that is not, and of a sequence whose model is not."""
    over_grpc.infer("two", [row(grpcclient)])
    answers: queue.SimpleQueue[Any] = queue.SimpleQueue()
    over_grpc.start_stream(lambda result, error: answers.put(error or result))
    with held_up(server.engine, "one", "sums"):
        for number in range(1, 11):
            array = np.full((1, 1), number, np.int32)
            over_grpc.async_stream_infer(
                "sums",
                [row(grpcclient, "INPUT", array, "INT32")],
                request_id=f"sums {number}",
                sequence_id=3,
                sequence_start=number == 1,
                sequence_end=number == 10,
            )
            for name in ("one", "two"):
                over_grpc.async_stream_infer(name, [row(grpcclient)], request_id=f"{name} {number}")
        until(lambda: on_demand(server.engine).waiting == 20)
    total = 0
    for number in range(1, 11):
        total += number
        for name in ("sums", "one", "two"):
            answer = answers.get(timeout=60)
            assert isinstance(answer, grpcclient.InferResult), answer
            assert answer.get_response().id == f"{name} {number}"
            if name == "sums":
                assert answer.as_numpy("OUTPUT").ravel()[0] == total
    over_grpc.stop_stream()


def test_a_decoupled_model_is_known_as_such_once_it_is_loaded(
    tmp_path: Path, server: Server, over_grpc: grpcclient.InferenceServerClient
):
    write_python_model(tmp_path, "repeat", REPEAT, REPEAT_CONFIG)
    on_demand(server.engine)._look()
    answers: queue.SimpleQueue[Any] = queue.SimpleQueue()
    over_grpc.start_stream(lambda result, error: answers.put(error or result))
    over_grpc.async_stream_infer("repeat", [row(grpcclient, "IN", np.arange(3, dtype=np.int32), "INT32")])
    over_grpc.async_stream_infer("four", [row(grpcclient)])
    found = [answers.get(timeout=60) for _ in range(4)]
    values = [answer.as_numpy("OUT")[0] for answer in found if isinstance(answer, grpcclient.InferResult)]
    assert values == [0, 1, 2]
    assert sum("unknown model: 'four'" in str(answer) for answer in found) == 1
    over_grpc.stop_stream()


def test_generate_waits_for_the_model(server: Server):
    body = b'{"INPUT0": [1, 2, 3, 4]}'
    head = b"POST /v2/models/%s/generate HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"
    with held_up(server.engine, "one"):
        wires = [Wire(server.http_port) for _ in range(2)]
        for wire in wires:
            wire.send(head % (b"one", len(body)) + body)
        until(lambda: on_demand(server.engine).waiting == 2)
        wires[0].reset()
        until(lambda: on_demand(server.engine).waiting == 1)
    answer = wires[1].read()
    assert (answer.status, json.loads(answer.body)["OUTPUT0"]) == (200, [1, 2, 3, 4])
    wires[1].send(head % (b"four", len(body)) + body)
    assert wires[1].read().status == 404
    wires[1].socket.close()


def test_load_and_unload_requests(
    server: Server, over_http: httpclient.InferenceServerClient, over_grpc: grpcclient.InferenceServerClient
):
    over_http.load_model("one")
    assert loaded(server.engine) == {"one"}
    over_grpc.unload_model("one")
    assert not over_http.is_model_ready("one")
    with pytest.raises(InferenceServerException, match="'one' was unloaded by request"):
        over_http.infer("one", [row(httpclient)])
    with pytest.raises(InferenceServerException, match="'one' was unloaded by request"):
        over_grpc.get_model_metadata("one")
    over_grpc.load_model("one")
    assert over_http.infer("one", [row(httpclient)]) is not None


def test_a_broken_model_is_told_over_http_and_grpc(
    tmp_path: Path,
    over_http: httpclient.InferenceServerClient,
    over_grpc: grpcclient.InferenceServerClient,
):
    (tmp_path / "one" / "1" / "model.onnx").write_bytes(b"broken")
    with pytest.raises(InferenceServerException, match=r"model 'one' could not be loaded: .*no ONNX file"):
        over_http.infer("one", [row(httpclient)])
    with pytest.raises(InferenceServerException, match="the next attempt is possible in") as failure:
        over_grpc.infer("one", [row(grpcclient)])
    assert failure.value.status() == "StatusCode.UNAVAILABLE"
    assert not over_http.is_model_ready("one")
    assert over_http.is_server_ready()
    index = {entry["name"]: entry for entry in over_http.get_model_repository_index()}
    assert index["one"]["state"] == "UNAVAILABLE"
    assert "no ONNX file" in index["one"]["reason"]


def test_metrics_tell_of_loads_and_of_waiting(server: Server, over_http: httpclient.InferenceServerClient):
    over_http.infer("one", [row(httpclient)])
    with urllib.request.urlopen(f"http://127.0.0.1:{server.metrics_port}/metrics", timeout=60) as answer:
        lines = dict(line.rsplit(" ", 1) for line in answer.read().decode().splitlines() if line[0] != "#")
    assert float(lines['tcli_on_demand_load_count{model="one"}']) == 1
    assert float(lines['tcli_on_demand_wait_count{model="one"}']) == 1
    assert float(lines['tcli_on_demand_wait_duration_us{model="one"}']) > 0
    assert float(lines['tcli_on_demand_eviction_count{reason="memory"}']) == 0
    assert float(lines["tcli_on_demand_waiting_request_count"]) == 0
    assert 'tcli_model_memory_bytes{model="one"}' in lines


def test_a_version_that_is_not_served_holds_up_nobody(tmp_path: Path, loopback: ServeOptions):
    """Whoever loads the model also answers those that asked about it, so none of these may wait for it once more."""
    write_identities(tmp_path, "one")
    shutil.copytree(tmp_path / "one" / "1", tmp_path / "one" / "2")  # the latest one is served
    with Server(Engine(tmp_path, options=options()), loopback) as server:
        url = f"http://127.0.0.1:{server.http_port}/v2/models/one/versions/1"
        for path in ("", "/config", "/generate", "/generate_stream"):
            wanted = httpx.post if "generate" in path else httpx.get
            answer = wanted(url + path, **({"json": {"INPUT0": 1}} if "generate" in path else {}), timeout=30)
            assert (answer.status_code, "version 1 is not found" in answer.text) == (404, True)
            server.engine._control.evict("one")
        with grpcclient.InferenceServerClient(f"127.0.0.1:{server.grpc_port}") as client:
            for ask in (client.get_model_metadata, client.get_model_config):
                with pytest.raises(InferenceServerException, match="version 1 is not found"):
                    ask("one", "1", client_timeout=30)
                server.engine._control.evict("one")
        assert server.engine.infer("one", ROW).outputs["OUTPUT0"].tolist() == [[1] * 4]
