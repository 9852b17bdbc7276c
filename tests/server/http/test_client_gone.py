"""A client that leaves before it has its answer: who works for it is told, and nothing of it stays."""

import gc
import logging
import threading
import weakref

import pytest

from http_wire import Hold, get, post, serving
from tcli_server.protocols.http.exchange import Exchange
from tcli_server.protocols.http.limits import HttpLimits
from waiting import until


def test_a_lost_connection_is_told_at_once():
    hold = Hold()
    with serving(hold) as http:
        wire = http.connect()
        wire.send(get("/hold"))
        hold.wait()
        wire.reset()
        assert hold.wait_gone() == (b"/hold", True)


def test_an_end_of_input_may_be_a_half_close():
    hold = Hold()
    with serving(hold) as http, http.connect() as wire:
        wire.send(get("/hold"))
        hold.wait()
        wire.half_close()
        assert hold.wait_gone() == (b"/hold", False)
        hold.answer(http)
        response = wire.read()
        assert (response.body, response.headers["connection"]) == (b"held", "close")
        assert wire.closed()
        assert len(hold.gone) == 1


class Told:
    """A handler that answers nothing and wants to hear everything of its client."""

    def __init__(self) -> None:
        self.arrived = threading.Event()
        self.lost: list[bool] = []
        self.exchanges: list[Exchange] = []

    def __call__(self, exchange: Exchange) -> None:
        self.exchanges.append(exchange)
        exchange.on_gone = self._hear
        self.arrived.set()

    def _hear(self, lost: bool) -> None:
        self.lost.append(lost)
        self.exchanges[0].on_gone = self._hear


def test_a_client_that_closed_as_most_do_when_they_end_is_told_to_be_lost_while_its_request_runs():
    told = Told()
    with serving(told) as http:
        with http.connect() as wire:
            wire.send(get())
            assert told.arrived.wait(60)
        until(lambda: http.connections() == 0)
    assert told.lost == [False, True]


def test_a_half_closed_client_is_asked_once_whether_it_is_there_and_stays():
    told = Told()
    with serving(told) as http, http.connect() as wire:
        wire.send(get())
        wire.half_close()
        assert wire.read_interim() == b"HTTP/1.1 100 Continue"
        assert wire.silent(0.5)  # several looks later
        http.call(lambda: told.exchanges[0].respond(200, b"{}"))
        assert wire.rest().startswith(b"HTTP/1.1 200 OK")
    assert told.lost == [False]


def test_a_client_of_http_1_0_is_sent_nothing_that_it_does_not_know():
    told = Told()
    with serving(told) as http, http.connect() as wire:
        wire.send(b"GET / HTTP/1.0\r\n\r\n")
        wire.half_close()
        until(lambda: told.lost == [False])
        http.call(lambda: told.exchanges[0].respond(200, b"{}"))
        assert wire.rest().startswith(b"HTTP/1.1 200 OK")


def test_a_response_that_has_begun_is_not_interrupted_and_its_reader_is_missed_all_the_same():
    told = Told()
    with serving(told) as http:
        with http.connect() as wire:
            wire.send(get())
            assert told.arrived.wait(60)
            http.call(lambda: told.exchanges[0].begin(200, b""))
            assert wire.read_interim().startswith(b"HTTP/1.1 200 OK")
        until(lambda: told.lost == [False])
        http.call(lambda: told.exchanges[0].write(b"one"))  # what comes back is a reset
        until(lambda: http.connections() == 0)
    assert told.lost == [False, True]


def test_it_is_told_only_once():
    hold = Hold()
    with serving(hold) as http:
        wire = http.connect()
        wire.send(get("/hold"))
        hold.wait()
        wire.half_close()
        hold.wait_gone()
        wire.reset()
        hold.answer(http)  # what is sent now finds the connection reset
        until(lambda: http.connections() == 0)
    assert hold.gone == [(b"/hold", False)]


def test_whoever_half_closes_still_gets_all_answers():
    hold = Hold()
    with serving(hold) as http, http.connect() as wire:
        wire.send(get("/1") + get("/hold/2") + get("/3") + get("/hold/4") + get("/5")[:-2])
        wire.half_close()
        for _ in range(2):
            hold.wait()
            hold.answer(http)
        responses = wire.read_all()
    assert [response.body for response in responses] == [b"/1", b"held", b"/3", b"held"]
    assert [response.headers.get("connection") for response in responses] == [None, None, None, "close"]


def test_half_a_request_before_a_half_close_is_dropped_and_the_connection_ends():
    hold = Hold()
    never = HttpLimits(head_timeout_secs=3600, body_timeout_secs=3600, idle_timeout_secs=3600)
    with serving(hold, never) as http, http.connect() as wire:
        wire.send(get("/hold") + post(b"x" * 400_000)[:-1])
        hold.wait()
        wire.half_close()
        hold.answer(http)
        assert [response.body for response in wire.read_all()] == [b"held"]


def test_every_request_behind_a_half_close_has_its_own_moment():
    hold = Hold()
    with serving(hold) as http, http.connect() as wire:
        wire.send(get("/hold/1") + get("/hold/2"))
        wire.half_close()
        hold.wait()
        assert hold.wait_gone() == (b"/hold/1", False)
        hold.answer(http)
        hold.wait()
        hold.answer(http)  # well within 50 ms, or else it was told: both are right
        assert [response.status for response in wire.read_all()] == [200, 200]
        assert set(hold.gone) <= {(b"/hold/1", False), (b"/hold/2", False)}


def test_an_answered_request_is_not_told():
    hold = Hold()
    with serving(hold) as http:
        with http.connect() as wire:
            wire.send(get("/hold"))
            hold.wait()
            hold.answer(http)
            assert wire.read().status == 200
        until(lambda: http.connections() == 0)
    assert hold.gone == []


def test_requests_that_wait_are_dropped_with_their_connection():
    hold = Hold()
    with serving(hold) as http:
        wire = http.connect()
        wire.send(get("/hold/1") + get("/hold/2") + post(b"x" * 1000, "/hold/3"))
        hold.wait()
        wire.reset()
        hold.wait_gone()
        hold.answer(http)
        until(lambda: http.connections() == 0)
        assert hold.gone == [(b"/hold/1", True)]
        assert hold.held == []
        assert http.budget.held == 0


def test_a_body_that_is_still_needed_is_kept_until_the_answer():
    needed: list[Exchange] = []
    arrived = threading.Semaphore(0)

    def keep(exchange: Exchange) -> None:
        exchange.keeps_body = True
        needed.append(exchange)
        arrived.release()

    with serving(keep) as http:
        wire = http.connect()
        wire.send(post(b"x" * 1000))
        assert arrived.acquire(timeout=60)
        wire.reset()
        until(lambda: http.connections() == 0)
        assert (needed[0].body, http.budget.held) == (b"x" * 1000, 1000)
        http.call(lambda: needed[0].respond(200))
        assert (needed[0].body, http.budget.held) == (b"", 0)


def test_a_handler_that_fails_when_told_harms_nobody(caplog: pytest.LogCaptureFixture):
    told = threading.Event()

    def fail(lost: bool) -> None:
        told.set()
        raise KeyError(lost)

    def handler(exchange: Exchange) -> None:
        if exchange.path == b"/fail":
            exchange.on_gone = fail
        else:
            exchange.respond(200)

    with caplog.at_level(logging.ERROR), serving(handler) as http, http.connect() as other:
        wire = http.connect()
        wire.send(get("/fail"))
        other.send(get())
        assert other.read().status == 200
        wire.reset()
        assert told.wait(60)
        other.send(get())
        assert other.read().status == 200
    assert [record.exc_info is not None for record in caplog.records] == [True]


@pytest.mark.parametrize("sent", [b"", get(), post(b"x" * 100)[:-1], b"GET / HT", b"nonsense\r\n\r\n"])
def test_a_connection_that_ended_needs_no_garbage_collection(sent: bytes):
    seen: list[weakref.ref[object]] = []

    with serving(lambda exchange: exchange.respond(200)) as http:
        gc.disable()
        try:
            with http.connect() as wire:
                wire.send(sent)
                until(lambda: http.connections() == 1)
                http.call(lambda: seen.extend(weakref.ref(one._reader) for one in http.server._shared.connections))
            until(lambda: http.connections() == 0)
            until(lambda: seen[0]() is None)
        finally:
            gc.enable()


def test_requests_that_waited_need_none_either():
    seen: list[weakref.ref[object]] = []
    waiting: list[int] = []

    with serving(lambda _: None) as http:

        def look() -> bool:
            http.call(lambda: waiting.extend(len(one._waiting) for one in http.server._shared.connections))
            return waiting[-1:] == [2]

        gc.disable()
        try:
            wire = http.connect()
            wire.send(get() * 3)
            until(look)
            http.call(lambda: seen.extend(map(weakref.ref, http.server._shared.connections)))
            wire.reset()
            until(lambda: http.connections() == 0)
            until(lambda: seen[0]() is None)
        finally:
            gc.enable()
