"""Large bodies are read straight to their place, whatever else comes before, between and behind them."""

import asyncio
import hashlib
import random
import time

import pytest

import http_wire
from http_wire import Echo, Hold, Wire, get, post, serving
from tcli_server.protocols.budget import ByteBudget
from tcli_server.protocols.http.limits import HttpLimits
from tcli_server.protocols.http.reader import BODY, HEAD
from waiting import until

NEVER = HttpLimits(head_timeout_secs=3600, body_timeout_secs=3600, idle_timeout_secs=3600)
SIZES = (1, 8191, 8193, 65_536, 70_000, 1 << 18, 600_000, 3 << 20)


@pytest.fixture(params=["uvloop", "asyncio"], autouse=True)
def loop(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What reads is one loop's code or the other's."""
    if request.param == "asyncio":
        monkeypatch.setattr(http_wire, "_new_event_loop", asyncio.new_event_loop)


def body(size: int) -> bytes:
    return random.Random(size).randbytes(size)


def digests(bodies: list[bytes]) -> list[str]:
    return [hashlib.sha256(one).hexdigest() for one in bodies]


@pytest.mark.parametrize("piece", [None, 1 << 20, 65_537, 8192, 1000], ids=["as they are", "1M", "64K", "8K", "1000"])
def test_bodies_arrive_as_they_were_sent(piece: int | None):
    bodies = [body(size) for size in (*SIZES, *reversed(SIZES))]
    echo = Echo()
    with serving(echo, NEVER) as http, http.connect() as wire:
        for one in bodies:
            sent = post(one)
            for start in range(0, len(sent), piece or len(sent)):
                wire.send(sent[start : start + (piece or len(sent))])
            assert wire.read().body == b"POST / %d" % len(one)
        assert digests(echo.bodies) == digests(bodies)
        assert (http.budget.held, http.budget.promised) == (0, 0)


def test_nothing_behind_a_large_body_is_taken_for_a_part_of_it():
    echo = Echo()
    with serving(echo, NEVER) as http, http.connect() as wire:
        large = body(600_000)
        for _ in range(3):
            wire.send(get("/before") + post(large) + get("/between") + post(large) + get("/behind"))
            answers = [wire.read().body for _ in range(5)]
            assert answers == [
                b"GET /before 0", b"POST / 600000", b"GET /between 0", b"POST / 600000", b"GET /behind 0",
            ]  # fmt: skip
        assert digests([one for one in echo.bodies if one]) == digests([large] * 6)


def test_a_head_and_its_body_apart():
    echo = Echo()
    with serving(echo, NEVER) as http, http.connect() as wire:
        large = body(600_000)
        sent = post(large)
        head = len(sent) - len(large)
        for cut, phase in ((head - 2, HEAD), (head, BODY), (head + 1, BODY)):
            wire.send(sent[:cut])
            until(lambda phase=phase: [one._reader.phase for one in http.server._shared.connections] == [phase])
            wire.send(sent[cut:])
            assert wire.read().status == 200
        assert digests(echo.bodies) == digests([large] * 3)


def test_one_that_is_waited_for_with_100_continue():
    echo = Echo()
    with serving(echo, NEVER) as http, http.connect() as wire:
        sent = post(body(600_000), headers="Expect: 100-continue\r\n")
        head = sent.index(b"\r\n\r\n") + 4
        wire.send(sent[:head])
        assert wire.read_interim() == b"HTTP/1.1 100 Continue"
        wire.send(sent[head:])
        assert wire.read().body == b"POST / 600000"


@pytest.mark.parametrize("leave", [Wire.reset, lambda wire: wire.socket.close(), Wire.half_close])
def test_a_client_that_leaves_in_the_midst_leaves_nothing(leave):
    with serving(Echo(), NEVER) as http, http.connect() as wire:
        wire.send(post(body(600_000))[:300_000])
        until(lambda: http.budget.promised == 600_000)
        leave(wire)
        until(lambda: http.connections() == 0)
        assert (http.budget.held, http.budget.promised) == (0, 0)


def test_one_that_does_not_come_is_answered_408():
    with serving(Echo(), HttpLimits(body_timeout_secs=0.2)) as http, http.connect() as wire:
        wire.send(post(body(600_000))[:300_000])
        assert wire.read().status == 408
        assert wire.closed()
        assert (http.budget.held, http.budget.promised) == (0, 0)


def test_one_that_comes_slowly_is_waited_for():
    with serving(Echo(), HttpLimits(body_timeout_secs=0.4)) as http, http.connect() as wire:
        sent = post(body(300_000))
        for start in range(0, len(sent), 30_000):  # longer in all than the limit, a piece each time
            wire.send(sent[start : start + 30_000])
            time.sleep(0.1)
        assert wire.read().status == 200


def test_one_in_chunks_comes_no_slower_behind_one_of_known_length():
    rooms: list[set[int]] = []
    for before in (b"", post(body(600_000))):
        with serving(Echo(), NEVER) as http, http.connect() as wire:
            wire.send(before)
            if before:
                assert wire.read().status == 200
            wire.send(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx")
            until(lambda http=http: http.budget.held == 1)
            (connection,) = http.server._shared.connections
            rooms.append(set())
            http.call(lambda room=rooms[-1], one=connection: room.add(len(one.get_buffer(-1))))
            wire.send(b"\r\n0\r\n\r\n")
            assert wire.read().body == b"POST / 1"
    assert rooms[0] == rooms[1]


def test_promises_of_many_that_send_nothing_do_not_keep_others_out():
    echo = Echo()
    with serving(echo, NEVER, budget=20_000_000) as http:
        idle = [http.connect() for _ in range(30)]
        for wire in idle:
            wire.send(post(body(900_000))[:300_000])
        until(lambda: http.budget.promised == 22 * 900_000)
        with http.connect() as wire:
            wire.send(post(body(600_000)))
            assert wire.read().body == b"POST / 600000"
        for wire in idle:
            wire.socket.close()
        until(lambda: http.connections() == 0)
        assert (http.budget.held, http.budget.promised) == (0, 0)
        assert digests(echo.bodies) == digests([body(600_000)])


def test_what_came_before_there_was_room_is_not_moved_when_there_is():
    echo = Echo()
    with serving(echo, NEVER, budget=20_000_000) as http, http.connect() as promised, http.connect() as wire:
        promised.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 19999999\r\n\r\n")
        until(lambda: [one._reader.phase for one in list(http.server._shared.connections)].count(BODY) == 1)
        promised.send(b"x")
        until(lambda: http.budget.promised == 19_999_999)
        sent = post(body(10_000_000))
        wire.send(sent[:6_000_000])
        until(lambda: http.budget.held > 5_900_000)
        promised.reset()
        until(lambda: http.budget.promised == 0)
        wire.send(sent[6_000_000:9_000_000])
        until(lambda: http.budget.held > 8_900_000)
        assert http.budget.promised == 0  # to move megabytes would keep all other clients waiting
        wire.send(sent[9_000_000:])
        assert wire.read().status == 200
        assert digests(echo.bodies) == digests([body(10_000_000)])
        assert http.budget.held == 0


def test_they_share_the_budget_of_bytes_that_came():
    hold = Hold()
    with serving(hold, NEVER, budget=1_000_000) as http, http.connect() as one, http.connect() as other:
        one.send(post(body(600_000), "/hold"))
        hold.wait()
        other.send(post(body(500_000)))
        assert other.read().status == 503
        hold.answer(http)
        assert one.read().status == 200
        assert (http.budget.held, http.budget.promised) == (0, 0)


def test_one_behind_a_request_that_is_being_answered_waits_in_the_client():
    hold = Hold()
    with serving(hold, NEVER) as http, http.connect() as wire:
        wire.send(get("/hold"))
        hold.wait()
        wire.socket.settimeout(0.5)
        with pytest.raises(TimeoutError):  # read no further than a client may be ahead
            wire.socket.sendall(post(body(64 << 20)))
        assert http.budget.held < 4 << 20


def test_a_budget_of_promises():
    budget = ByteBudget(1000)
    assert budget.promise(900)
    assert not budget.promise(101)
    assert budget.promise(100)
    budget.promised -= 900
    assert budget.promise(900)
    assert budget.held == 0
