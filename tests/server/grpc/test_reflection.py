"""gRPC's reflection, asked by the client of the package grpcio-reflection."""

import asyncio
import dataclasses
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha import reflection_pb2 as pb
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from tcli_server import Engine
from tcli_server.protocols.grpc import GrpcOptions
from tcli_server.serving import ServeOptions, Server

SERVICES = [
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
    "inference.GRPCInferenceService",
]
V1, V1_ALPHA = (f"/{SERVICES[number]}/ServerReflectionInfo" for number in (1, 2))


@pytest.fixture(scope="module")
def channel(standard_repository: Path, grpc_engine: str) -> Iterator[grpc.Channel]:
    """To a server that tells what can be called."""
    del grpc_engine  # it is in force
    options = ServeOptions(
        http_address="127.0.0.1", grpc_address="127.0.0.1", http_port=0, grpc_port=0, metrics_port=0,
        grpc=GrpcOptions(reflection=True),
    )  # fmt: skip
    with (
        Server(Engine(standard_repository), options) as running,
        grpc.insecure_channel(f"127.0.0.1:{running.grpc_port}") as opened,
    ):
        yield opened


def ask(
    channel: grpc.Channel, *requests: pb.ServerReflectionRequest, path: str = V1
) -> list[pb.ServerReflectionResponse]:
    stream = channel.stream_stream(
        path, pb.ServerReflectionRequest.SerializeToString, pb.ServerReflectionResponse.FromString
    )
    return list(stream(iter(requests), timeout=60))


def test_a_client_that_knows_nothing_calls_every_service_by_what_it_is_told(channel: grpc.Channel):
    database = ProtoReflectionDescriptorDatabase(channel)
    assert sorted(database.get_services()) == SERVICES
    pool = DescriptorPool(database)
    for name in SERVICES:
        assert pool.FindServiceByName(name).methods
    service = pool.FindServiceByName("inference.GRPCInferenceService")
    stream = service.methods_by_name["ModelStreamInfer"]
    assert stream.client_streaming
    assert stream.server_streaming
    method = service.methods_by_name["ModelMetadata"]
    call = channel.unary_unary(
        f"/{service.full_name}/{method.name}",
        lambda message: message.SerializeToString(),
        GetMessageClass(method.output_type).FromString,
    )
    answer = call(GetMessageClass(method.input_type)(name="identity_fp32"), timeout=60)
    assert (answer.name, answer.inputs[0].datatype) == ("identity_fp32", "FP32")
    check = pool.FindServiceByName("grpc.health.v1.Health").methods_by_name["Check"]
    health = channel.unary_unary("/grpc.health.v1.Health/Check", None, GetMessageClass(check.output_type).FromString)
    assert str(health(b"", timeout=60)).strip() == "status: SERVING"


@pytest.mark.parametrize("path", [V1, V1_ALPHA])
def test_both_versions_answer_in_the_order_of_the_questions(channel: grpc.Channel, path: str):
    questions = [
        pb.ServerReflectionRequest(host="h", list_services="*"),
        pb.ServerReflectionRequest(file_by_filename="grpc_service.proto"),
        pb.ServerReflectionRequest(all_extension_numbers_of_type="inference.ModelInferRequest"),
    ]
    listed, files, extensions = ask(channel, *questions, path=path)
    assert [service.name for service in listed.list_services_response.service] == SERVICES
    assert (listed.valid_host, listed.original_request) == ("h", questions[0])
    assert len(files.file_descriptor_response.file_descriptor_proto) == 2  # with what it imports
    assert extensions.all_extension_numbers_response.base_type_name == "inference.ModelInferRequest"


@pytest.mark.parametrize(
    ("question", "code", "said"),
    [
        ({"file_by_filename": "no.proto"}, 5, "file_by_filename: there is no no.proto"),
        ({"file_containing_symbol": "no.Such"}, 5, "file_containing_symbol: there is no no.Such"),
        ({"file_containing_symbol": ""}, 5, "file_containing_symbol: there is no"),
        ({"all_extension_numbers_of_type": "no.Such"}, 5, "all_extension_numbers_of_type: there is no no.Such"),
        (
            {"file_containing_extension": {"containing_type": "inference.ModelInferRequest", "extension_number": 7}},
            5,
            "file_containing_extension: there is no",
        ),
        ({}, 3, "nothing is asked"),
    ],
)
def test_what_there_is_not_is_told_and_the_stream_goes_on(
    channel: grpc.Channel, question: dict[str, object], code: int, said: str
):
    error, listed = ask(channel, pb.ServerReflectionRequest(**question), pb.ServerReflectionRequest(list_services=""))
    assert error.error_response.error_code == code
    assert error.error_response.error_message.startswith(said)
    assert len(listed.list_services_response.service) == len(SERVICES)


@pytest.mark.parametrize(
    ("message", "status"),
    [
        (b"\xff", grpc.StatusCode.INTERNAL),
        (b"\x1a\x80\x80\x08" + b"x" * (1 << 17), grpc.StatusCode.INVALID_ARGUMENT),
    ],
)
def test_what_is_no_question_ends_the_stream(channel: grpc.Channel, message: bytes, status: grpc.StatusCode):
    with pytest.raises(grpc.RpcError) as raised:
        list(channel.stream_stream(V1)(iter([message]), timeout=60))
    assert raised.value.code() is status


def test_it_is_off_unless_it_is_wanted(grpc_url: str):
    with grpc.insecure_channel(grpc_url) as other, pytest.raises(grpc.RpcError) as raised:
        ask(other, pb.ServerReflectionRequest(list_services=""))
    assert raised.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_open_streams_do_not_hold_up_the_end(tmp_path: Path, loopback: ServeOptions):
    """More than are told of it in one turn of the loop."""
    options = dataclasses.replace(loopback, grpc=GrpcOptions(reflection=True), exit_timeout_secs=60)
    server = Server(Engine(tmp_path), options)
    server.start()

    async def ends() -> list[grpc.StatusCode]:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{server.grpc_port}") as opened:
            streams = [opened.stream_stream(V1)(timeout=60) for _ in range(250)]
            for stream in streams:
                await stream.write(pb.ServerReflectionRequest(list_services="").SerializeToString())
                assert await stream.read()
            assert await asyncio.to_thread(server.shutdown)
            return [await stream.code() for stream in streams]

    assert asyncio.run(ends()) == [grpc.StatusCode.UNAVAILABLE] * 250
