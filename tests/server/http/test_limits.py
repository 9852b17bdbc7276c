"""What one client may cost: time, bytes, connections."""

import contextlib
import dataclasses

import pytest

from http_wire import Echo, Hold, chunked, get, post, serving
from tcli_server.protocols.budget import ByteBudget
from tcli_server.protocols.http.limits import MAX_CHUNKS, MAX_HEAD_BYTES, MAX_HEADERS, HttpLimits
from waiting import until

NEVER = HttpLimits(head_timeout_secs=3600, body_timeout_secs=3600, idle_timeout_secs=3600)
CHUNKED = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"


def limits(**changes: float) -> HttpLimits:
    return dataclasses.replace(NEVER, **changes)


def test_a_budget_is_never_exceeded_and_tells_when_there_is_memory_to_give_back():
    budget = ByteBudget(1 << 20)
    assert budget.reserve(1 << 20)
    assert not budget.reserve(1)
    budget.release(1000)
    assert (budget.held, budget.freed) == ((1 << 20) - 1000, 0)  # small ones the allocator uses again
    assert budget.reserve(1000)
    for _ in range(2):
        budget.release(1 << 19)
    assert (budget.held, budget.freed) == (0, 1 << 20)


def test_the_limits_that_a_server_has_unless_told_otherwise():
    assert dataclasses.asdict(HttpLimits()) == {
        "head_timeout_secs": 30,
        "body_timeout_secs": 30,
        "idle_timeout_secs": 75,
        "max_body_size": 2 << 30,
        "max_connections": 4096,
    }


@pytest.mark.parametrize(
    ("changes", "seconds"),
    [
        ({}, 1),
        ({"head_timeout_secs": 0.4}, 0.1),
        ({"body_timeout_secs": 0.4}, 0.1),
        ({"idle_timeout_secs": 0.4}, 0.1),
        ({"idle_timeout_secs": 0.001}, 0.01),
    ],
)
def test_connections_are_looked_at_often_enough(changes: dict[str, float], seconds: float):
    assert limits(**changes).sweep_secs() == pytest.approx(seconds)


# --- time ---


def test_a_head_that_does_not_end_in_time_is_answered_408():
    with serving(Echo(), limits(head_timeout_secs=0.1)) as http, http.connect() as wire:
        wire.send(get("/before") + get("/slow")[:-2])
        assert wire.read().status == 200
        response = wire.read()
        assert (response.status, response.headers["connection"]) == (408, "close")
        assert b"headers" in response.body
        assert wire.closed()


def test_a_head_that_trickles_in_does_not_get_more_time():
    with serving(Echo(), limits(head_timeout_secs=0.3)) as http, http.connect() as wire:
        wire.send(b"GET / HTTP/1.1\r\nHost: x\r\n")
        while wire.silent(0.02):
            wire.send(b"a: b\r\n")
        assert wire.read().status == 408


@pytest.mark.parametrize(
    "start", [post(b"x" * 100)[:-50], CHUNKED + b"5\r\nab", CHUNKED + b"2\r\nab\r\n0\r\nTrailer: "]
)
def test_a_body_that_does_not_come_is_answered_408(start: bytes):
    with serving(Echo(), limits(body_timeout_secs=0.1)) as http:
        with http.connect() as wire:
            wire.send(start)
            response = wire.read()
            assert (response.status, response.headers["connection"]) == (408, "close")
            assert b"body" in response.body
            assert wire.closed()
            assert http.budget.held == 0
        until(lambda: http.connections() == 0)
        assert http.budget.held == 0


def test_a_body_may_take_long_as_long_as_it_comes():
    with serving(Echo(), limits(body_timeout_secs=2)) as http, http.connect() as wire:
        request = post(b"x" * 25)
        wire.send(request[:-25])
        for _ in range(25):
            assert wire.silent(0.1)
            wire.send(b"x")
        assert wire.read().body == b"POST / 25"


def test_an_idle_connection_closes_without_a_word():
    with serving(Echo(), limits(idle_timeout_secs=0.1)) as http:
        with http.connect() as wire:
            assert wire.closed()
        with http.connect() as wire:
            wire.send(get())
            assert wire.read().status == 200
            assert wire.closed()


def test_a_request_may_take_longer_to_answer_than_its_client_may_be_idle():
    hold = Hold()
    with serving(hold, limits(idle_timeout_secs=0.1, head_timeout_secs=0.1)) as http, http.connect() as wire:
        wire.send(get("/hold"))
        hold.wait()
        assert wire.silent(0.5)
        hold.answer(http)
        assert wire.read().body == b"held"
        assert hold.gone == []


def test_a_client_that_does_not_read_its_answer_is_cut_off():
    answer = b"x" * (50 << 20)
    with serving(lambda exchange: exchange.respond(200, answer), limits(idle_timeout_secs=0.2)) as http:
        wire = http.connect()
        wire.send(get())
        with contextlib.suppress(ConnectionError):  # it gets what was under way, and no more
            received = 0
            assert not wire.silent(5)
            until(lambda: http.connections() == 0)
            while data := wire.socket.recv(1 << 20):
                received += len(data)
            assert received < len(answer)


# --- bytes ---


@pytest.mark.parametrize("size", [1000, 1001])
def test_the_largest_body(size: int):
    with serving(Echo(), limits(max_body_size=1000)) as http:
        for request in (post(b"x" * size), chunked(b"x" * 500, b"x" * (size - 500))):
            with http.connect() as wire:
                wire.send(request)
                response = wire.read()
                assert response.status == (200 if size == 1000 else 413)
                if size > 1000:
                    assert b"1000 bytes" in response.body
                    assert b"--http-max-body-size" in response.body


def test_a_body_that_is_too_large_is_refused_before_it_is_sent():
    echo = Echo()
    with serving(echo, limits(max_body_size=1000)) as http, http.connect() as wire:
        wire.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1001\r\nExpect: 100-continue\r\n\r\n")
        assert wire.read().status == 413
    assert not echo.exchanges


def test_a_length_is_what_its_digits_say_however_many_they_are():
    for length in (b"1001", b"0" * 16 + b"1001", b"0" * 6000 + b"1001", b"9" * 19):
        with serving(Echo(), limits(max_body_size=1000)) as http, http.connect() as wire:
            wire.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %b\r\n\r\n" % length)
            assert wire.read().status == 413


def test_a_client_that_sends_all_of_a_refused_body_first_still_reads_why():
    with serving(Echo(), limits(max_body_size=1000)) as http, http.connect() as wire:
        wire.socket.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % (50 << 20))
        for _ in range(50):
            wire.socket.sendall(b"x" * (1 << 20))
        assert wire.read().status == 413
        assert wire.closed()


def test_a_refused_client_that_says_goodbye_is_not_waited_for(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("tcli_server.protocols.http.connection.LINGER_SECS", 3600)
    with serving(Echo(), limits(max_body_size=10)) as http:
        with http.connect() as wire:
            wire.send(post(b"x" * 11)[:-11])
            assert wire.read().status == 413
            wire.half_close()
            assert wire.closed()
        until(lambda: not http.connections())


def test_request_bodies_take_a_quarter_of_the_memory_at_most(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("tcli_server.protocols.http.server.usable_memory", lambda: 4000)
    for size, status in ((1000, 200), (1001, 503)):
        with serving(Echo(), NEVER, budget=None) as http, http.connect() as wire:
            wire.send(post(b"x" * size))
            assert wire.read().status == status


def test_all_connections_share_a_budget_of_body_bytes():
    hold = Hold()
    with serving(hold, NEVER, budget=1000) as http, http.connect() as one, http.connect() as other:
        one.send(post(b"x" * 600, "/hold"))
        hold.wait()
        other.send(post(b"x" * 500))
        response = other.read()
        assert (response.status, response.headers["connection"]) == (503, "close")
        hold.answer(http)
        assert one.read().status == 200
        assert http.budget.held == 0
        one.send(post(b"x" * 1000))
        assert one.read().status == 200


@pytest.mark.parametrize("leave", ["close", "reset", "half close"])
@pytest.mark.parametrize(
    "sent", [post(b"x" * 900)[:-300], chunked(b"x" * 600)[:-5], post(b"x" * 400, "/hold") + post(b"x" * 300)]
)
def test_a_client_that_leaves_gives_its_share_back(sent: bytes, leave: str):
    hold = Hold()
    with serving(hold, NEVER, budget=1000) as http:
        wire = http.connect()
        wire.send(sent)
        if b"/hold" in sent:
            hold.wait()
        if leave == "half close":
            wire.half_close()
            if hold.held:
                hold.answer(http)
            assert wire.read_all() or b"/hold" not in sent
        elif leave == "reset":
            wire.reset()
        else:
            wire.socket.close()
        if leave == "close" and hold.held:  # not told from a half close before something is sent
            hold.answer(http)
        until(lambda: http.connections() == 0)
        assert http.budget.held == 0


def test_65536_chunks_are_allowed():
    with serving(Echo(), NEVER) as http, http.connect() as wire:
        wire.send(CHUNKED + b"1\r\nx\r\n" * MAX_CHUNKS + b"0\r\n\r\n")
        assert wire.read().body == b"POST / 65536"
        wire.send(get("/next"))
        assert wire.read().status == 200


@pytest.mark.parametrize("pause", [False, True], ids=["at once", "slowly"])
def test_65537_chunks_are_not(pause: bool):
    with serving(Echo(), NEVER) as http, http.connect() as wire:
        wire.send(CHUNKED)
        for start in range(0, MAX_CHUNKS, 4096):
            wire.send(b"1\r\nx\r\n" * min(4096, MAX_CHUNKS - start))
            if pause:
                assert wire.silent(0.01)
        wire.send(b"1\r\nx\r\n")
        response = wire.read()
        assert response.status == 400
        assert b"65536 chunks" in response.body
        assert wire.closed()


@pytest.mark.parametrize("extra", [-100, 100])
def test_the_largest_head(extra: int):
    request = get("/", "A: " + "b" * (MAX_HEAD_BYTES + extra - 40) + "\r\n")
    with serving(Echo(), NEVER) as http:
        for piece in (len(request), 1000):
            with http.connect() as wire:
                for start in range(0, len(request), piece):
                    wire.send(request[start : start + piece])
                assert wire.read().status == (200 if extra < 0 else 431)


@pytest.mark.parametrize(("extra", "status"), [(-200, 200), (100, 431)])
def test_the_largest_head_of_many_headers(extra: int, status: int):
    lines = "".join(f"a{number:03}: {'b' * 320}\r\n" for number in range(199))
    lines += f"last: {'b' * (MAX_HEAD_BYTES + extra - len(lines) - 20)}\r\n"
    request = get("/", lines)
    with serving(Echo(), NEVER) as http, http.connect() as wire:
        for start in range(0, len(request), 1000):
            wire.send(request[start : start + 1000])
        assert wire.read().status == status


@pytest.mark.parametrize("piece", [MAX_HEAD_BYTES + 1, 1000])
def test_a_head_is_bounded_before_it_ends(piece: int):
    head = get("/", "A: " + "b" * MAX_HEAD_BYTES)[: MAX_HEAD_BYTES + 1]
    with serving(Echo(), NEVER) as http, http.connect() as wire:
        wire.send(get())
        assert wire.read().status == 200
        for start in range(0, MAX_HEAD_BYTES, piece):
            wire.send(head[start : min(start + piece, MAX_HEAD_BYTES)])
        assert wire.silent(0.1)
        wire.send(head[MAX_HEAD_BYTES:])
        assert wire.read().status == 431


def test_a_request_line_without_end_is_refused():
    with serving(Echo(), NEVER) as http, http.connect() as wire:
        wire.send(b"GET /" + b"a" * 200_000)
        assert wire.read().status == 431


@pytest.mark.parametrize("name", [b"a%d", b"a"], ids=["different", "the same"])
def test_too_many_headers_are_refused(name: bytes):
    def request(count: int) -> bytes:
        lines = b"".join((name % number if b"%" in name else name) + b": b\r\n" for number in range(count - 1))
        return b"GET / HTTP/1.1\r\nHost: x\r\n" + lines + b"\r\n"

    with serving(Echo(), NEVER) as http, http.connect() as wire:
        wire.send(request(MAX_HEADERS) + request(MAX_HEADERS + 1))
        assert [response.status for response in wire.read_all()] == [200, 431]


@pytest.mark.parametrize(
    ("start", "more"), [(b"5;", b"a" * 1000), (b"0\r\n", b"a: b\r\n" * 100), (b"0\r\na: ", b"b" * 1000)],
    ids=["extension", "trailers", "one trailer"],
)  # fmt: skip
def test_extensions_and_trailers_without_end_are_refused(start: bytes, more: bytes):
    with serving(Echo(), NEVER) as http, http.connect() as wire:
        wire.send(CHUNKED + start)
        with contextlib.suppress(ConnectionError):
            for _ in range(1000):
                wire.socket.sendall(more)
        assert wire.read().status == 431


# --- connections ---


def test_connections_beyond_the_limit_are_answered_503_and_those_before_go_on():
    with serving(Echo(), limits(max_connections=2)) as http:
        with http.connect() as one, http.connect() as two, http.connect() as surplus:
            for wire in (one, two):
                wire.send(get())
                assert wire.read().status == 200
            surplus.send(post(b"x" * 100_000))
            response = surplus.read()
            assert (response.status, response.headers["connection"]) == (503, "close")
            assert b"--http-max-connections" in response.body
            one.send(get())
            assert one.read().status == 200
        until(lambda: http.connections() == 0)
        with http.connect() as wire:
            wire.send(get())
            assert wire.read().status == 200


def test_a_flood_of_connections_does_not_hold_descriptors():
    with serving(Echo(), limits(max_connections=2)) as http, contextlib.ExitStack() as stack:
        wires = [stack.enter_context(http.connect()) for _ in range(2 + 64)]
        until(lambda: http.connections() == 2 + 64)
        for _ in range(100):
            assert stack.enter_context(http.connect()).closed()
        assert http.connections() == 2 + 64
        for wire in wires:  # some that are too many are at least told so
            wire.send(get())
        assert [wire.read().status for wire in wires] == [200, 200] + [503] * 64


def test_the_descriptor_limit_bounds_connections(monkeypatch: pytest.MonkeyPatch):
    resource = pytest.importorskip("resource")
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    monkeypatch.setattr(resource, "getrlimit", lambda _: (400, hard))
    assert HttpLimits().connections() == 300
    assert HttpLimits(max_connections=7).connections() == 7
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1, hard))
    assert HttpLimits().connections() == 1
