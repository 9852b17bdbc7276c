"""Sequences as NVIDIA's client sends them, over HTTP, gRPC and streams."""

import queue
import threading
from collections.abc import Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.http
from tritonclient.grpc import service_pb2, service_pb2_grpc
from tritonclient.utils import InferenceServerException

from ensemble_models import ensemble, tensor, write_ensemble
from repositories import write_model
from sequence_models import sums, sums_config
from tcli_server import Engine
from tcli_server.serving import ServeOptions, Server
from waiting import until

KINDS = {"http": tritonclient.http, "grpc": tritonclient.grpc}
LOOPBACK = ServeOptions(http_address="127.0.0.1", grpc_address="127.0.0.1", http_port=0, grpc_port=0, metrics_port=0)
LONG = "max_sequence_idle_microseconds: 3600000000"


@pytest.fixture(scope="module")
def sequences(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    repository = tmp_path_factory.mktemp("sequences")
    write_model(repository, "sums", sums(), sums_config(LONG))
    steps = [("sums", {"INPUT": "IN"}, {"OUTPUT": "SUM"})]
    write_ensemble(repository, "pipe", ensemble([tensor("IN", "1", "INT32")], [tensor("SUM", "1", "INT32")], steps, 4))
    with Server(Engine(repository), LOOPBACK) as running:
        yield running


def url(server: Server, kind: str) -> str:
    return f"127.0.0.1:{getattr(server, f'{kind}_port')}"


def value(kind: str, number: int, width: int = 1) -> list[object]:
    given = KINDS[kind].InferInput("INPUT", [1, width], "INT32")
    given.set_data_from_numpy(np.full((1, width), number, np.int32))
    return [given]


@pytest.mark.parametrize("kind", KINDS)
def test_a_sequence_of_calls(sequences: Server, kind: str):
    with KINDS[kind].InferenceServerClient(url(sequences, kind)) as client:

        def step(number: int, **flags: bool) -> list[int]:
            result = client.infer("sums", value(kind, number), sequence_id=41, **flags)
            return [*result.as_numpy("OUTPUT").ravel(), *result.as_numpy("SEEN").ravel()]

        assert step(1, sequence_start=True) == [1, 1, 0, 1, 41]
        assert step(2) == [3, 0, 0, 1, 41]
        assert step(3, sequence_end=True) == [6, 0, 1, 1, 41]
        with pytest.raises(InferenceServerException, match="must specify the START flag"):
            step(1)
        with pytest.raises(InferenceServerException, match="non-zero or non-empty correlation ID"):
            client.infer("sums", value(kind, 1))


def test_sequences_on_one_stream_keep_their_order(sequences: Server):
    answers: queue.SimpleQueue = queue.SimpleQueue()
    with tritonclient.grpc.InferenceServerClient(url(sequences, "grpc")) as client:
        client.start_stream(lambda result, error: answers.put((result, error)))
        for step in range(20):
            for sequence in (1, 2, 3):
                client.async_stream_infer(
                    "sums", value("grpc", sequence), sequence_id=sequence, sequence_start=step == 0,
                    sequence_end=step == 19, request_id=str(sequence),
                )  # fmt: skip
        sums_by_id: dict[str, list[int]] = {"1": [], "2": [], "3": []}
        for _ in range(60):
            result, error = answers.get(timeout=60)
            assert error is None
            sums_by_id[result.get_response().id].append(int(result.as_numpy("OUTPUT")[0, 0]))
        client.stop_stream()
    assert sums_by_id == {str(number): [number * step for step in range(1, 21)] for number in (1, 2, 3)}


def test_a_stream_that_breaks_frees_the_slots_of_its_sequences(sequences: Server):
    engine = sequences.engine
    scheduler = engine.model("sums")._scheduler
    broken = threading.Event()

    def requests() -> Iterator[service_pb2.ModelInferRequest]:
        for sequence in range(61, 65):  # all four slots
            request = service_pb2.ModelInferRequest(model_name="sums", raw_input_contents=[np.int32(1).tobytes()])
            request.inputs.add(name="INPUT", datatype="INT32", shape=[1, 1])
            request.parameters["sequence_id"].int64_param = sequence
            request.parameters["sequence_start"].bool_param = True
            yield request
        broken.wait()  # the client never says that it has no more

    with grpc.insecure_channel(url(sequences, "grpc")) as channel:
        call = service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelStreamInfer(requests())
        for _ in range(4):
            assert next(call).error_message == ""
        assert len(scheduler._runs) == 4
        call.cancel()
        until(lambda: not scheduler._runs)
        broken.set()
    assert scheduler.idle
    inputs = {"INPUT": np.ones((1, 1), np.int32)}
    assert engine.infer("sums", inputs, sequence_id=70, sequence_start=True, sequence_end=True).outputs["OUTPUT"] == 1


def test_a_stream_that_ends_leaves_its_sequences_open(sequences: Server):
    answers: queue.SimpleQueue = queue.SimpleQueue()
    with tritonclient.grpc.InferenceServerClient(url(sequences, "grpc")) as client:
        client.start_stream(lambda result, error: answers.put((result, error)))
        client.async_stream_infer("sums", value("grpc", 5), sequence_id=81, sequence_start=True)
        assert answers.get(timeout=60)[1] is None
        client.stop_stream()
        result = client.infer("sums", value("grpc", 5), sequence_id=81, sequence_end=True)
        assert result.as_numpy("OUTPUT").tolist() == [[10]]


def test_large_and_small_requests_of_a_stream_reach_the_model_in_their_order(tmp_path: Path):
    """Typed contents are read in a thread, which takes longer than the small requests behind them need."""
    write_model(tmp_path, "sums", sums(), sums_config(LONG, dims="-1"))

    def requests() -> Iterator[service_pb2.ModelInferRequest]:
        for step in range(12):
            width = 20_000 if step % 3 == 0 else 1
            request = service_pb2.ModelInferRequest(model_name="sums")
            tensor = request.inputs.add(name="INPUT", datatype="INT32", shape=[1, width])
            tensor.contents.int_contents.extend([1] * width)
            request.parameters["sequence_id"].int64_param = 9
            request.parameters["sequence_start"].bool_param = step == 0
            yield request

    with Server(Engine(tmp_path), LOOPBACK) as running, grpc.insecure_channel(url(running, "grpc")) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        answers = list(stub.ModelStreamInfer(requests()))
    assert [answer.error_message for answer in answers] == [""] * 12
    totals = [int(np.frombuffer(answer.infer_response.raw_output_contents[0], np.int32)[0]) for answer in answers]
    assert totals == list(np.cumsum([20_000, 1, 1] * 4))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sequence", [2**62 + 5, 7])
def test_an_ensemble_answers_with_its_sequence(sequences: Server, kind: str, sequence: int):
    given = KINDS[kind].InferInput("IN", [1, 1], "INT32")
    given.set_data_from_numpy(np.ones((1, 1), np.int32))
    with KINDS[kind].InferenceServerClient(url(sequences, kind)) as client:
        result = client.infer("pipe", [given], sequence_id=sequence, sequence_start=True, sequence_end=True)
        response = result.get_response(as_json=True) if kind == "grpc" else result.get_response()
    assert result.as_numpy("SUM").tolist() == [[1]]
    values = {
        key: next(iter(value.values())) if isinstance(value, dict) else value
        for key, value in response["parameters"].items()
    }
    assert {key: int(value) for key, value in values.items()} == {
        "sequence_id": sequence,
        "sequence_start": 1,
        "sequence_end": 1,
    }


def test_a_wrong_request_of_a_stream_lets_nobody_overtake(tmp_path: Path):
    """It is answered before the one in front of it has been read; the one behind it still waits for both."""
    write_model(tmp_path, "sums", sums(), sums_config(LONG, dims="-1"))

    def requests() -> Iterator[service_pb2.ModelInferRequest]:
        for step in range(30):
            width = (20_000, 1, 1)[step % 3]
            request = service_pb2.ModelInferRequest(model_name="sums" if step % 3 != 1 else "nobody")
            tensor = request.inputs.add(name="INPUT", datatype="INT32", shape=[1, width])
            tensor.contents.int_contents.extend([1] * width)
            request.parameters["sequence_id"].int64_param = 9
            request.parameters["sequence_start"].bool_param = step == 0
            yield request

    with Server(Engine(tmp_path), LOOPBACK) as server, grpc.insecure_channel(url(server, "grpc")) as channel:
        answers = list(service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelStreamInfer(requests(), timeout=60))
    told = [answer.error_message for answer in answers]
    assert [bool(error) for error in told] == [step % 3 == 1 for step in range(30)], told
    right = [answer.infer_response for answer in answers if not answer.error_message]
    totals = [int.from_bytes(each.raw_output_contents[0], "little") for each in right]
    assert totals == [20_000 * (index // 2 + 1) + (index + 1) // 2 for index in range(20)]


def test_a_stream_that_breaks_leaves_a_sequence_alone_that_others_went_on_with(sequences: Server):
    answers: queue.SimpleQueue = queue.SimpleQueue()
    with tritonclient.grpc.InferenceServerClient(url(sequences, "grpc")) as client:
        client.start_stream(lambda result, error: answers.put((result, error)))
        for sequence in (71, 72):
            client.async_stream_infer("sums", value("grpc", 1), sequence_id=sequence, sequence_start=True)
            assert answers.get(timeout=60)[1] is None
        client.infer("sums", value("grpc", 1), sequence_id=71)
        client.stop_stream(cancel_requests=True)
        until(lambda: 72 not in sequences.engine.model("sums")._scheduler._runs)
        result = client.infer("sums", value("grpc", 5), sequence_id=71, sequence_end=True)
        assert result.as_numpy("OUTPUT").tolist() == [[7]]
