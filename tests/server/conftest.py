"""Fixtures for tests that start servers of their own."""

from collections.abc import Iterator

import pytest

from shared_numbers import shared_numbers
from tcli_server.observability.log import LOG, change_log, log_options
from tcli_server.serving import ServeOptions


@pytest.fixture
def loopback() -> ServeOptions:
    """Free ports, loopback only, for a server that one test has to itself."""
    return ServeOptions(http_address="127.0.0.1", grpc_address="127.0.0.1", http_port=0, grpc_port=0, metrics_port=0)


@pytest.fixture
def key() -> Iterator[str]:
    """The name of an object of shared memory, as of `shared_numbers`."""
    with shared_numbers() as name:
        yield name


@pytest.fixture
def log_of_its_own() -> Iterator[None]:
    """For a test that configures the log, which is the process's: as it was again afterwards."""
    before, level, propagate, options = list(LOG.handlers), LOG.level, LOG.propagate, log_options()
    LOG.handlers.clear()
    yield
    for handler in LOG.handlers:
        handler.close()
    LOG.handlers.clear()
    change_log(options)
    LOG.handlers[:], LOG.propagate = before, propagate
    LOG.setLevel(level)
