"""A real server of image classifiers, asked over both protocols."""

from collections.abc import Iterator

import pytest

from tcli_client import Transport, connect


@pytest.fixture(params=["http", "grpc"])
def colours(request: pytest.FixtureRequest, colour_urls: dict[str, str]) -> Iterator[Transport]:
    """A transport to the server of `colour_models`; each test runs over HTTP and over gRPC."""
    with connect(colour_urls[request.param]) as transport:
        yield transport


@pytest.fixture(params=["http", "grpc"])
def standard(request: pytest.FixtureRequest, http_url: str, grpc_url: str) -> Iterator[Transport]:
    """A transport to the server of the standard models."""
    with connect(http_url if request.param == "http" else grpc_url, request.param) as transport:
        yield transport
