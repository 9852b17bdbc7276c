"""The example's modules on the path, and a server of its model."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import LOOPBACK
from listening import EXAMPLE
from tcli_server import Engine
from tcli_server.serving import Server

sys.path.insert(0, str(EXAMPLE))


@pytest.fixture(scope="session")
def model_file() -> Path:
    """The model's file; skips the test where no package has it."""
    from make_repository import find_model

    try:
        return find_model()
    except FileNotFoundError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def vad_url(model_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """host:port of the gRPC of a real server of the example's repository."""
    from make_repository import write_repository

    repository = tmp_path_factory.mktemp("audio")
    write_repository(repository, model_file)
    with Server(Engine(repository), LOOPBACK) as running:
        yield f"127.0.0.1:{running.grpc_port}"
