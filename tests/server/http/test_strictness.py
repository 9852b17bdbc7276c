"""What a client may write and what it may not: as nginx, and strict where two servers could disagree."""

import logging
from collections.abc import Iterator

import pytest

from http_wire import Echo, Hold, Running, chunked, get, post, serving

NEXT = get("/next")


@pytest.fixture
def echo() -> Echo:
    return Echo()


@pytest.fixture
def http(echo: Echo) -> Iterator[Running]:
    with serving(echo) as running:
        yield running


def statuses(http: Running, request: bytes) -> list[int]:
    """The answers to these bytes and to one more request behind them, until the server closes."""
    with http.connect() as wire:
        wire.send(request + NEXT)
        wire.half_close()
        return [response.status for response in wire.read_all()]


UPGRADE = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"


@pytest.mark.parametrize("pieces", [1, 7, 10_000])
@pytest.mark.parametrize("body", [b"", b"abc", b"x" * 100_000], ids=["none", "small", "large"])
def test_an_offered_upgrade_is_ignored(http: Running, echo: Echo, body: bytes, pieces: int):
    """Java's HttpClient and `curl --http2` send this with every first request."""
    request = post(body, "/up", UPGRADE) + NEXT
    with http.connect() as wire:
        for start in range(0, len(request), len(request) // pieces + 1):
            wire.send(request[start : start + len(request) // pieces + 1])
        assert wire.read().body == b"POST /up %d" % len(body)
        assert wire.read().body == b"GET /next 0"
        assert wire.silent(0.1)
    assert echo.bodies[0] == body
    assert echo.exchanges[0].headers[b"http2-settings"] == b"AAMAAABkAAQAAP__"


def test_an_offered_upgrade_with_a_chunked_body_is_ignored(http: Running, echo: Echo):
    request = chunked(b"abc", b"def", path="/up").replace(b"Host: x\r\n", b"Host: x\r\n" + UPGRADE.encode())
    assert statuses(http, request * 3) == [200] * 4
    assert echo.bodies == [b"abcdef"] * 3 + [b""]


@pytest.mark.parametrize("upgrade", ["websocket", "TLS/1.0", "h2c, foo", ""])
def test_other_protocols_are_ignored_too(http: Running, echo: Echo, upgrade: str):
    request = post(b"abc", "/", f"Connection: upgrade\r\nUpgrade: {upgrade}\r\n")
    assert statuses(http, request) == [200, 200]
    assert echo.bodies[0] == b"abc"


def test_an_offered_upgrade_without_a_body_is_ignored(http: Running):
    assert statuses(http, get("/up", UPGRADE) * 2) == [200] * 3
    with http.connect() as wire:  # nothing behind it is needed for the answer
        wire.send(get("/up", UPGRADE))
        assert wire.read().body == b"GET /up 0"


def test_an_upgrade_and_close(http: Running, echo: Echo):
    request = post(b"abc", "/", "Connection: upgrade, close\r\nUpgrade: h2c\r\n")
    assert statuses(http, request) == [200]
    assert echo.bodies == [b"abc"]


def test_connect_is_refused(http: Running):
    assert statuses(http, b"CONNECT example.org:80 HTTP/1.1\r\nHost: example.org\r\n\r\n") == [405]


@pytest.mark.parametrize(("target", "path"), [
    ("http://x/v2/models/m", b"/v2/models/m"), ("http://x:8000/v2?a=b", b"/v2?a=b"), ("HTTPS://x", b"/"), ("http://x?a", b"/?a"),
])  # fmt: skip
def test_absolute_targets(http: Running, echo: Echo, target: str, path: bytes):
    assert statuses(http, get(target)) == [200, 200]
    assert echo.exchanges[0].path == path


def test_a_target_that_is_no_path(http: Running, echo: Echo):
    assert statuses(http, b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n") == [200, 200]
    assert echo.exchanges[0].path == b"*"


def test_an_absolute_target_of_the_real_server(http_url: str):
    from http_wire import Wire

    host, port = http_url.split(":")
    with Wire(int(port), host) as wire:
        wire.send(get(f"http://{http_url}/v2/health/live"))
        assert wire.read().status == 200


REFUSED = {
    "no host": (b"GET / HTTP/1.1\r\n\r\n", 400),
    "two hosts": (b"GET / HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n", 400),
    "two hosts in another case": (b"GET / HTTP/1.1\r\nHost: x\r\nHOST: y\r\n\r\n", 400),
    "two hosts in 1.0": (b"GET / HTTP/1.0\r\nHost: x\r\nHost: y\r\n\r\n", 400),
    "host list": (b"GET / HTTP/1.1\r\nHost: x, y\r\n\r\n", 400),
    "host with path": (b"GET / HTTP/1.1\r\nHost: x/y\r\n\r\n", 400),
    "http 2": (b"GET / HTTP/2.0\r\nHost: x\r\n\r\n", 505),
    "http 3": (b"GET / HTTP/3.0\r\nHost: x\r\n\r\n", 505),
    "http 0.9": (b"GET / HTTP/0.9\r\nHost: x\r\n\r\n", 400),
    "no version": (b"GET /\r\n\r\n", 400),
    "gzip, chunked": (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
    "chunked, gzip": (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n", 400),
    "chunked twice": (
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400
    ),
    "identity": (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: identity\r\n\r\n", 501),
    "xchunked": (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 501),
    "length, then chunked": (
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400
    ),
    "chunked, then length": (
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n", 400
    ),
    "chunked in 1.0": (b"POST / HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "two lengths": (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc", 400),
    "length list": (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3, 3\r\n\r\nabc", 400),
    "length in a trailer": (chunked(b"abc", trailers=b"Content-Length: 3\r\n"), 400),
    "obs-fold": (b"GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n", 400),
    "bare LF": (b"GET / HTTP/1.1\r\nHost: x\nA: b\r\n\r\n", 400),
    "bare LF only": (b"GET / HTTP/1.1\nHost: x\n\n", 400),
    "lone CR": (b"GET / HTTP/1.1\r\nHost: x\r\nA: b\rC: d\r\n\r\n", 400),
    "lone CR in the request line": (b"GET / HTTP/1.1\rHost: x\r\n\r\n", 400),
    "space before the colon": (b"GET / HTTP/1.1\r\nHost : x\r\n\r\n", 400),
    "space before the name": (b"GET / HTTP/1.1\r\n Host: x\r\n\r\n", 400),
    "no name": (b"GET / HTTP/1.1\r\nHost: x\r\n: b\r\n\r\n", 400),
    "no colon": (b"GET / HTTP/1.1\r\nHost: x\r\nabc\r\n\r\n", 400),
    "chunk longer than said": (
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n0\r\n\r\n", 400
    ),
    "chunk with a bare LF": (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\nabc\n0\n\n", 400),
    "chunk extension with a bare LF": (
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3;a\nabc\r\n0\r\n\r\n", 400
    ),
}  # fmt: skip
REFUSED |= {
    f"length {text}": (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: " + text.encode() + b"\r\n\r\nabc", 400)
    for text in ("+3", "-3", "0x3", "3_0", "", "3 3", "9" * 30)
}
REFUSED |= {
    f"chunk size {text}": (
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + text.encode() + b"\r\nabc\r\n0\r\n\r\n", 400
    )
    for text in ("-3", "+3", "0x3", "3 ", "", "f" * 17)
}  # fmt: skip
REFUSED |= {
    f"character {code} in a header": (b"GET / HTTP/1.1\r\nHost: x\r\nA: b" + bytes([code]) + b"c\r\n\r\n", 400)
    for code in (0, 1, 8, 11, 12, 31, 127)
}
REFUSED |= {
    f"character {code} in a header's name": (b"GET / HTTP/1.1\r\nHost: x\r\nA" + bytes([code]) + b"c: b\r\n\r\n", 400)
    for code in (0, 9, 32, 40, 127, 255)
}
REFUSED |= {
    f"character {code} in the path": (b"GET /a" + bytes([code]) + b"b HTTP/1.1\r\nHost: x\r\n\r\n", 400)
    for code in (0, 1, 9, 13, 127)
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(http: Running, echo: Echo, caplog: pytest.LogCaptureFixture, name: str):
    """One answer, and then the connection is closed: whatever follows could mean anything."""
    request, status = REFUSED[name]
    with caplog.at_level(logging.DEBUG):
        answers = statuses(http, request)
    assert len(answers) == 1
    assert answers[0] == status or (status == 501 and answers[0] == 400)
    assert not echo.exchanges
    assert not caplog.records


ACCEPTED = {
    "empty host": b"GET / HTTP/1.1\r\nHost:\r\n\r\n",
    "ipv6 host": b"GET / HTTP/1.1\r\nHost: [::1]:8000\r\n\r\n",
    "TE list": get("/", "TE: trailers, deflate;q=0.5\r\nConnection: TE\r\n"),
    "chunked in capitals": b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: CHUNKED\r\n\r\n0\r\n\r\n",
    "chunk extensions": (
        b'POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b;c="d"\r\nabc\r\n0;e\r\n\r\n'
    ),
    "zeros before the length": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: " + b"0" * 6000 + b"3\r\n\r\nabc",
    "many zeros as length": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: " + b"0" * 30 + b"\r\n\r\n",
    "empty lines before": b"\r\n\r\n" + get("/"),
    "latin-1 value": b"GET / HTTP/1.1\r\nHost: x\r\nA: \xe4\xff\r\n\r\n",
    "tab in a value": b"GET / HTTP/1.1\r\nHost: x\r\nA: b\tc\r\n\r\n",
    "GET with a body": b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc",
    "expectations of another kind": post(b"abc", "/", "Expect: wonders\r\n"),
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_what_is_accepted(http: Running, name: str):
    assert statuses(http, ACCEPTED[name]) == [200, 200]


def test_trailers_do_not_touch_headers_nor_the_connection(http: Running, echo: Echo):
    trailers = b"Content-Encoding: gzip\r\nHost: y\r\nConnection: close\r\nX: y\r\n"
    assert statuses(http, chunked(b"abc", trailers=trailers) * 2) == [200] * 3
    assert echo.exchanges[0].headers == {b"host": b"x", b"transfer-encoding": b"chunked"}


def test_spaces_around_a_value_do_not_count(http: Running, echo: Echo):
    assert statuses(http, get("/", "A: \t b c \t \r\n")) == [200, 200]
    assert echo.exchanges[0].headers[b"a"] == b"b c"


def test_a_repeated_header_is_a_list(http: Running, echo: Echo):
    statuses(http, get("/", "Accept-Encoding: br\r\naccept-encoding: gzip\r\n"))
    assert echo.exchanges[0].headers[b"accept-encoding"] == b"br, gzip"


def test_http_1_0_closes_unless_asked_to_keep_alive(http: Running):
    with http.connect() as wire:
        wire.send(b"GET /a HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n")
        response = wire.read()
        assert (response.body, response.headers["connection"]) == (b"GET /a 0", "keep-alive")
        wire.send(b"GET /b HTTP/1.0\r\n\r\n")
        response = wire.read()
        assert (response.body, response.headers["connection"]) == (b"GET /b 0", "close")
        assert wire.closed()


@pytest.mark.parametrize("more", [b"nonsense", get("/up", UPGRADE) * 2, post(b"x" * 1000), b"\0" * 100_000])
def test_what_follows_a_last_request_is_ignored(caplog: pytest.LogCaptureFixture, more: bytes):
    hold = Hold()
    with serving(hold) as http, http.connect() as wire:
        wire.send(get("/hold", "Connection: close\r\n") + more)
        hold.wait()
        wire.send(more)
        assert wire.silent(0.05)
        hold.answer(http)
        assert [response.status for response in wire.read_all()] == [200]
        assert (hold.held, http.budget.held) == ([], 0)
    assert not caplog.records


@pytest.mark.parametrize("bad", [b"nonsense\r\n\r\n", get().replace(b"Host", b"Most"), b"x" * 70_000])
def test_a_refusal_waits_for_the_answers_that_are_due(bad: bytes):
    hold = Hold()
    with serving(hold) as http, http.connect() as wire:
        wire.send(get("/hold/1") + get("/hold/2") + bad)
        hold.wait()
        assert wire.silent(0.1)
        hold.answer(http)
        hold.wait()
        hold.answer(http)
        responses = wire.read_all()
    assert [response.status for response in responses[:2]] == [200, 200]
    assert len(responses) == 3
    assert responses[2].status in (400, 431)
    assert [response.headers.get("connection") for response in responses] == [None, None, "close"]


def test_a_large_body_before_half_a_head_is_no_large_head(http: Running):
    with http.connect() as wire:
        wire.send(post(b"x" * 75_000) + NEXT[:20])
        assert wire.read().status == 200
        assert wire.silent(0.1)
        wire.send(NEXT[20:])
        assert wire.read().body == b"GET /next 0"


def test_the_answer_to_a_defect_is_logged_once_and_the_connection_lives_on(caplog: pytest.LogCaptureFixture):
    def fail(exchange) -> None:
        if exchange.path == b"/defect":
            raise KeyError("defect")
        exchange.respond(200)

    with serving(fail) as http, http.connect() as wire:
        wire.send(get("/defect") + get("/next"))
        assert [wire.read().status, wire.read().status] == [500, 200]
    assert [record.exc_info is not None for record in caplog.records] == [True]
