"""The end of a server: what was asked is answered, what comes later is told, and the port closes last."""

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

import onnx_models
from http_wire import PATIENCE, Hold, Running, Wire, get, post, serving
from repositories import write_model
from tcli_server import Engine
from tcli_server.protocols.http.exchange import Exchange
from tcli_server.serving import ServeOptions, Server
from waiting import until


@pytest.fixture
def hold() -> Hold:
    return Hold()


@pytest.fixture
def http(hold: Hold) -> Iterator[Running]:
    with serving(hold) as running:
        yield running


def drain(http: Running) -> None:
    http.call(http.server.drain)


def test_an_idle_kept_alive_connection_closes(http: Running, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("tcli_server.protocols.http.connection.LINGER_SECS", 3600)  # at once, not some time later
    with http.connect() as fresh, http.connect() as wire:
        wire.send(get())
        assert wire.read().status == 200
        until(lambda: http.connections() == 2)
        drain(http)
        assert wire.closed()
        assert fresh.closed()


def test_what_was_asked_is_answered_with_connection_close(http: Running, hold: Hold):
    with http.connect() as wire:
        wire.send(get("/hold/1") + get("/hold/2") + get("/3"))
        hold.wait()
        drain(http)
        hold.answer(http)
        hold.wait()
        hold.answer(http)
        responses = wire.read_all()
    assert [response.body for response in responses] == [b"held", b"held", b"/3"]
    assert [response.headers.get("connection") for response in responses] == [None, None, "close"]


def test_what_is_asked_later_on_the_same_connection_is_not(http: Running, hold: Hold):
    with http.connect() as wire:
        wire.send(get("/hold"))
        hold.wait()
        drain(http)
        wire.send(get("/later"))
        assert wire.silent(0.1)
        hold.answer(http)
        responses = wire.read_all()
    assert [response.status for response in responses] in ([200, 503], [200])
    assert responses[-1].headers["connection"] == "close"


@pytest.mark.parametrize("half", [post(b"x" * 100)[:-1], get()[:-1]], ids=["body", "head"])
def test_what_is_half_sent_is_refused(http: Running, half: bytes):
    with http.connect() as wire:
        wire.send(get())
        assert wire.read().status == 200
        wire.send(half)
        assert wire.silent(0.2)
        drain(http)
        response = wire.read()
        assert (response.status, response.headers["connection"]) == (503, "close")
        assert wire.closed()


def drained(http: Running, timeout: float) -> bool:
    return asyncio.run_coroutine_threadsafe(http.server.drained(timeout), http.loop).result(PATIENCE)


def test_a_client_that_was_told_and_stays_is_not_waited_for(http: Running, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("tcli_server.protocols.http.connection.LINGER_SECS", 3600)
    with http.connect() as wire:
        wire.send(get())
        assert wire.read().status == 200
        wire.send(post(b"x" * 100)[:-1])
        assert wire.silent(0.1)
        drain(http)
        assert wire.read().status == 503
        assert drained(http, PATIENCE / 2)
        assert http.connections() == 1


def test_an_answer_that_is_not_read_yet_is_waited_for():
    answered = threading.Event()

    def answer(exchange: Exchange) -> None:
        exchange.respond(200, bytes(50 << 20))
        answered.set()

    with serving(answer) as http, http.connect() as wire:
        wire.send(get())
        assert answered.wait(PATIENCE)
        drain(http)
        assert not drained(http, 0.1)
        assert len(wire.read().body) == 50 << 20
        assert drained(http, PATIENCE)


def test_new_connections_are_answered_until_the_port_closes(http: Running, hold: Hold):
    with http.connect() as wire:
        wire.send(get("/hold"))
        hold.wait()
        drain(http)
        for request in (get("/v2/health/ready"), post(b"x" * 100_000)):
            with http.connect() as new:
                new.send(request)
                response = new.read()
                assert (response.status, response.body) == (503, b'{"error":"Server exiting"}')
                assert new.closed()
        hold.answer(http)
        assert wire.read().status == 200
    http.call(http.server.close)
    with pytest.raises(ConnectionError):
        http.connect()


def test_a_server_that_closes_leaves_no_connection_open(http: Running, hold: Hold):
    with http.connect() as idle, http.connect() as busy:
        idle.send(get())
        assert idle.read().status == 200
        busy.send(get("/hold"))
        hold.wait()
        http.call(http.server.close)
        assert idle.closed()
        assert busy.closed()
        assert hold.wait_gone() == (b"/hold", True)
        until(lambda: http.connections() == 0)


def test_a_real_server_answers_503_while_it_drains(tmp_path: Path, loopback: ServeOptions):
    write_model(tmp_path, "identity", onnx_models.identity())
    server = Server(Engine(tmp_path), loopback)
    server.start()
    entered, release = threading.Event(), threading.Event()
    shutdown = server.engine.shutdown

    def slow_shutdown(timeout: float) -> bool:
        entered.set()
        assert release.wait(PATIENCE)
        return shutdown(timeout)

    server.engine.shutdown = slow_shutdown
    url = f"http://127.0.0.1:{server.http_port}"
    with Wire(server.http_port) as idle, ThreadPoolExecutor(1) as pool:
        idle.send(get("/v2"))
        assert idle.read().status == 200
        ended = pool.submit(server.shutdown)
        assert entered.wait(PATIENCE)
        assert idle.closed()
        for answer in (
            httpx.get(f"{url}/v2/health/ready"),
            httpx.get(f"{url}/v2/health/live"),
            httpx.post(f"{url}/v2/models/identity/infer", content=b"{}"),
        ):
            assert (answer.status_code, answer.headers["connection"]) == (503, "close")
            assert answer.headers["retry-after"] == "1"
        release.set()
        assert ended.result(PATIENCE) is True
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{url}/v2")
