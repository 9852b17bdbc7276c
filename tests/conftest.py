"""Fixtures that several rooms share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from repositories import write_standard_models
from tcli_server import Engine
from tcli_server.serving import ServeOptions, Server

LOOPBACK = ServeOptions(
    http_address="127.0.0.1", grpc_address="127.0.0.1", http_port=0, grpc_port=0, metrics_port=0
)
"""A server for tests: free ports, loopback only."""


@pytest.fixture(scope="session")
def standard_repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with small models of every kind; read only."""
    return write_standard_models(tmp_path_factory.mktemp("standard") / "models")


@pytest.fixture(scope="session")
def server(standard_repository: Path) -> Iterator[Server]:
    """A real server of `standard_repository`; tests must not change its models."""
    with Server(Engine(standard_repository), LOOPBACK) as running:
        yield running


@pytest.fixture(scope="session")
def http_url(server: Server) -> str:
    """host:port"""
    return f"127.0.0.1:{server.http_port}"


@pytest.fixture(scope="session")
def grpc_url(server: Server) -> str:
    """host:port"""
    return f"127.0.0.1:{server.grpc_port}"
