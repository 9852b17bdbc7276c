"""Decoupled models on ModelStreamInfer: responses as they come, beside the answers of others, as far as the client reads."""

import contextlib
import dataclasses
import threading
from collections.abc import Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc

from decoupled_models import DecoupledServer, decoupled_server, flood, response, send
from held_models import identity, number_of
from stream_requests import Requests
from tcli_server.errors import CancelledError, InternalError
from tcli_server.protocols.grpc import flows, stream
from tcli_server.request import InferenceResponse
from tcli_server.serving import ServeOptions
from waiting import until

AS_STATUS = [("triton_grpc_error", "true")]


@pytest.fixture
def served(tmp_path: Path, loopback: ServeOptions) -> Iterator[DecoupledServer]:
    with decoupled_server(tmp_path, loopback) as running:
        yield running


class Client:
    """One stream."""

    def __init__(self, url: str, metadata: list[tuple[str, str]]) -> None:
        self._channel = grpc.insecure_channel(url, [("grpc.use_local_subchannel_pool", 1)])
        self.stub = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)
        self.requests = Requests()
        self.answers = self.stub.ModelStreamInfer(iter(self.requests), timeout=120, metadata=metadata)

    def ask(self, name: str = "", tells_end: bool = False, model: str = "many") -> None:
        request = identity(model_name=model, id=name)
        if tells_end:
            request.parameters["triton_enable_empty_final_response"].bool_param = True
        self.requests.send(request)

    def next(self) -> pb.ModelInferResponse:
        answer = next(self.answers)
        assert not answer.error_message
        return answer.infer_response

    def close(self) -> None:
        self.requests.end()
        self._channel.close()


@contextlib.contextmanager
def streaming(served: DecoupledServer, metadata: list[tuple[str, str]] | None = None) -> Iterator[Client]:
    client = Client(served.grpc_url, metadata or [])
    try:
        yield client
    finally:
        client.close()


@pytest.fixture
def client(served: DecoupledServer) -> Iterator[Client]:
    with streaming(served) as opened:
        yield opened


def final(answer: pb.ModelInferResponse) -> bool:
    return answer.parameters["triton_final_response"].bool_param


def test_responses_come_when_the_model_gives_them(served: DecoupledServer, client: Client):
    client.ask("a")
    request = served.request()
    for number in (1.0, 2.0, 3.0):
        send_one(request, number, number == 3.0)
        answer = client.next()
        assert (answer.id, answer.model_name, answer.model_version) == ("a", "many", "1")
        assert (number_of(answer), final(answer)) == (number, number == 3.0)
    client.requests.end()
    assert list(client.answers) == []
    assert client.answers.code() == grpc.StatusCode.OK


def send_one(request, number: float, final: bool = False) -> None:
    assert request.send(dataclasses.replace(response(number), id=request.id), final=final)


@pytest.mark.parametrize("tells_end", [False, True])
def test_an_end_without_a_response_is_told_to_those_who_ask(served: DecoupledServer, client: Client, tells_end: bool):
    client.ask("a", tells_end)
    client.ask("b", tells_end)
    first, second = served.request(), served.request()
    send_one(first, 1.0)
    assert not final(client.next())
    first.finish()
    second.finish()
    if tells_end:
        for name in ("a", "b"):
            answer = client.next()
            assert (answer.id, answer.model_name, list(answer.outputs), final(answer)) == (name, "many", [], True)
    client.requests.end()
    assert list(client.answers) == []
    assert client.answers.code() == grpc.StatusCode.OK


def test_requests_are_answered_in_turns(served: DecoupledServer, client: Client):
    """One that has much to say does not hold up the others, whatever waits of it."""
    client.ask("much")
    much = served.request()
    for number in range(200):
        send_one(much, float(number))
    client.ask("little")
    little = served.request()
    send_one(little, 0.0, final=True)
    order = [client.next().id for _ in range(201)]
    assert order.count("much") == 200
    much.finish()


def test_turns_are_fair(served: DecoupledServer, client: Client):
    client.ask("a")
    client.ask("b")
    requests = {"a": served.request(), "b": served.request()}
    blocked, go_on = threading.Event(), threading.Event()
    loop = served.server._loop
    loop.call_soon_threadsafe(lambda: (blocked.set(), go_on.wait(60)))
    assert blocked.wait(60)
    for name in ("a", "b"):  # all of it waits before the first is written
        for number in range(10):
            send_one(requests[name], float(number))
    go_on.set()
    answers = [client.next() for _ in range(20)]
    assert [answer.id for answer in answers] == ["a", "b"] * 10
    assert [number_of(answer) for answer in answers] == [float(number) for number in range(10) for _ in range(2)]


def test_others_answers_do_not_wait_for_a_decoupled_model_nor_it_for_them(served: DecoupledServer, client: Client):
    client.ask("endless")
    request = served.request()
    send_one(request, 1.0)
    assert client.next().id == "endless"
    for name in ("x", "y", "z"):
        client.ask(name, model="free")
    assert [client.next().id for _ in range(3)] == ["x", "y", "z"]
    send_one(request, 2.0)
    assert client.next().id == "endless"
    assert not request.ended


def test_endless_requests_stop_neither_the_reading_nor_each_other(served: DecoupledServer, client: Client):
    """More of them than a stream may have of others under way."""
    requests = []
    for number in range(200):
        client.ask(str(number))
        requests.append(served.request())
    client.ask("normal", model="free")
    assert client.next().id == "normal"
    for number in (0, 100, 199):
        send_one(requests[number], 1.0)
        assert client.next().id == str(number)


def test_too_many_unfinished_requests_are_refused_and_the_stream_goes_on(
    served: DecoupledServer, client: Client, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(flows, "MOST_FLOWS", 3)
    for name in "abcd":
        client.ask(name)
    requests = [served.request() for _ in range(3)]
    refusal = next(client.answers)
    assert refusal.infer_response.id == "d"
    assert "3 requests of this stream to decoupled models are unfinished" in refusal.error_message
    send_one(requests[0], 1.0, final=True)
    assert final(client.next())
    client.ask("e")
    send_one(served.request(), 1.0, final=True)
    assert client.next().id == "e"


def test_a_model_s_error_is_in_band_with_its_id_and_model(served: DecoupledServer, client: Client):
    client.ask("a")
    request = served.request()
    send_one(request, 1.0)
    client.next()
    assert request.send(InferenceResponse("many", "1", "a", error=InternalError("a bad word")), final=False)
    request.fail(InternalError("broken"))
    for said, last in (("a bad word", False), ("broken", True)):
        answer = next(client.answers)
        assert answer.error_message == said
        assert (answer.infer_response.id, answer.infer_response.model_name) == ("a", "many")
        assert final(answer.infer_response) is last
    client.ask("b")
    send_one(served.request(), 2.0, final=True)
    assert client.next().id == "b"


def test_a_request_that_the_model_does_not_take_is_answered_with_its_id_alone(client: Client):
    request = identity(model_name="many", id="wrong")
    request.inputs[0].name = "other"
    client.requests.send(request)
    answer = next(client.answers)
    assert "unexpected inference input 'other'" in answer.error_message
    assert answer.infer_response == pb.ModelInferResponse(id="wrong")


def test_an_output_that_cannot_be_classified_costs_that_response_alone(served: DecoupledServer, client: Client):
    request = identity(model_name="many", id="a")
    request.outputs.add(name="OUTPUT0").parameters["classification"].int64_param = 1
    client.requests.send(request)
    asked = served.request()
    wrong = response(1.0)
    wrong.outputs["OUTPUT0"] = wrong.outputs["OUTPUT0"].astype(np.bool_)
    asked.send(wrong, final=False)
    assert "class result not available" in next(client.answers).error_message
    send_one(asked, 1.0, final=True)
    assert client.next().outputs[0].datatype == "BYTES"


def test_large_responses_are_complete(served: DecoupledServer, client: Client):
    client.ask("a")
    request = served.request()
    request.send(response(7.0, 1_000_000), final=True)
    answer = client.next()
    assert np.frombuffer(answer.raw_output_contents[0], np.float32).tolist() == [7.0] * 1_000_000


def test_an_error_as_status_ends_the_stream_and_cancels_the_rest(served: DecoupledServer):
    with streaming(served, AS_STATUS) as client:
        client.ask("a")
        client.ask("b")
        first, second = served.request(), served.request()
        send_one(second, 1.0)
        assert client.next().id == "b"
        first.fail(InternalError("broken"))
        with pytest.raises(grpc.RpcError) as refusal:
            next(client.answers)
        assert (refusal.value.code(), refusal.value.details()) == (grpc.StatusCode.INTERNAL, "broken")
        until(lambda: second.ended)


def test_unary_calls_are_refused_and_told_where_to_go(client: Client):
    with pytest.raises(grpc.RpcError) as refusal:
        client.stub.ModelInfer(identity(model_name="many"), timeout=60)
    assert refusal.value.code() == grpc.StatusCode.UNIMPLEMENTED
    assert "doesn't support models with decoupled transaction policy" in refusal.value.details()
    assert "ModelStreamInfer" in refusal.value.details()


def test_a_client_that_does_not_read_makes_the_model_wait(served: DecoupledServer, client: Client):
    count, length = 2000, 10_000
    client.ask("a")
    sent = flood(served.request(), count, length)  # 80 MB
    client.next()  # the client reads one ahead, and what its windows take
    for _ in range(200):
        client.stub.ModelInfer(identity(model_name="free"), timeout=60)
    assert len(sent) < 1000
    numbers = [number_of(client.next()) for _ in range(count - 1)]
    assert numbers == [float(number) for number in range(1, count)]


def test_a_client_that_never_reads_does_not_keep_the_model(
    served: DecoupledServer, client: Client, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(stream, "STALL_SECS", 0.2)
    monkeypatch.setattr(stream, "SLOWEST", 1 << 40)
    client.ask("a")
    client.ask("b")
    first, second = served.request(), served.request()
    flood(first, 10_000, 10_000)
    until(lambda: first.ended and second.ended)
    with streaming(served) as other:
        other.ask("c")
        send_one(served.request(), 1.0, final=True)
        assert other.next().id == "c"


def test_all_requests_of_a_stream_share_what_may_wait_for_its_client(served: DecoupledServer, client: Client):
    """Each may be one response ahead, not each a window full."""
    for name in range(50):
        client.ask(str(name))
    floods = [flood(served.request(), 1000, 10_000) for _ in range(50)]
    client.next()
    for _ in range(200):
        client.stub.ModelInfer(identity(model_name="free"), timeout=60)
    assert sum(map(len, floods)) < 2000  # of 50,000


def test_a_client_that_cancels_ends_all(served: DecoupledServer, client: Client):
    client.ask("a")
    client.ask("b")
    heard = []
    first, second = served.request(), served.request()
    first.reply, reply = (lambda made: (heard.append(made), reply(made))), first.reply
    sent = flood(first, 10_000, 10_000)
    send_one(second, 1.0)
    client.next()
    client.answers.cancel()
    until(lambda: first.ended and second.ended)
    until(lambda: any(isinstance(made.error, CancelledError) for made in heard))
    assert len(sent) < 10_000
    assert served.model.statistics.failure_count["CANCELED"] == 2
    with streaming(served) as other:
        other.ask("c")
        send_one(served.request(), 1.0, final=True)
        assert other.next().id == "c"


def test_a_client_that_has_no_more_to_ask_gets_all_responses(served: DecoupledServer, client: Client):
    client.ask("a")
    request = served.request()
    client.requests.end()
    for _ in range(20):
        client.stub.ServerLive(pb.ServerLiveRequest(), timeout=60)
    assert not request.ended
    send(request, 1.0, 2.0)
    assert [number_of(answer.infer_response) for answer in client.answers] == [1.0, 2.0]
    assert client.answers.code() == grpc.StatusCode.OK


def test_a_drained_server_finishes_what_it_began(served: DecoupledServer, client: Client):
    client.ask("a")
    request = served.request()
    stopping = threading.Thread(target=served.server.shutdown)
    stopping.start()
    until(lambda: served.server.engine.stopping)
    send(request, 1.0, 2.0)
    assert [number_of(client.next()) for _ in range(2)] == [1.0, 2.0]
    with pytest.raises(grpc.RpcError) as end:
        next(client.answers)
    assert end.value.code() == grpc.StatusCode.UNAVAILABLE
    stopping.join(60)
    assert not stopping.is_alive()


def test_what_does_not_end_is_cut_off_by_the_end_of_the_server(served: DecoupledServer, client: Client):
    client.ask("a")
    request = served.request()
    assert not served.server.shutdown(timeout=0.2)
    assert request.ended
    with pytest.raises(grpc.RpcError):
        next(client.answers)
