"""`Expect: 100-continue`: who is told to go on, when, and how often."""

import pytest

from http_wire import Echo, Hold, chunked, get, post, serving
from tcli_server.protocols.http.limits import HttpLimits

NEVER = HttpLimits(head_timeout_secs=3600, body_timeout_secs=3600, idle_timeout_secs=3600)


def test_continue_is_sent_once_and_after_the_answers_that_are_due():
    hold = Hold()
    with serving(hold, NEVER) as http, http.connect() as wire:
        expecting = post(b"abc", "/body", "Expect: 100-continue\r\n")
        wire.send(get("/hold") + expecting[:-3])
        hold.wait()
        assert wire.silent(0.1)
        hold.answer(http)
        assert wire.read().body == b"held"
        assert wire.read_interim() == b"HTTP/1.1 100 Continue"
        wire.send(expecting[-3:-1])
        assert wire.silent(0.1)
        wire.send(expecting[-1:])
        assert wire.read().body == b"/body"
        assert wire.silent(0.1)


@pytest.mark.parametrize("framed", [post(b"x"), chunked(b"x")], ids=["one byte", "chunked"])
def test_whoever_waits_for_it_is_told_to_continue(framed: bytes):
    request = framed.replace(b"Host: x\r\n", b"Host: x\r\nExpect: 100-Continue\r\n")
    head = request.index(b"\r\n\r\n") + 4
    with serving(Echo(), NEVER) as http, http.connect() as wire:
        for _ in range(2):
            wire.send(request[:head])
            assert wire.read_interim() == b"HTTP/1.1 100 Continue"
            wire.send(request[head:])
            assert wire.read().body == b"POST / 1"


def test_whoever_did_not_wait_for_it_causes_no_continue_later():
    hold = Hold()
    with serving(hold, NEVER) as http, http.connect() as wire:
        wire.send(get("/hold") + post(b"abc", "/", "Expect: 100-continue\r\n") + post(b"abc")[:-3])
        hold.wait()
        hold.answer(http)
        assert [wire.read().status, wire.read().status] == [200, 200]
        assert wire.silent(0.1)
        wire.send(b"abc")
        assert wire.read().status == 200


@pytest.mark.parametrize("request_", [
    post(b"", "/", "Expect: 100-continue\r\n"),
    get("/", "Expect: 100-continue\r\n"),
    post(b"abc", "/", "Expect: 100-continue\r\n"),
    b"POST / HTTP/1.0\r\nConnection: keep-alive\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc",
], ids=["no body", "no length", "body at once", "http 1.0"])  # fmt: skip
def test_nobody_is_told_to_continue_who_does_not_wait(request_: bytes):
    with serving(Echo(), NEVER) as http, http.connect() as wire:
        wire.send(request_)
        assert wire.read().status == 200
        assert wire.silent(0.1)
