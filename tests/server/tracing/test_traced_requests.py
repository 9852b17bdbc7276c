"""What is written of requests, in files as NVIDIA's `trace_summary.py` reads them."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import httpx
import numpy as np
import pytest
import tritonclient.grpc

from tcli_server import Engine
from tcli_server.options import EngineOptions
from tcli_server.serving import ServeOptions, Server
from tcli_server.tracing.options import TraceLevel, TraceOptions, TraceSettings
from traced_models import read_traces, write_traced_models
from waiting import until

QUEUED = ["REQUEST_START", "QUEUE_START"]
COMPUTED = ["COMPUTE_START", "COMPUTE_INPUT_END", "COMPUTE_OUTPUT_START", "COMPUTE_END"]
END = ["REQUEST_END"]
HTTP_COME = ["HTTP_RECV_START", "HTTP_RECV_END"]
GRPC_COME = ["GRPC_WAITREAD_START", "GRPC_WAITREAD_END"]
DONE = "INFER_RESPONSE_COMPLETE"
HTTP_SENT = ["HTTP_SEND_START", "HTTP_SEND_END"]
GRPC_SENT = ["GRPC_SEND_START", "GRPC_SEND_END"]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("traces") / "trace.json"


@pytest.fixture(scope="module")
def server(file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    options = ServeOptions(
        http_address="127.0.0.1", grpc_address="127.0.0.1", http_port=0, grpc_port=0, allow_metrics=False
    )
    trace = TraceOptions(file=str(file), settings=TraceSettings(TraceLevel.TIMESTAMPS, rate=1))
    models = write_traced_models(tmp_path_factory.mktemp("traced"))
    with Server(Engine(models, options=EngineOptions(trace=trace)), options) as running:
        yield running


@pytest.fixture
def client(server: Server) -> Iterator[tritonclient.grpc.InferenceServerClient]:
    with tritonclient.grpc.InferenceServerClient(f"127.0.0.1:{server.grpc_port}") as client:
        yield client


@pytest.fixture
def with_tensors(server: Server) -> Iterator[None]:
    server.engine.change_trace("", {"level": TraceLevel.TENSORS}).result()
    yield
    server.engine.change_trace("", {"level": None}).result()


def written(file: Path, name: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The trace of the request with this id, and those of what followed from it, as soon as they are in the file."""
    found: dict[int, dict[str, Any]] = {}

    def there() -> bool:
        try:
            found.update(read_traces(file))
        except (OSError, json.JSONDecodeError):  # the first one is still to come, or is being written
            return False
        return any(trace.get("request_id") == name for trace in found.values())

    until(there)
    (number,) = (
        number for number, trace in found.items() if trace.get("request_id") == name and "parent_id" not in trace
    )
    return found[number], [trace for trace in found.values() if trace.get("parent_id") == number]


def names(trace: dict[str, Any]) -> list[str]:
    return [name for name, _ in trace["times"]]


def ask(server: Server, name: str, tensor: str, *values: float) -> None:
    body = {
        "id": name,
        "inputs": [{"name": tensor, "datatype": "FP32", "shape": [len(values)], "data": list(values)}],
    }
    answer = httpx.post(f"http://127.0.0.1:{server.http_port}/v2/models/{name}/infer", json=body)
    assert answer.status_code == 200, answer.text


def given(name: str, *values: int, dtype: str = "INT32") -> tritonclient.grpc.InferInput:
    numbers = np.array(values, {"INT32": np.int32, "FP32": np.float32}[dtype])
    return tritonclient.grpc.InferInput(name, [len(values)], dtype).set_data_from_numpy(numbers)


@pytest.mark.parametrize(
    ("name", "tensor", "children"), [("telling", "INPUT0", 0), ("pair", "IN", 2), ("asking", "INPUT0", 1)]
)
def test_requests_and_what_follows_from_them(server: Server, file: Path, name: str, tensor: str, children: int):
    ask(server, name, tensor, 1)
    trace, followed = written(file, name)
    own = [] if name == "pair" else COMPUTED
    assert names(trace) == [*QUEUED, *own, *END, *HTTP_COME, DONE, *HTTP_SENT]
    assert (trace["model_name"], trace["model_version"]) == (name, 1)
    times = [ns for _, ns in trace["times"]]
    assert times[:-5] == sorted(times[:-5])
    assert times[-5:] == sorted(times[-5:])
    assert len(followed) == children
    for child in followed:
        assert child["model_name"] == "telling"
        assert names(child) == [*QUEUED, *COMPUTED, *END]
        inner, outer = dict(child["times"]), dict(trace["times"])
        assert outer["REQUEST_START"] <= inner["REQUEST_START"]
        assert inner["COMPUTE_END"] <= outer["REQUEST_END"]


def test_a_request_that_is_refused(server: Server, file: Path):
    url = f"http://127.0.0.1:{server.http_port}/v2/models/telling"
    for path in ("infer", "generate", "generate_stream"):
        answer = httpx.post(
            f"{url}/{path}", json={"id": f"{path} refused", **({"inputs": []} if path == "infer" else {})}
        )
        assert answer.status_code == 400
        trace, _ = written(file, f"{path} refused")
        assert names(trace) == ["REQUEST_START", *END, *HTTP_COME, DONE, *HTTP_SENT]


def test_each_response_is_sent(server: Server, file: Path, client: tritonclient.grpc.InferenceServerClient):
    url = f"http://127.0.0.1:{server.http_port}/v2/models/repeat"
    assert httpx.post(f"{url}/generate", json={"id": "one", "IN": [7]}).json()["OUT"] == 7
    assert httpx.post(f"{url}/generate", json={"id": "too many", "IN": [7, 8]}).status_code == 500
    assert httpx.post(f"{url}/generate_stream", json={"id": "events", "IN": [7, 8]}).text.count("data:") == 2
    client.infer("telling", [given("INPUT0", 1, dtype="FP32")], request_id="alone")
    answers: SimpleQueue[Any] = SimpleQueue()
    client.start_stream(lambda **answer: answers.put(answer["error"]))
    client.async_stream_infer("repeat", [given("IN", 7, 8)], request_id="decoupled")
    client.async_stream_infer("telling", [given("INPUT0", 1, dtype="FP32")], request_id="streamed")
    client.async_stream_infer("telling", [], request_id="failed on its stream")
    assert sorted(answers.get(timeout=60) is None for _ in range(4)) == [False, True, True, True]
    client.stop_stream()
    for name, come, sent, responses in (
        ("one", HTTP_COME, HTTP_SENT, 1),
        ("too many", HTTP_COME, HTTP_SENT, 1),
        ("events", HTTP_COME, HTTP_SENT, 2),
        ("alone", GRPC_COME, GRPC_SENT, 1),
        ("decoupled", GRPC_COME, GRPC_SENT, 2),
        ("streamed", GRPC_COME, GRPC_SENT, 1),
        ("failed on its stream", GRPC_COME, GRPC_SENT, 1),
    ):
        trace, _ = written(file, name)
        assert trace["model_version"] == (-1 if name.startswith("failed") else 1)
        front = [stamp for stamp in names(trace) if stamp not in (*QUEUED, *COMPUTED, *END, DONE)]
        assert front == [*come, *sent * responses], name
        times = [ns for stamp, ns in trace["times"] if stamp in front]
        assert times == sorted(times)


def test_a_client_that_leaves_its_stream_ends_the_traces(
    server: Server, file: Path, client: tritonclient.grpc.InferenceServerClient
):
    answers: SimpleQueue[Any] = SimpleQueue()
    client.start_stream(lambda **answer: answers.put(answer["error"]))
    client.async_stream_infer("endless", [given("IN", 1)], request_id="left")
    answers.get(timeout=60)
    client.stop_stream(cancel_requests=True)
    body = b'{"id": "left, too", "IN": [1]}'
    with socket.create_connection(("127.0.0.1", server.http_port)) as connection:
        head = b"POST /v2/models/endless/generate_stream HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"
        connection.sendall(head % len(body) + body)
        assert connection.recv(1000)
    for name, sent in (("left", GRPC_SENT), ("left, too", HTTP_SENT)):
        trace, _ = written(file, name)
        assert sent[0] in names(trace)


@pytest.mark.usefixtures("with_tensors")
def test_tensors(server: Server, file: Path):
    body = {"id": "its tensors", "IN": [7, 8]}
    url = f"http://127.0.0.1:{server.http_port}/v2/models/repeat/generate_stream"
    assert httpx.post(url, json=body).status_code == 200
    trace, _ = written(file, "its tensors")
    assert trace["times"] == []
    assert trace["tensors"] == [
        ("TENSOR_QUEUE_INPUT", {"name": "IN", "data": "7,8", "shape": "2", "dtype": "INT32"}),
        ("TENSOR_BACKEND_OUTPUT", {"name": "OUT", "data": "7", "shape": "1", "dtype": "INT32"}),
        ("TENSOR_BACKEND_OUTPUT", {"name": "OUT", "data": "8", "shape": "1", "dtype": "INT32"}),
    ]
