"""Decoupled Python models over gRPC streams, generate, generate_stream and in Python: the real thing from end to end."""

import asyncio
import contextlib
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import httpx
import numpy as np
import psutil
import pytest
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc

import onnx_models
from decoupled_python_models import write_decoupled_models
from held_models import identity
from repositories import write_model
from serve_command import Serving, serving
from stream_requests import Requests
from tcli_server import Engine
from tcli_server.errors import ServerError, UnsupportedError
from waiting import until

SECONDS = 60


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_decoupled_models(folder)
    write_model(folder, "free", onnx_models.identity(shape=("N", "M")))
    return folder


@pytest.fixture(scope="module")
def served(repository: Path) -> Iterator[Serving]:
    with serving("--model-repository", repository) as process:
        yield process


@pytest.fixture
def stub(served: Serving) -> Iterator[service_pb2_grpc.GRPCInferenceServiceStub]:
    with grpc.insecure_channel(served.url("gRPC"), [("grpc.use_local_subchannel_pool", 1)]) as channel:
        yield service_pb2_grpc.GRPCInferenceServiceStub(channel)


@pytest.fixture
def http(served: Serving) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"http://{served.url('HTTP')}/v2/models", timeout=SECONDS) as client:
        yield client


def ask(model: str, name: str, *values: int, tells_end: bool = False) -> pb.ModelInferRequest:
    request = pb.ModelInferRequest(model_name=model, id=name)
    request.inputs.add(name="IN", datatype="INT32", shape=[len(values)])
    request.raw_input_contents.append(np.array(values, np.int32).tobytes())
    if tells_end:
        request.parameters["triton_enable_empty_final_response"].bool_param = True
    return request


def out(answer: pb.ModelStreamInferResponse) -> int:
    assert not answer.error_message
    return int(np.frombuffer(answer.infer_response.raw_output_contents[0], np.int32)[0])


# --- gRPC ---


def test_zero_to_many_responses_on_a_stream(stub):
    asked = {"a": (1, 2, 3), "b": (), "c": tuple(range(500)), "d": (7,)}
    requests = [ask("repeat", name, *values, tells_end=True) for name, values in asked.items()]
    got: dict[str, list[int]] = {name: [] for name in asked}
    ended: list[str] = []
    for answer in stub.ModelStreamInfer(iter(requests), timeout=SECONDS):
        name = answer.infer_response.id
        assert name not in ended
        if answer.infer_response.parameters["triton_final_response"].bool_param:
            assert not answer.infer_response.outputs
            ended.append(name)
        else:
            got[name].append(out(answer))
    assert got == {name: list(values) for name, values in asked.items()}
    assert sorted(ended) == sorted(asked)


def test_a_model_that_never_ends_sees_the_stream_s_cancellation(stub, repository: Path):
    requests = Requests()
    answers = stub.ModelStreamInfer(iter(requests), timeout=SECONDS)
    requests.send(ask("endless", "grpc1", 1), ask("endless", "grpc2", 1), identity(model_name="free", id="normal"))
    seen = {next(answers).infer_response.id for _ in range(200)}
    assert seen == {"grpc1", "grpc2", "normal"}
    answers.cancel()
    until(lambda: all((repository / "endless" / "1" / f"cancelled_{name}").exists() for name in ("grpc1", "grpc2")))
    requests.end()


def resident(served: Serving) -> int:
    """Bytes of the server and of its models' processes."""
    server = psutil.Process(served.process.pid)
    return sum(process.memory_info().rss for process in (server, *server.children(recursive=True)))


@pytest.mark.skipif(sys.platform != "linux", reason="measures memory as Linux tells it")
def test_a_client_that_stops_reading_costs_no_memory_and_delays_nobody(served: Serving, stub):
    """A real client; 4 GB would come if it read."""
    with grpc.insecure_channel(served.url("gRPC"), [("grpc.use_local_subchannel_pool", 1)]) as channel:
        warm = list(stub.ModelStreamInfer(iter([ask("flood", "warm", 50, 250_000)]), timeout=SECONDS))
        assert len(warm) == 50
        before = resident(served)
        requests = Requests()
        answers = service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelStreamInfer(iter(requests), timeout=600)
        requests.send(*[ask("flood", str(number), 1000, 250_000) for number in range(4)])
        assert out(next(answers)) == 0
        times = []
        for _ in range(300):  # others are served meanwhile
            begun = time.perf_counter()
            stub.ModelInfer(identity(model_name="free"), timeout=SECONDS)
            times.append(time.perf_counter() - begun)
        assert resident(served) - before < 100 << 20
        assert sorted(times)[150] < 1
        numbers = [(answer.infer_response.id, out(answer)) for answer in (next(answers) for _ in range(40))]
        for name in "0123":  # and it goes on where it was
            of_this = [number for each, number in numbers if each == name]
            assert of_this == sorted(of_this)
        answers.cancel()
        requests.end()


# --- HTTP ---


def events(response: httpx.Response) -> Iterator[dict]:
    for line in response.iter_lines():
        if line:
            assert line.startswith("data: ")
            yield json.loads(line[6:])


def test_words_as_events(http: httpx.Client):
    body = {"PROMPT": "to be or not", "id": "7", "parameters": {"most": 3, "fails": True}}
    with http.stream("POST", "/speak/generate_stream", json=body) as response:
        assert (response.status_code, response.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
        first, second, third, error = events(response)
    assert [event["TEXT"] for event in (first, second, third)] == ["to", "be", "or"]
    assert first == {"TEXT": "to", "id": "7", "model_name": "speak", "model_version": "1"}
    assert "a bad word" in error["error"]


@pytest.mark.parametrize(("prompt", "status"), [("word", 200), ("two words", 500), ("", 500)])
def test_generate_takes_one_word(http: httpx.Client, prompt: str, status: int):
    answer = http.post("/speak/generate", json={"PROMPT": prompt})
    assert answer.status_code == status
    assert ("TEXT" in answer.json()) is (status == 200)
    if status != 200:
        assert "exactly 1 response" in answer.json()["error"]


def test_generate_does_not_wait_for_a_model_that_never_ends(http: httpx.Client, repository: Path):
    answer = http.post("/endless/generate", json={"IN": [1], "id": "http1"})
    assert answer.status_code == 500
    until(lambda: (repository / "endless" / "1" / "cancelled_http1").exists())


def test_a_model_that_never_ends_sees_that_its_client_has_left(http: httpx.Client, repository: Path):
    with http.stream("POST", "/endless/generate_stream", json={"IN": [1], "id": "http2"}) as response:
        assert [event["OUT"] for event, _ in zip(events(response), range(5), strict=False)] == [1] * 5
    until(lambda: (repository / "endless" / "1" / "cancelled_http2").exists())


@pytest.mark.skipif(sys.platform != "linux", reason="measures memory as Linux tells it")
def test_an_http_client_that_stops_reading_costs_no_memory(served: Serving, http: httpx.Client):
    with http.stream("POST", "/flood/generate_stream", json={"IN": [50, 250_000]}) as response:
        assert len(list(events(response))) == 50
    before = resident(served)
    with http.stream("POST", "/flood/generate_stream", json={"IN": [1000, 250_000]}) as response:
        lines = events(response)
        assert next(lines)["OUT"][:2] == [0, 0]
        for _ in range(300):
            assert http.get(f"http://{served.url('HTTP')}/v2/health/live").status_code == 200
        assert resident(served) - before < 100 << 20
        assert [event["OUT"][0] for event, _ in zip(lines, range(10), strict=False)] == list(range(1, 11))


# --- Python ---


@pytest.fixture(scope="module")
def engine(repository: Path) -> Iterator[Engine]:
    with Engine(repository) as running:
        yield running


def test_responses_in_python(engine: Engine):
    values = np.array([3, 1, 2], np.int32)
    responses = engine.infer_stream("repeat", {"IN": values}, request_id="7")
    assert [(response.id, int(response.outputs["OUT"][0])) for response in responses] == [("7", 3), ("7", 1), ("7", 2)]
    assert list(engine.infer_stream("repeat", {"IN": values[:0]})) == []
    floats = np.ones((1, 4), np.float32)
    assert [response.model_name for response in engine.infer_stream("free", {"INPUT0": floats})] == ["free"]
    with pytest.raises(UnsupportedError, match="infer_stream"):
        engine.infer("repeat", {"IN": values})
    words = engine.infer_stream("speak", {"PROMPT": np.array([b"a b"], np.object_)}, parameters={"fails": True})
    assert [next(words).outputs["TEXT"][0] for _ in range(2)] == [b"a", b"b"]
    with pytest.raises(ServerError, match="a bad word"):
        next(words)
    with pytest.raises(ServerError, match="unexpected inference input"):
        list(engine.infer_stream("repeat", {"OTHER": values}))


def test_leaving_early_in_python_stops_the_model(engine: Engine, repository: Path):
    async def leave() -> None:
        one = engine.infer_stream_async("endless", {"IN": np.ones(1, np.int32)}, request_id="async")
        async with contextlib.aclosing(one) as responses:
            async for _ in responses:
                break

    for _ in engine.infer_stream("endless", {"IN": np.ones(1, np.int32)}, request_id="sync"):
        break
    asyncio.run(leave())
    folder = repository / "endless" / "1"
    until(lambda: all((folder / f"cancelled_{name}").exists() for name in ("sync", "async")))
    until(lambda: engine.model("endless").idle)
    stats = engine.statistics("endless").model_stats[0].inference_stats
    assert (stats.success.count, stats.fail.count) == (0, 2)
