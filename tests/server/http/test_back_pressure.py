"""A client that asks faster than it reads, or than it is answered, has to wait; it costs no more than the others."""

import os
import sys
import threading
import time
from pathlib import Path

import pytest

from http_wire import PATIENCE, Hold, Running, chunked, get, post, serving
from tcli_server.protocols.http.exchange import Exchange
from tcli_server.protocols.http.limits import MAX_READ_AHEAD, MAX_WAITING, HttpLimits
from waiting import until


def settled(count: list, seconds: float = 0.5) -> int:
    """How many there are once no more come."""
    seen, since = len(count), time.monotonic()
    while time.monotonic() - since < seconds:
        if len(count) != seen:
            seen, since = len(count), time.monotonic()
        time.sleep(0.01)
    return seen


def test_answers_that_are_not_read_hold_back_further_requests():
    answer = b"x" * (30 << 20)
    asked: list[bytes] = []

    def large(exchange: Exchange) -> None:
        asked.append(exchange.path)
        exchange.respond(200, answer)

    with serving(large) as http, http.connect() as wire:
        wire.send(get() * 30)
        assert not wire.silent(PATIENCE)
        assert settled(asked) == 1
        for _ in range(30):
            assert len(wire.read().body) == len(answer)
        assert len(asked) == 30


def test_answers_that_are_not_read_hold_back_requests_that_come_later():
    asked: list[bytes] = []

    def large(exchange: Exchange) -> None:
        asked.append(exchange.path)
        exchange.respond(200, b"x" * (30 << 20))

    with serving(large) as http, http.connect() as wire:
        wire.send(get("/1"))
        assert not wire.silent(PATIENCE)
        wire.send(get("/2"))
        assert settled(asked) == 1
        assert len(wire.read().body) == len(wire.read().body)
        assert asked == [b"/1", b"/2"]


@pytest.mark.parametrize("size", [0, 100_000, 10_000_000], ids=["tiny", "100 KB", "10 MB"])
@pytest.mark.parametrize("framed", [post, chunked])
def test_requests_behind_a_slow_one_are_left_in_the_network(framed, size: int):
    hold = Hold()
    request = framed(b"x" * size) if size else get("/tiny")
    count = 3000 if size < 1_000_000 else 30
    with serving(hold) as http, http.connect() as wire:
        wire.send(get("/hold"))
        hold.wait()
        sender = threading.Thread(target=lambda: [wire.send(request) for _ in range(count)])
        sender.start()
        paused: list[bool] = []
        until(lambda: http.call(lambda: paused.extend(_paused(http))) or paused[-1], "nothing stopped the reading")
        assert http.budget.held <= MAX_READ_AHEAD + (1 << 18)
        waiting: list[int] = []
        http.call(lambda: waiting.extend(len(one._waiting) for one in http.server._shared.connections))
        assert waiting[0] <= MAX_WAITING + (1 << 13) // len(request)
        hold.answer(http)
        assert wire.read().body == b"held"
        for _ in range(count):
            assert wire.read().status == 200
        sender.join(PATIENCE)
        until(lambda: http.budget.held == 0)


def test_a_large_body_behind_a_slow_request_is_left_there_however_much_comes_at_once():
    """The system's buffer has grown by what came before, and one read could take a megabyte."""
    hold = Hold()
    with serving(hold) as http, http.connect() as wire:
        for _ in range(5):
            wire.send(post(b"x" * 30_000_000))
            assert wire.read().status == 200
        wire.send(get("/hold"))
        hold.wait()
        request, sent = post(b"x" * 10_000_000), []
        pieces = [request[begin : begin + 65536] for begin in range(0, len(request), 65536)]
        sender = threading.Thread(target=lambda: [sent.append(wire.send(piece)) for piece in pieces])
        blocked = threading.Event()
        http.loop.call_soon_threadsafe(blocked.wait, PATIENCE)  # so that much of it comes at once
        sender.start()
        settled(sent)
        blocked.set()
        paused: list[bool] = []
        until(lambda: http.call(lambda: paused.extend(_paused(http))) or paused[-1])
        assert http.budget.held <= 2 * MAX_READ_AHEAD
        hold.answer(http)
        assert [wire.read().body for _ in range(2)] == [b"held", b"/"]
        sender.join(PATIENCE)


def test_a_refusal_behind_answers_that_were_not_read_ends_with_the_client_s_goodbye(monkeypatch: pytest.MonkeyPatch):
    """The server stopped to read meanwhile, and has to begin again to hear of it."""
    monkeypatch.setattr("tcli_server.protocols.http.connection.LINGER_SECS", 3600)
    answer = b"x" * (30 << 20)

    def large(exchange: Exchange) -> None:
        exchange.respond(200, answer if exchange.path == b"/large" else b"")

    with serving(large) as http, http.connect() as wire:
        wire.send(get("/large") + get("/x") * 400 + b"nonsense\r\n\r\n")
        assert not wire.silent(PATIENCE)
        paused: list[bool] = []
        until(lambda: http.call(lambda: paused.extend(_paused(http))) or paused[-1])
        assert [wire.read().status for _ in range(402)] == [200] * 401 + [400]
        wire.half_close()
        until(lambda: http.connections() == 0)


def _paused(http: Running) -> list[bool]:
    return [one._reading_paused for one in http.server._shared.connections]


def test_a_flood_of_tiny_requests_leaves_turns_to_others():
    """64 KB of requests in one read are not all answered before somebody else's."""
    order: list[bytes] = []

    def note(exchange: Exchange) -> None:
        order.append(exchange.path)
        exchange.respond(200)

    with serving(note) as http, http.connect() as flood, http.connect() as other:
        blocked, go_on = threading.Event(), threading.Event()
        http.loop.call_soon_threadsafe(lambda: (blocked.set(), go_on.wait(PATIENCE)))
        assert blocked.wait(PATIENCE)
        flood.send(get("/f") * 1000)
        other.send(get("/o"))
        go_on.set()
        assert other.read().status == 200
        for _ in range(1000):
            assert flood.read().status == 200
    assert order.index(b"/o") < 200


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("end", ["close", "reset"])
def test_aborted_uploads_leave_no_memory_behind(end: str):
    """Without waiting for a full garbage collection, which may be minutes away."""
    size = 64 << 20
    with serving(Hold(), HttpLimits()) as http:
        before = _resident()
        for _ in range(8):
            wire = http.connect()
            wire.send(post(b"x" * size)[:-1])
            until(lambda: http.budget.held == size - 1)
            wire.reset() if end == "reset" else wire.socket.close()
            until(lambda: http.budget.held == 0)
        assert _resident() - before < 2 * size


def _resident() -> int:
    """Bytes of memory that this process has now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
