"""ModelStreamInfer: how much of a stream is under way, in what order it is answered, and how it ends."""

import gc
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from tritonclient.grpc import service_pb2 as pb

from held_models import HeldServer, connected, held_server, identity, number_of
from stream_requests import Requests
from tcli_server.protocols.grpc import infer
from tcli_server.protocols.grpc.stream import Place
from tcli_server.serving import ServeOptions
from waiting import until

IN_FLIGHT = 64
AS_STATUS = [("triton_grpc_error", "true")]


@pytest.fixture
def held(tmp_path: Path, loopback: ServeOptions) -> Iterator[HeldServer]:
    with held_server(tmp_path, loopback) as running:
        yield running


def turns(stub, count: int = 50) -> None:
    """Have the server's loop do other things so many times, during which it could read more of a stream."""
    for _ in range(count):
        stub.ModelInfer(identity(model_name="free"), timeout=60)


def test_a_stream_has_64_requests_under_way_and_reads_the_next_when_one_is_answered(held: HeldServer):
    with connected(held) as stub:
        answers = stub.ModelStreamInfer(iter([identity(float(number)) for number in range(100)]), timeout=120)
        held.accepted(running=1, waiting=IN_FLIGHT - 1)
        turns(stub)
        held.accepted(running=1, waiting=IN_FLIGHT - 1)
        held.allow(10)
        held.accepted(running=11, waiting=IN_FLIGHT - 1)
        turns(stub)
        held.accepted(running=11, waiting=IN_FLIGHT - 1)
        held.allow(90)
        assert [number_of(answer.infer_response) for answer in answers] == list(range(100))
    assert answers.code() == grpc.StatusCode.OK


def test_answers_that_nobody_reads_stop_the_stream_from_reading(held: HeldServer):
    large = pb.ModelInferRequest(model_name="free", raw_input_contents=[bytes(4_000_000)])
    large.inputs.add(name="INPUT0", datatype="FP32", shape=[1, 1_000_000])
    statistics = held.server.engine.model("free").statistics
    with connected(held) as stub:
        requests = Requests()
        answers = stub.ModelStreamInfer(iter(requests), timeout=120)
        requests.send(large)
        next(answers)
        requests.send(*[large] * (2 * IN_FLIGHT))
        requests.end()
        # The client takes one answer beyond what it is asked for; those that it has no room for wait in the server.
        until(lambda: statistics.success_count >= IN_FLIGHT)
        for _ in range(50):
            stub.ServerLive(pb.ServerLiveRequest(), timeout=60)
        assert statistics.success_count <= IN_FLIGHT + 10
        assert sum(1 for _ in answers) == 2 * IN_FLIGHT
    assert statistics.success_count == 2 * IN_FLIGHT + 1


def test_a_client_that_has_no_more_still_gets_all_answers_then_ok(held: HeldServer):
    with connected(held) as stub:
        requests = Requests()
        answers = stub.ModelStreamInfer(iter(requests), timeout=60)
        requests.send(*[identity(float(number)) for number in range(5)])
        requests.end()
        held.accepted(running=1, waiting=4)
        turns(stub)  # the end of the client's side has long arrived
        assert held.cancelled == 0
        held.allow(5)
        assert [number_of(answer.infer_response) for answer in answers] == [0.0, 1.0, 2.0, 3.0, 4.0]
        assert answers.code() == grpc.StatusCode.OK


def test_an_empty_stream_ends_well(held: HeldServer):
    with connected(held) as stub:
        answers = stub.ModelStreamInfer(iter([]), timeout=60)
        assert list(answers) == []
        assert answers.code() == grpc.StatusCode.OK


def test_an_error_as_status_ends_the_stream_and_cancels_the_rest(held: HeldServer):
    with connected(held) as stub:
        requests = Requests()
        answers = stub.ModelStreamInfer(iter(requests), timeout=60, metadata=AS_STATUS)
        requests.send(identity(1.0), identity(model_name="nope"), *[identity(2.0)] * 5)
        held.accepted(running=1, waiting=5)
        held.allow()
        assert number_of(next(answers).infer_response) == 1.0
        with pytest.raises(grpc.RpcError) as refusal:
            next(answers)
        assert refusal.value.code() == grpc.StatusCode.NOT_FOUND
        assert refusal.value.details() == "Request for unknown model: 'nope' is not found"
        until(lambda: held.cancelled == 5)
        requests.end()
    assert held.runs in ([1.0], [1.0, 2.0])
    assert held.statistics.success_count == 1


@pytest.mark.parametrize("value", ["false", "TRUE", ""])
def test_only_true_asks_for_errors_as_status(held: HeldServer, value: str):
    with connected(held) as stub:
        stream = iter([identity(model_name="nope", id="a"), identity(model_name="free")])
        answers = list(stub.ModelStreamInfer(stream, timeout=60, metadata=[("triton_grpc_error", value)]))
    assert [bool(answer.error_message) for answer in answers] == [True, False]


def wrong(kind: str) -> pb.ModelInferRequest:
    request = identity(model_name="free", id=kind)
    match kind:
        case "65 dimensions":
            request.inputs[0].shape[:] = [1] * 64 + [4]
        case "2^62 elements":
            request.inputs[0].shape[:] = [0, 2**62]
            request.raw_input_contents[0] = b""
        case "4 * 2^62 elements":
            request.inputs[0].shape[:] = [4, 2**62]
        case "negative":
            request.inputs[0].shape[:] = [-1, -4]
        case "too many bytes":
            request.raw_input_contents[0] += b"more"
        case "large":
            request.raw_input_contents[0] = bytes(100_000)
        case "many fields":
            request.raw_input_contents.extend([b""] * 20_000)
            request.inputs[0].shape[:] = [2, 4]
    return request


@pytest.mark.parametrize(
    "kind",
    ["65 dimensions", "2^62 elements", "4 * 2^62 elements", "negative", "too many bytes", "large", "many fields"],
)
def test_a_wrong_request_is_answered_with_its_id_and_the_stream_lives(held: HeldServer, kind: str):
    with connected(held) as stub:
        requests = iter([wrong(kind), identity(5.0, model_name="free", id="next")])
        first, second = stub.ModelStreamInfer(requests, timeout=60)
    assert first.error_message
    assert first.infer_response == pb.ModelInferResponse(id=kind)
    assert (second.error_message, second.infer_response.id, number_of(second.infer_response)) == ("", "next", 5.0)


def test_bytes_that_are_no_request_are_answered_in_band(held: HeldServer):
    with grpc.insecure_channel(held.url) as channel:
        call = channel.stream_stream("/inference.GRPCInferenceService/ModelStreamInfer")
        good = identity(3.0, model_name="free").SerializeToString()
        first, second, third = map(
            pb.ModelStreamInferResponse.FromString, call(iter([b"\xff" * 3, b"\xff" * 100_000, good]), timeout=60)
        )
    assert "Unable to parse request" in first.error_message
    assert "Unable to parse request" in second.error_message
    assert number_of(third.infer_response) == 3.0


@pytest.mark.parametrize("as_status", [False, True])
def test_a_defect_is_logged_once_and_costs_one_request(
    held: HeldServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, as_status: bool
):
    decode = infer.decode_request

    def broken(message, *rest):
        if message.id == "broken":
            raise KeyError("a mistake of ours \ud800")
        return decode(message, *rest)

    monkeypatch.setattr(infer, "decode_request", broken)
    with connected(held) as stub:
        requests = iter([identity(model_name="free", id="broken"), identity(4.0, model_name="free")])
        answers = stub.ModelStreamInfer(requests, timeout=60, metadata=AS_STATUS if as_status else ())
        if as_status:
            with pytest.raises(grpc.RpcError) as refusal:
                list(answers)
            assert refusal.value.code() == grpc.StatusCode.INTERNAL
            assert "KeyError" in refusal.value.details()
        else:
            first, second = answers
            assert "KeyError" in first.error_message
            assert first.infer_response.id == "broken"
            assert number_of(second.infer_response) == 4.0
        with pytest.raises(grpc.RpcError) as refusal:
            stub.ModelInfer(identity(model_name="free", id="broken"), timeout=60)
        assert refusal.value.code() == grpc.StatusCode.INTERNAL
    assert [record.message for record in caplog.records] == ["ModelStreamInfer failed", "ModelInfer failed"]
    assert all(record.exc_info and record.exc_info[0] is KeyError for record in caplog.records)


def test_requests_that_fail_at_once_are_not_kept_by_those_behind_them():
    last = Place(None)
    for _ in range(100):
        last.leave()
        last = Place(last)
    last.leave()
    assert sum(isinstance(each, Place) for each in gc.get_objects()) < 10
