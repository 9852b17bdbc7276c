"""A body that is too large, or too large for the event loop, is refused by its size: to copy it would keep others waiting."""

from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import numpy as np
import pytest

from tcli_server import Engine
from tcli_server.options import EngineOptions
from tcli_server.protocols.http.exchange import Exchange, Parts
from tcli_server.protocols.http.infer_request import TakesLongError, decode_request
from tcli_server.serving import ServeOptions, Server

TOO_LARGE = "1099511627776 bytes"


def endless() -> memoryview:
    """A terabyte, of which no machine has room for a copy."""
    return memoryview(np.broadcast_to(np.uint8(ord("x")), 1 << 40))  # type: ignore[arg-type]


class Client:
    """Takes the one answer."""

    def __init__(self) -> None:
        self.answer: Future[tuple[int, bytes]] = Future()

    def finish(self, exchange: Exchange, status: int, length: int, headers: bytes, parts: Parts) -> None:  # noqa: ARG002
        self.answer.set_result((status, b"".join(parts)))


@pytest.fixture(scope="module")
def explicit(standard_repository: Path) -> Iterator[Server]:
    options = ServeOptions(http_address="127.0.0.1", grpc_address="127.0.0.1", http_port=0, grpc_port=0, metrics_port=0)
    engine = Engine(
        standard_repository, options=EngineOptions(model_control_mode="explicit", load_models=("identity_bytes",))
    )
    with Server(engine, options) as running:
        yield running


@pytest.mark.parametrize("raw", [False, True], ids=["", "raw"])
@pytest.mark.parametrize(
    "path",
    [
        "models/identity_bytes/infer", "models/identity_bytes/generate", "models/identity_bytes/generate_stream",
        "repository/index", "repository/models/identity_bytes/load", "repository/models/identity_bytes/unload",
    ],
)  # fmt: skip
def test_one_above_the_limit(explicit: Server, path: str, raw: bool):
    client = Client()
    headers = {b"inference-header-content-length": b"0"} if raw else {}
    exchange = Exchange(client, b"POST", f"/v2/{path}".encode(), headers)  # type: ignore[arg-type]
    exchange.body = endless()
    assert explicit._loop is not None
    ((_, application),) = explicit._http
    explicit._loop.call_soon_threadsafe(application.answer, exchange)
    status, answer = client.answer.result(60)
    assert status == 400
    assert TOO_LARGE in answer.decode()
    assert "--http-max-input-size" in answer.decode()


def test_a_large_raw_one_is_read_in_a_thread():
    with pytest.raises(TakesLongError):  # if the model is one of strings, its element is a copy
        decode_request(endless(), 0, "m", "", 1 << 50, quickly=True)
