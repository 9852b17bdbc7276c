"""Every test here runs on both engines of gRPC; stubs straight from the protocol's own definition, to send what a client
library would not."""

from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from tritonclient.grpc import service_pb2_grpc

from tcli_server import Engine
from tcli_server.protocols.grpc import server as grpc_server
from tcli_server.serving import ServeOptions, Server

HUGE = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


@pytest.fixture(scope="module", autouse=True, params=["nghttp2", "aio"])
def grpc_engine(request: pytest.FixtureRequest) -> Iterator[str]:
    """What `auto` chooses for servers that are started meanwhile: aio as if ngh2 were not installed."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "aio":
            patch.setattr(grpc_server, "find_spec", lambda _: None)
        yield request.param


@pytest.fixture(scope="module")
def server(standard_repository: Path, grpc_engine: str) -> Iterator[Server]:
    """As the session's, but with this engine."""
    del grpc_engine  # it is in force
    options = ServeOptions(http_address="127.0.0.1", grpc_address="127.0.0.1", http_port=0, grpc_port=0, metrics_port=0)
    with Server(Engine(standard_repository), options) as running:
        yield running


@pytest.fixture(scope="module")
def grpc_url(server: Server) -> str:
    """host:port"""
    return f"127.0.0.1:{server.grpc_port}"


@pytest.fixture(scope="module")
def channel(grpc_url: str) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(grpc_url, HUGE) as opened:
        yield opened


@pytest.fixture(scope="module")
def stub(channel: grpc.Channel) -> service_pb2_grpc.GRPCInferenceServiceStub:
    return service_pb2_grpc.GRPCInferenceServiceStub(channel)
