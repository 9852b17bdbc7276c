"""Fixtures for tests that start servers of their own."""

import pytest

from tcli_server.serving import ServeOptions


@pytest.fixture
def loopback() -> ServeOptions:
    """Free ports, loopback only, for a server that one test has to itself."""
    return ServeOptions(http_address="127.0.0.1", grpc_address="127.0.0.1", http_port=0, grpc_port=0, metrics_port=0)
