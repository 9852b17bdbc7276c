"""What nobody waits for any more is not found out: who comes and goes by the thousand would keep everybody else waiting."""

import socket
import struct
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from tcli_server import Engine
from tcli_server.serving import ServeOptions, Server
from waiting import until


@pytest.fixture
def server(tmp_path: Path, loopback: ServeOptions) -> Iterator[Server]:
    with Server(Engine(tmp_path), loopback) as running:
        yield running


@pytest.mark.parametrize(("path", "asks"), [("/metrics", "models"), ("/v2/models/stats", "statistics")])
def test_nothing_is_found_out_for_who_is_gone(server: Server, path: str, asks: str, monkeypatch: pytest.MonkeyPatch):
    assert server._metrics is not None
    http, port = (
        (server._metrics[0], server.metrics_port) if path == "/metrics" else (server._http[0][0], server.http_port)
    )
    asked: list[tuple[Any, ...]] = []
    go = threading.Event()
    answer = getattr(server.engine, asks)

    def count(*arguments: Any) -> Any:
        asked.append(arguments)
        assert go.wait(60)
        return answer(*arguments)

    monkeypatch.setattr(server.engine, asks, count)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(httpx.get, f"http://127.0.0.1:{port}{path}", timeout=60)
        until(lambda: bool(asked))
        for _ in range(20):
            with socket.create_connection(("127.0.0.1", port)) as gone:
                gone.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
                until(lambda: sum(one._current is not None for one in http._shared.connections) == 2)
                gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            until(lambda: len(http._shared.connections) == 1)
        go.set()
        assert first.result(60).status_code == 200
        for_one = len(asked)
        assert httpx.get(f"http://127.0.0.1:{port}{path}", timeout=60).status_code == 200
    assert len(asked) == 2 * for_one
