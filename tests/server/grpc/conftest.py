"""Stubs straight from the protocol's own definition, to send what a client library would not."""

from collections.abc import Iterator

import grpc
import pytest
from tritonclient.grpc import service_pb2_grpc

HUGE = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


@pytest.fixture(scope="module")
def channel(grpc_url: str) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(grpc_url, HUGE) as opened:
        yield opened


@pytest.fixture(scope="module")
def stub(channel: grpc.Channel) -> service_pb2_grpc.GRPCInferenceServiceStub:
    return service_pb2_grpc.GRPCInferenceServiceStub(channel)
