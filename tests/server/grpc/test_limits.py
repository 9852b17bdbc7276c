"""Thousands of calls at once, and what is refused when it is too much: never silence, never a call that is lost."""

import asyncio
import dataclasses
import socket
import threading
from collections import Counter
from pathlib import Path

import grpc
import pytest
from onnx import TensorProto
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc

import onnx_models
from held_models import connected, held_server, identity, number_of
from repositories import write_model
from tcli_server import Engine, EngineOptions
from tcli_server.errors import UnavailableError
from tcli_server.protocols.grpc import GrpcOptions, infer
from tcli_server.protocols.grpc.admission import Admission
from tcli_server.protocols.grpc.wire import varint
from tcli_server.serving import ServeOptions, Server
from waiting import until

INFER = "/inference.GRPCInferenceService/ModelInfer"


def ask_all_at_once(url: str, count: int, channels: int = 1) -> Counter[str]:
    """What became of `count` calls: "right" or the status."""

    async def ask() -> Counter[str]:
        options = [("grpc.use_local_subchannel_pool", 1)]
        opened = [grpc.aio.insecure_channel(url, options) for _ in range(channels)]
        calls = [channel.unary_unary(INFER) for channel in opened]

        async def one(number: int) -> str:
            request = identity(number, model_name="free", id=str(number)).SerializeToString()
            try:
                answer = pb.ModelInferResponse.FromString(await calls[number % channels](request, timeout=120))
            except grpc.RpcError as error:
                return error.code().name
            return "right" if (answer.id, number_of(answer)) == (str(number), number) else "wrong"

        ends = Counter(await asyncio.gather(*map(one, range(count))))
        for channel in opened:
            await channel.close()
        return ends

    return asyncio.run(ask())


def test_four_thousand_calls_at_once_on_one_channel_are_all_answered(tmp_path: Path, loopback: ServeOptions):
    with held_server(tmp_path, loopback) as held:
        assert ask_all_at_once(held.url, 4_000) == {"right": 4_000}
        statistics = held.server.engine.model("free").statistics
        assert (statistics.success_count, statistics.fail_count) == (4_000, 0)


def test_limits_that_no_field_holds_are_none(tmp_path: Path, loopback: ServeOptions):
    many = 10**20
    options = dataclasses.replace(
        loopback.grpc,
        keepalive_time=many,
        keepalive_timeout=many,
        http2_max_ping_strikes=many,
        max_connection_age=many,
        max_connection_age_grace=many,
        max_connections=many,
        max_pending_calls=many,
    )
    with (
        Server(Engine(tmp_path), dataclasses.replace(loopback, grpc=options)) as server,
        grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel,
    ):
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        assert stub.ServerLive(pb.ServerLiveRequest(), timeout=60).live


def test_what_is_too_much_is_unavailable_and_never_run(tmp_path: Path, loopback: ServeOptions):
    with held_server(tmp_path, loopback, GrpcOptions(max_pending_calls=100)) as held:
        ends = ask_all_at_once(held.url, 3_000, channels=4)
        assert ends["right"] >= 100
        assert set(ends) <= {"right", "UNAVAILABLE"}
        assert held.server.engine.model("free").statistics.success_count == ends["right"]


def test_calls_above_the_limit_are_told_so_and_the_next_finds_room(tmp_path: Path, loopback: ServeOptions):
    with held_server(tmp_path, loopback, GrpcOptions(max_pending_calls=5)) as held, connected(held) as stub:
        waiting = [stub.ModelInfer.future(identity(number), timeout=60) for number in range(5)]
        held.accepted(running=1, waiting=4)
        with connected(held) as other:
            with pytest.raises(grpc.RpcError) as refusal:
                other.ModelInfer(identity(), timeout=60)
            assert refusal.value.code() == grpc.StatusCode.UNAVAILABLE
            assert refusal.value.details().startswith("5 calls are under way already")
            assert ("grpc-retry-pushback-ms", "1000") in refusal.value.trailing_metadata()
            (answer,) = other.ModelStreamInfer(iter([identity(id="mine")]), timeout=60)
            assert answer.error_message.startswith("5 calls are under way already")
            held.allow(6)
            assert [number_of(call.result()) for call in waiting] == [0, 1, 2, 3, 4]
            assert number_of(other.ModelInfer(identity(9.0), timeout=60)) == 9.0
            # Refused, failed, cancelled: each gave its place back.
            for _ in range(20):
                with pytest.raises(grpc.RpcError):
                    other.ModelInfer(identity(model_name="nope"), timeout=60)
            gone = [other.ModelInfer.future(identity()) for _ in range(5)]
            until(lambda: held.model.pending == 4)
            for call in gone:
                call.cancel()
            until(lambda: held.cancelled == 5)
            held.allow(2)
            assert number_of(other.ModelInfer(identity(8.0), timeout=60)) == 8.0


def strings(request_id: str) -> pb.ModelInferRequest:
    """A request of 100,000 bytes that a thread reads."""
    request = pb.ModelInferRequest(model_name="strings", id=request_id)
    tensor = request.inputs.add(name="INPUT0", datatype="BYTES", shape=[1, 10])
    tensor.contents.bytes_contents.extend([b"a" * 10_000] * 10)
    return request


def test_bytes_that_wait_to_be_read_are_bounded(
    tmp_path: Path, loopback: ServeOptions, monkeypatch: pytest.MonkeyPatch
):
    write_model(tmp_path, "strings", onnx_models.identity(TensorProto.STRING, ("N", "M")))
    decode, reading, go_on = infer.decode_request, threading.Event(), threading.Event()

    def slow(message, *rest):
        if message.id == "slow":
            reading.set()
            assert go_on.wait(60)
        return decode(message, *rest)

    monkeypatch.setattr(infer, "decode_request", slow)
    server = Server(Engine(tmp_path, options=EngineOptions(max_pending_bytes=150_000)), loopback)
    with server, grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        first = stub.ModelInfer.future(strings("slow"), timeout=60)
        assert reading.wait(60)
        with pytest.raises(grpc.RpcError) as refusal:
            stub.ModelInfer(strings("second"), timeout=60)
        assert refusal.value.code() == grpc.StatusCode.UNAVAILABLE
        assert "of 150000 (--max-pending-bytes)" in refusal.value.details()
        go_on.set()
        assert first.result().id == "slow"
        assert stub.ModelInfer(strings("third"), timeout=60).id == "third"


def test_what_is_under_way_may_take_a_part_of_a_second():
    async def check() -> None:
        admission = Admission(most_calls=2, most_bytes=10)
        assert await admission.drained(0)
        admission.admit()
        admission.admit()
        assert not await admission.drained(0)
        assert not await admission.drained(0.01)
        loop = asyncio.get_running_loop()
        loop.call_later(0.1, admission.leave)
        loop.call_later(0.2, admission.leave)
        assert await admission.drained(0.9)
        admission.admit()
        assert not await admission.drained(0.01)

    asyncio.run(check())


def test_a_message_larger_than_the_bound_is_read_when_it_is_the_only_one():
    admission = Admission(most_calls=1, most_bytes=10)
    with admission.holding(100), pytest.raises(UnavailableError), admission.holding(1):
        pass
    with admission.holding(10), pytest.raises(UnavailableError), admission.holding(1):
        pass
    with admission.holding(9), admission.holding(1):
        pass


def test_connections_above_the_limit_are_closed(tmp_path: Path, loopback: ServeOptions):
    with held_server(tmp_path, loopback, GrpcOptions(max_connections=2)) as held:
        address = ("127.0.0.1", held.server.grpc_port)
        with socket.create_connection(address) as one, socket.create_connection(address) as other:
            assert one.recv(1)
            assert other.recv(1)  # the server speaks first
            with socket.create_connection(address) as third:
                third.settimeout(60)
                assert third.recv(1) == b""


@pytest.mark.parametrize("size", [17_000, 1_000_000])
def test_headers_above_the_limit_are_refused(stub, grpc_engine: str, size: int):
    with pytest.raises(grpc.RpcError) as refusal:
        stub.ServerLive(pb.ServerLiveRequest(), timeout=60, metadata=[("x", "y" * size)])
    is_readable = size < 1 << 16 or grpc_engine == "aio"  # libnghttp2 takes no longer value, and closes the connection
    assert refusal.value.code().name == ("RESOURCE_EXHAUSTED" if is_readable else "UNAVAILABLE")
    assert stub.ServerLive(pb.ServerLiveRequest(), timeout=60, metadata=[("x", "y" * 8_000)]).live


@pytest.mark.parametrize("method", [
    "ServerLive", "ModelReady", "ModelMetadata", "ModelConfig", "ModelStatistics", "RepositoryIndex",
    "RepositoryModelLoad", "RepositoryModelUnload", "TraceSetting",
])  # fmt: skip
def test_requests_that_nobody_needs_so_large_are_not_read(channel: grpc.Channel, method: str):
    call = channel.unary_unary(f"/inference.GRPCInferenceService/{method}")
    field = b"\x7a" + bytes([0x80, 0x80, 0x80, 0x01]) + bytes(1 << 21)  # an unknown one, of 2 MiB
    with pytest.raises(grpc.RpcError) as refusal:
        call(field, timeout=60)
    assert refusal.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert "expected at most 1048576" in refusal.value.details()
    with pytest.raises(grpc.RpcError) as refusal:
        call(b"\xff" * 20_000, timeout=60)
    assert refusal.value.code() == grpc.StatusCode.INTERNAL
    assert "Unable to parse request" in refusal.value.details()


def many(kind: str) -> bytes:
    """A request of 70,000 somethings."""
    request = identity(model_name="identity_fp32", id="mine")
    match kind:
        case "inputs":
            for number in range(70_000):
                request.inputs.add(name=str(number))
        case "parameters":
            for number in range(70_000):
                request.parameters[str(number)].int64_param = number
        case "parameters of an input":
            for number in range(70_000):
                request.inputs[0].parameters[str(number)].int64_param = number
        case "unknown fields":
            return request.SerializeToString() + b"\x78\x01" * 70_000
    return request.SerializeToString()


@pytest.mark.parametrize("kind", ["inputs", "parameters", "parameters of an input", "unknown fields"])
def test_requests_of_more_parts_than_anybody_needs_are_refused_before_they_are_parsed(channel: grpc.Channel, kind: str):
    with pytest.raises(grpc.RpcError) as refusal:
        channel.unary_unary(INFER)(many(kind), timeout=60)
    assert refusal.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert refusal.value.details() == ("the request has more than 65536 inputs, outputs, parameters and fields of them")


def test_more_typed_contents_than_may_be_parsed_at_once_are_refused(channel: grpc.Channel):
    """Raw tensors may be as large as a message may; typed ones are read by one call that nothing interrupts."""
    contents = pb.InferTensorContents(fp32_contents=[0.0] * 1000).SerializeToString()
    request = identity(model_name="identity_fp32")
    del request.raw_input_contents[:]
    tensor = request.inputs[0]
    tensor.shape[:] = [1, (64 << 20) // 4]
    size = 64 << 20
    packed = contents[:1] + varint(size) + bytes(size)  # the field's tag, and 16 Mi zeros
    field = b"\x2a" + varint(len(packed)) + packed  # ModelInferRequest.InferInputTensor.contents
    whole = tensor.SerializeToString() + field
    del request.inputs[:]
    data = request.SerializeToString() + b"\x2a" + varint(len(whole)) + whole  # ModelInferRequest.inputs
    with pytest.raises(grpc.RpcError) as refusal:
        channel.unary_unary(INFER)(data, timeout=60)
    assert refusal.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert f"has {len(data)} bytes beside its raw_input_contents, expected at most {size}" in refusal.value.details()
