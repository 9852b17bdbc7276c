"""What one client sends over gRPC can cost only that client, and is answered with a status that it can read."""

from collections.abc import Callable
from pathlib import Path

import grpc
import pytest
from tritonclient.grpc import service_pb2 as pb

from h2_wire import Wire, head
from held_models import connected, held_server, identity, number_of
from loop_stall import longest_stall
from tcli_server.protocols.grpc import aio_impl
from tcli_server.serving import ServeOptions, Server
from waiting import until

INVALID = grpc.StatusCode.INVALID_ARGUMENT
LONGEST_STALL = 1.5
"""Seconds; what is right takes some hundredths on a quiet machine."""


def one_input(
    model: str, datatype: str, shape: list[int], raw: bytes | None = None, **fields: str
) -> pb.ModelInferRequest:
    request = pb.ModelInferRequest(model_name=model, **fields)
    request.inputs.add(name="INPUT0", datatype=datatype, shape=shape)
    if raw is not None:
        request.raw_input_contents.append(raw)
    return request


def refused(stub, request: pb.ModelInferRequest) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as refusal:
        stub.ModelInfer(request, timeout=120)
    return refusal.value.code(), refusal.value.details()


def code_of(channel: grpc.Channel, method: str, data: bytes) -> grpc.StatusCode:
    try:
        channel.unary_unary(f"/inference.GRPCInferenceService/{method}")(data, timeout=120)
    except grpc.RpcError as error:
        return error.code()
    return grpc.StatusCode.OK


IMPOSSIBLE = [
    [1] * 65,
    [1] * 1000,
    [2**62] * 100_000,
    [0, 2**62],
    [2**40, 0, 2**40],
    [2**62, 4],
    [2**62],
    [2**63 - 1],
    [-1],
    [],
]


@pytest.mark.parametrize("shape", IMPOSSIBLE, ids=lambda shape: f"{len(shape)} dims, {shape[:2]}")
@pytest.mark.parametrize("datatype", ["FP32", "BYTES"])
@pytest.mark.parametrize("raw", [True, False])
def test_shapes_that_no_tensor_has(stub, shape: list[int], datatype: str, raw: bool):
    request = one_input(f"identity_{datatype.lower()}", datatype, shape, bytes(4) if raw else None)
    if not raw:
        contents = request.inputs[0].contents
        contents.bytes_contents.append(b"") if datatype == "BYTES" else contents.fp32_contents.append(0)
    assert refused(stub, request)[0] == INVALID


@pytest.mark.parametrize("as_status", [False, True])
def test_such_shapes_do_not_end_a_stream_that_wants_its_errors_in_band(stub, as_status: bool):
    good = one_input("identity_fp32", "FP32", [1, 1], bytes(4), id="good")
    bad = [one_input("identity_fp32", "FP32", shape, bytes(4), id="bad") for shape in IMPOSSIBLE]
    metadata = [("triton_grpc_error", "true")] if as_status else []
    answers = stub.ModelStreamInfer(iter([good, *bad, good]), timeout=120, metadata=metadata)
    assert next(answers).infer_response.id == "good"
    if as_status:
        with pytest.raises(grpc.RpcError) as refusal:
            next(answers)
        assert refusal.value.code() == INVALID
        return
    rest = list(answers)
    assert [answer.infer_response.id for answer in rest] == ["bad"] * len(bad) + ["good"]
    assert [bool(answer.error_message) for answer in rest] == [True] * len(bad) + [False]


def test_an_empty_shape_is_the_model_s_to_judge(stub):
    status, text = refused(stub, one_input("reshaped", "FP32", [], bytes(8)))
    assert (status, "unexpected shape for input 'INPUT0' for model 'reshaped'. Expected [2,2], got []" in text) == (
        INVALID,
        True,
    )


@pytest.mark.parametrize("name", ["\x1b[31mred\x00", "\u2028", "n" * 100_000, "é" * 50_000, "😀" * 50_000])
@pytest.mark.parametrize("field", ["id", "model_name", "input", "output", "parameter"])
def test_every_name_can_be_answered(stub, field: str, name: str):
    """gRPC sends texts as headers: a client refuses those of more than 8 KiB, and control characters are nobody's names."""
    request = one_input("identity_fp32", "FP32", [1, 2], bytes(4))
    match field:
        case "input":
            request.inputs[0].name = name
        case "output":
            request.outputs.add(name=name)
        case "parameter":
            request.parameters[name].uint64_param = 1
        case _:
            setattr(request, field, name)
    status, text = refused(stub, request)
    assert status in (INVALID, grpc.StatusCode.NOT_FOUND)
    assert text
    assert text.isprintable()
    assert len(text) < 5000


def test_priority_and_timeout_are_taken_as_triton_takes_them(stub):
    request = one_input("identity_fp32", "FP32", [1, 1], bytes(4))
    request.parameters["priority"].uint64_param = 2**64 - 1
    request.parameters["timeout"].int64_param = -5
    assert stub.ModelInfer(request, timeout=60).outputs


def many_fields() -> bytes:
    known = one_input("identity_fp32", "FP32", [1, 1], bytes(4)).SerializeToString()
    return known + b"\xa0\x06\x01" * 300_000


def typed(field: str, values: list, datatype: str) -> Callable[[], bytes]:
    def build() -> bytes:
        request = one_input(f"identity_{datatype.lower()}", datatype, [1, len(values) + 1])
        getattr(request.inputs[0].contents, field).extend(values)
        return bytes(request.SerializeToString())

    return build


def many_strings() -> bytes:
    return bytes(one_input("identity_bytes", "BYTES", [1, 2_000_001], bytes(8_000_000)).SerializeToString())


def classes() -> bytes:
    request = one_input("identity_fp32", "FP32", [1, 1_000_000], bytes(4_000_000))
    request.outputs.add(name="OUTPUT0").parameters["classification"].int64_param = 1_000_000
    return bytes(request.SerializeToString())


HOSTILE = {
    "many fields": many_fields,
    "huge dims": lambda: one_input("identity_fp32", "FP32", [2**62] * 100_000, b"").SerializeToString(),
    "typed numbers": typed("fp32_contents", [0.5] * 1_000_000, "FP32"),
    "typed booleans": typed("bool_contents", [True] * 1_000_000, "BOOL"),
    "typed strings": typed("bytes_contents", [b""] * 500_000, "BYTES"),
    "raw strings": many_strings,
    "a million classes": classes,
    "many inputs": lambda: pb.ModelInferRequest(
        model_name="identity_fp32", inputs=[pb.ModelInferRequest.InferInputTensor(name=str(i)) for i in range(100_000)]
    ).SerializeToString(),
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("stream", [False, True])
def test_the_loop_does_not_stall(server: Server, channel: grpc.Channel, name: str, stream: bool):
    data, codes = HOSTILE[name](), list[grpc.StatusCode]()

    def ask() -> None:
        if stream:
            call = channel.stream_stream("/inference.GRPCInferenceService/ModelStreamInfer")
            assert len(list(call(iter([data]), timeout=120))) == 1
        else:
            codes.append(code_of(channel, "ModelInfer", data))

    assert longest_stall(server, ask) < LONGEST_STALL
    assert set(codes) <= {grpc.StatusCode.OK, INVALID}


@pytest.mark.parametrize("method", ["RepositoryIndex", "ModelStatistics", "ServerLive", "ModelReady"])
def test_large_requests_of_other_methods_do_not_either(server: Server, channel: grpc.Channel, method: str):
    codes: list[grpc.StatusCode] = []
    stall = longest_stall(server, lambda: codes.append(code_of(channel, method, b"\xa0\x06\x01" * 3_000_000)))
    assert stall < LONGEST_STALL
    assert codes[0] in (grpc.StatusCode.OK, INVALID, grpc.StatusCode.NOT_FOUND)


@pytest.mark.parametrize("method", ["RepositoryIndex", "ModelMetadata"])
@pytest.mark.parametrize("size", [3, 100_000])
def test_what_is_no_message_is_refused_as_triton_does(channel: grpc.Channel, method: str, size: int):
    call = channel.unary_unary(f"/inference.GRPCInferenceService/{method}")
    with pytest.raises(grpc.RpcError) as refusal:
        call(b"\xff" * size, timeout=60)
    assert refusal.value.code() == grpc.StatusCode.INTERNAL
    assert "Unable to parse request" in refusal.value.details()


def test_large_and_small_messages_know_the_same_fields(channel: grpc.Channel):
    """A group, an old form of field that a newer client might send, is skipped in both."""
    call = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
    group = b"\xa3\x06\x08\x01\xa4\x06"
    for count in (1, 10_000):
        message = one_input("identity_fp32", "FP32", [1, count], bytes(4 * count)).SerializeToString()
        answer = pb.ModelInferResponse.FromString(call(group + message + group, timeout=60))
        assert list(answer.raw_output_contents) == [bytes(4 * count)]


def test_a_path_that_is_no_text_ends_nothing(
    tmp_path: Path,
    loopback: ServeOptions,
    grpc_engine: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
):
    """Each ends grpc.aio's loop, where that is the engine."""
    monkeypatch.setattr(aio_impl, "LOOK_SECS", 0.02)
    with held_server(tmp_path, loopback) as held, connected(held) as stub:
        call = stub.ModelInfer.future(identity(1.0), timeout=60)
        held.accepted(running=1, waiting=0)
        for count in (1, 2):
            with Wire(held.server.grpc_port) as wire:
                wire.call(head(b"/inference.GRPCInferenceService/\xff"))
                until(lambda often=count: grpc_engine == "nghttp2" or caplog.text.count("is started again") == often)
            with connected(held) as other:
                assert other.ServerLive(pb.ServerLiveRequest(), timeout=60, wait_for_ready=True).live
        held.allow()
        assert number_of(call.result()) == 1.0
