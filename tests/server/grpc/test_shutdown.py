"""How a gRPC server stops: what is under way is answered, what is new is refused, and nothing is waited for in vain."""

import asyncio
import queue
import threading
import time
from concurrent.futures import Future
from pathlib import Path

import grpc
import pytest
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc

from held_models import HeldServer, connected, held_server, identity, number_of
from tcli_server import Engine, EngineOptions
from tcli_server.protocols.grpc import infer
from tcli_server.protocols.grpc.admission import SHUTTING_DOWN
from tcli_server.serving import ServeOptions, Server
from waiting import until

HEALTH = "/grpc.health.v1.Health/Check"


def stop(held: HeldServer, grace: float) -> "Future[bool]":
    """Begin to stop the gRPC server alone, as `Server.shutdown` does."""
    server = held.server
    deadline = time.monotonic() + grace

    async def stop_within_grace() -> bool:
        answered = await server._grpc.drain(grace)
        sent = await server._grpc.close(max(0.0, deadline - time.monotonic()))
        return answered and sent

    return asyncio.run_coroutine_threadsafe(stop_within_grace(), server._loop)


def refusal_of(call, request) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as refusal:
        call(request, timeout=60)
    return refusal.value.code(), refusal.value.details()


class Talk:
    """A stream on which one thing is said after the other."""

    def __init__(self, held: HeldServer) -> None:
        self._said: queue.SimpleQueue[pb.ModelInferRequest | None] = queue.SimpleQueue()
        self._channel = grpc.insecure_channel(held.url, [("grpc.use_local_subchannel_pool", 1)])
        stub = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)
        self._answers = stub.ModelStreamInfer(iter(self._said.get, None), timeout=60)

    def say(self, request: pb.ModelInferRequest) -> None:
        self._said.put(request)

    def hear(self) -> pb.ModelInferResponse:
        return next(self._answers).infer_response

    def ask(self, request: pb.ModelInferRequest) -> pb.ModelInferResponse:
        self.say(request)
        return self.hear()

    def end(self) -> tuple[grpc.StatusCode, str]:
        """How the server ends it, without another answer."""
        answers, status = list_until_error(self._answers)
        assert not answers
        self._said.put(None)
        self._channel.close()
        return status, self._answers.details()


def of_sequence(flag: str) -> pb.ModelInferRequest:
    request = identity(2.0, model_name="free")
    request.parameters["sequence_id"].int64_param = 7
    request.parameters[flag].bool_param = True
    return request


def list_until_error(stream) -> tuple[list[bytes], grpc.StatusCode]:
    messages = []
    with pytest.raises(grpc.RpcError) as ended:
        messages.extend(stream)
    return messages, ended.value.code()


def test_while_the_server_drains_it_answers_what_it_has_and_says_that_it_goes(tmp_path: Path, loopback: ServeOptions):
    with held_server(tmp_path, loopback) as held, connected(held) as stub, grpc.insecure_channel(held.url) as channel:
        health = channel.unary_unary(HEALTH)
        assert health(b"", timeout=60) == b"\x08\x01"
        watched = channel.unary_stream(HEALTH.replace("Check", "Watch"))(b"", timeout=60)
        assert next(watched) == b"\x08\x01"
        answers = stub.ModelStreamInfer(iter([identity(1.0), identity(2.0)]), timeout=60)
        held.accepted(running=1, waiting=1)
        call = stub.ModelInfer.future(identity(3.0), timeout=60)
        held.accepted(running=1, waiting=2)
        stopped = stop(held, 60)
        until(lambda: health(b"", timeout=60) == b"\x08\x02")
        assert list_until_error(watched) == ([b"\x08\x02"], grpc.StatusCode.UNAVAILABLE)
        with connected(held) as newcomer:
            assert refusal_of(newcomer.ModelInfer, identity()) == (grpc.StatusCode.UNAVAILABLE, SHUTTING_DOWN)
            assert refusal_of(newcomer.ServerLive, pb.ServerLiveRequest())[0] == grpc.StatusCode.UNAVAILABLE
            assert refusal_of(newcomer.ServerReady, pb.ServerReadyRequest())[0] == grpc.StatusCode.UNAVAILABLE
            stream = newcomer.ModelStreamInfer(iter([identity()]), timeout=60)
            assert (stream.code(), stream.details()) == (grpc.StatusCode.UNAVAILABLE, SHUTTING_DOWN)
            assert newcomer.ModelReady(pb.ModelReadyRequest(name="free"), timeout=60).ready is False
        assert not stopped.done()
        held.allow(3)
        assert number_of(call.result()) == 3.0
        assert [number_of(answer.infer_response) for answer in (next(answers), next(answers))] == [1.0, 2.0]
        assert stopped.result(60) is True
        assert held.cancelled == 0
        assert refusal_of(stub.ServerLive, pb.ServerLiveRequest())[0] == grpc.StatusCode.UNAVAILABLE


def test_an_idle_stream_does_not_hold_the_server(tmp_path: Path, loopback: ServeOptions):
    with held_server(tmp_path, loopback) as held, connected(held) as stub:
        idle: Future[None] = Future()

        def requests():
            yield identity(1.0, model_name="free")
            idle.result()

        answers = stub.ModelStreamInfer(requests())
        assert number_of(next(answers).infer_response) == 1.0
        assert stop(held, 600).result(60) is True
        with pytest.raises(grpc.RpcError) as end:
            next(answers)
        assert (end.value.code(), end.value.details()) == (grpc.StatusCode.UNAVAILABLE, SHUTTING_DOWN)
        idle.set_result(None)


def test_a_server_that_leaves_ends_streams_once_they_have_nothing_to_do(
    tmp_path: Path, loopback: ServeOptions, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(infer, "IDLE_SECS", 0.02)
    with held_server(tmp_path, loopback) as held:
        idle, stateful, busy = Talk(held), Talk(held), Talk(held)
        assert number_of(idle.ask(identity(1.0, model_name="free"))) == 1.0
        assert number_of(stateful.ask(of_sequence("sequence_start"))) == 2.0
        busy.say(identity(3.0))
        held.accepted(running=1, waiting=0)
        leaving = asyncio.run_coroutine_threadsafe(held.server._grpc.leave(600), held.server._loop)
        gone = (grpc.StatusCode.UNAVAILABLE, SHUTTING_DOWN)
        assert idle.end() == gone
        assert number_of(stateful.ask(of_sequence("sequence_end"))) == 2.0
        assert stateful.end() == gone
        held.allow()
        assert number_of(busy.hear()) == 3.0
        assert busy.end() == gone
        assert leaving.result(60) is True


def test_an_idle_server_stops_at_once_even_without_grace(tmp_path: Path, loopback: ServeOptions):
    with held_server(tmp_path, loopback) as held, connected(held) as stub:
        assert stub.ServerLive(pb.ServerLiveRequest(), timeout=60).live
        assert stop(held, 0).result(60) is True


@pytest.mark.parametrize("grace", [0, 0.3])
def test_calls_that_hang_are_cut_off_when_the_grace_is_over(tmp_path: Path, loopback: ServeOptions, grace: float):
    with held_server(tmp_path, loopback) as held, connected(held) as stub:
        call = stub.ModelInfer.future(identity(), timeout=300)
        answers = stub.ModelStreamInfer(iter([identity()]), timeout=300)
        held.accepted(running=1, waiting=1)
        began = time.monotonic()
        assert stop(held, grace).result(60) is False
        assert time.monotonic() - began >= grace
        assert call.exception(60) is not None
        assert answers.code() != grpc.StatusCode.OK
        until(lambda: held.cancelled == 2)


def test_what_has_not_drained_in_time_is_cut_off_before_the_models_go(tmp_path: Path, loopback: ServeOptions):
    with held_server(tmp_path, loopback) as held, connected(held) as stub:
        call = stub.ModelInfer.future(identity(), timeout=300)
        held.accepted(running=1, waiting=0)
        server = held.server
        assert asyncio.run_coroutine_threadsafe(server._grpc.drain(0), server._loop).result(60) is False
        until(lambda: held.cancelled == 1)
        assert call.exception(60) is not None


def test_a_load_that_hangs_is_told_that_the_server_goes(tmp_path: Path, loopback: ServeOptions):
    server = Server(Engine(tmp_path, options=EngineOptions(model_control_mode="explicit")), loopback)
    server.start()
    begun, hanging = threading.Event(), Future[None]()
    server.engine.begin_load = lambda *_: begun.set() or hanging  # foreign code that never returns
    try:
        with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
            stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
            load = stub.RepositoryModelLoad.future(pb.RepositoryModelLoadRequest(model_name="m"), timeout=60)
            assert begun.wait(30)
            until(lambda: len(server._grpc._service._operations) == 1)
            assert asyncio.run_coroutine_threadsafe(server._grpc.drain(600), server._loop).result(60) is True
            assert (load.code(), load.details()) == (grpc.StatusCode.UNAVAILABLE, SHUTTING_DOWN)
            late = stub.RepositoryModelLoad.future(pb.RepositoryModelLoadRequest(model_name="m"), timeout=60)
            assert (late.code(), late.details()) == (grpc.StatusCode.UNAVAILABLE, SHUTTING_DOWN)
    finally:
        server.shutdown()
