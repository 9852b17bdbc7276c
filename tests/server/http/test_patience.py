"""How long a connection may be silent, to the second: by a clock that only moves when the test says so."""

from types import SimpleNamespace

import pytest

from http_wire import Echo, Hold, Running, Wire, get, post, serving
from tcli_server.protocols.http import connection, server
from tcli_server.protocols.http.exchange import Exchange
from tcli_server.protocols.http.limits import HttpLimits
from waiting import until

LIMITS = HttpLimits(head_timeout_secs=10, body_timeout_secs=20, idle_timeout_secs=40)


class Clock:
    """The server's time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        self.asked = 0
        for module in (connection, server):
            monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=self._monotonic))

    def _monotonic(self) -> float:
        self.asked += 1
        return self.now

    def pass_(self, http: Running, seconds: float) -> None:
        """Let time pass, and the server look at its connections."""
        http.call(lambda: None)  # what was sent before is read before
        self.now += seconds
        http.call(lambda: [one.check(self.now) for one in list(http.server._shared.connections)])


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def answered(wire: Wire, request: bytes = get()) -> None:
    wire.send(request)
    assert wire.read().status == 200


def begun(http: Running, wire: Wire, part: bytes) -> None:
    """Send a part of a request, and wait until the server has it."""

    def fed() -> list[tuple]:
        found: list[tuple] = []
        http.call(
            lambda: found.extend(
                (reader.phase, reader.heads, reader.body_bytes, reader._head_fed)
                for reader in (one._reader for one in http.server._shared.connections)
            )
        )
        return found

    before = fed()
    wire.send(part)
    until(lambda: fed() != before)


def test_an_idle_connection_is_kept_until_its_time_is_over(clock: Clock):
    with serving(Echo(), LIMITS) as http, http.connect() as wire:
        answered(wire)
        clock.pass_(http, 40)
        answered(wire)  # and its time begins anew
        clock.pass_(http, 40)
        answered(wire)
        clock.pass_(http, 40.1)
        assert wire.closed()
        until(lambda: http.connections() == 0)  # without waiting for the client's own goodbye


def test_a_head_has_its_time_from_its_first_byte(clock: Clock):
    with serving(Echo(), LIMITS) as http, http.connect() as wire:
        answered(wire)
        clock.pass_(http, 30)
        begun(http, wire, get()[:-2])
        clock.pass_(http, 10)
        answered(wire, b"\r\n")
        begun(http, wire, get()[:-2])
        clock.pass_(http, 9)
        begun(http, wire, b"a: b\r\n")
        clock.pass_(http, 1.1)
        response = wire.read()
        assert (response.status, b"within 10 seconds" in response.body) == (408, True)
        assert wire.closed()


@pytest.mark.parametrize("first", [post(b"abc")[:-3], post(b"abc")[:-2]], ids=["none of it", "a byte of it"])
def test_a_body_has_its_time_from_its_last_byte(clock: Clock, first: bytes):
    with serving(Echo(), LIMITS) as http, http.connect() as wire:
        answered(wire)
        clock.pass_(http, 30)
        begun(http, wire, first)
        clock.pass_(http, 20)
        begun(http, wire, post(b"abc")[len(first) :][:1])
        clock.pass_(http, 20)
        answered(wire, post(b"abc")[len(first) + 1 :])
        begun(http, wire, first)
        clock.pass_(http, 20.1)
        response = wire.read()
        assert (response.status, b"within 20 seconds" in response.body) == (408, True)


def test_a_request_of_one_read_after_another_begins_anew(clock: Clock):
    """The half head behind an answered request is as old as the read that brought it, not as the connection."""
    with serving(Echo(), LIMITS) as http, http.connect() as wire:
        answered(wire)
        clock.pass_(http, 35)
        wire.send(get() + get()[:-2])
        assert wire.read().status == 200
        clock.pass_(http, 10)
        answered(wire, b"\r\n")


def test_whoever_waits_for_an_answer_is_never_cut_off(clock: Clock):
    hold = Hold()
    with serving(hold, LIMITS) as http, http.connect() as wire:
        wire.send(get("/hold"))
        hold.wait()
        clock.pass_(http, 10_000)
        hold.answer(http)
        assert wire.read().body == b"held"
        clock.pass_(http, 40)
        answered(wire)


def test_whoever_reads_slowly_is_not_cut_off_and_whoever_does_not_read_is(clock: Clock):
    size = 30 << 20

    def large(exchange: Exchange) -> None:
        exchange.respond(200, bytes(size))

    def unsent() -> int:
        counts: list[int] = []
        connections = http.server._shared.connections
        http.call(lambda: counts.extend(one._transport.get_write_buffer_size() for one in connections))  # type: ignore[union-attr]
        return sum(counts)

    with serving(large, LIMITS) as http, http.connect() as wire:
        wire.send(get())
        until(lambda: unsent() > 0)
        for _ in range(4):
            clock.pass_(http, 30)
            before = unsent()
            until(lambda before=before: bool(wire.socket.recv(1 << 20)) and unsent() < before)
        clock.pass_(http, 30)
        clock.pass_(http, 40)
        assert http.connections() == 1
        clock.pass_(http, 0.1)
        until(lambda: http.connections() == 0)


def test_a_refused_client_has_five_seconds_to_read_why(clock: Clock):
    with serving(Echo(), LIMITS) as http, http.connect() as wire:
        wire.send(b"nonsense\r\n\r\n")
        assert wire.read().status == 400
        clock.pass_(http, 5)
        assert http.connections() == 1
        clock.pass_(http, 0.1)
        until(lambda: http.connections() == 0)


def test_a_silent_connection_too_many_has_five_seconds_to_ask(clock: Clock):
    limits = HttpLimits(head_timeout_secs=10, body_timeout_secs=20, idle_timeout_secs=40, max_connections=1)
    with serving(Echo(), limits) as http, http.connect() as wire, http.connect() as surplus:
        until(lambda: http.connections() == 2)
        clock.pass_(http, 5)
        assert http.connections() == 2
        clock.pass_(http, 0.1)
        assert surplus.closed()
        until(lambda: http.connections() == 1)
        answered(wire)


def test_memory_is_given_back_after_large_bodies_and_not_all_the_time(clock: Clock, monkeypatch: pytest.MonkeyPatch):
    trimmed: list[float] = []
    monkeypatch.setattr(server, "trim_heap", lambda: trimmed.append(clock.now))

    def use(count: int) -> None:
        def take_and_give_back() -> None:
            assert http.budget.reserve(count)
            http.budget.release(count)

        http.call(take_and_give_back)

    def looked() -> None:
        for _ in range(3):
            asked = clock.asked
            until(lambda asked=asked: clock.asked > asked)

    with serving(Echo(), HttpLimits(idle_timeout_secs=0.01)) as http:
        clock.now += 11
        use(64 << 20)
        looked()
        assert trimmed == []
        use(1 << 20)
        until(lambda: len(trimmed) == 1)
        looked()
        use(70 << 20)
        clock.now += 9
        looked()
        assert len(trimmed) == 1
        clock.now += 2
        until(lambda: len(trimmed) == 2)
        clock.now += 100
        looked()
        assert len(trimmed) == 2
        http.call(http.server.close)
        asked = clock.asked
        with pytest.raises(ConnectionError):
            http.connect()
        assert clock.asked == asked
