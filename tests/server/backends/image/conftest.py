"""Models of the backend `image`, in a real server."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import LOOPBACK
from image_models import image_config, write_image_model
from picture_bytes import USUAL
from tcli_client import Transport, connect
from tcli_server import Engine
from tcli_server.serving import Server


@pytest.fixture(scope="session")
def picture_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`USUAL` as files."""
    folder = tmp_path_factory.mktemp("pictures")
    for name, content in USUAL.items():
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture(scope="module")
def image_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """`plain` batches, `single` does not, `together` waits for 8 requests that go into a batch."""
    repository = tmp_path_factory.mktemp("image") / "models"
    write_image_model(repository, "plain", image_config())
    write_image_model(repository, "single", image_config(max_batch_size=0))
    waiting = "dynamic_batching { preferred_batch_size: [ 8 ] max_queue_delay_microseconds: 30000000 }"
    write_image_model(repository, "together", image_config(more=waiting))
    with Server(Engine(repository), LOOPBACK) as running:
        yield running


@pytest.fixture(params=["http", "grpc"])
def transport(request: pytest.FixtureRequest, image_server: Server) -> Iterator[Transport]:
    """Each test runs over HTTP and over gRPC."""
    port = image_server.http_port if request.param == "http" else image_server.grpc_port
    with connect(f"{request.param}://127.0.0.1:{port}") as connected:
        yield connected
