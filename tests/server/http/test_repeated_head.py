"""A head that comes again is not parsed again; nobody may notice."""

from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from http_wire import Echo, post, serving
from tcli_server.protocols.budget import ByteBudget
from tcli_server.protocols.http.exchange import Body, Exchange, Parts
from tcli_server.protocols.http.limits import HttpLimits
from tcli_server.protocols.http.reader import BETWEEN, RequestReader

HEADS = ("", "Inference-Header-Content-Length: 7\r\n", "X-Trace: a\r\nX-Trace: b\r\n", "Expect: 100-continue\r\n")


@dataclass
class Heard:
    """Takes what a reader reads, as a connection does."""

    requests: list[tuple[bytes, bytes, dict[bytes, bytes], Body]] = field(default_factory=list)
    refused: list[tuple[int, str]] = field(default_factory=list)

    def received(self, exchange: Exchange) -> None:
        self.requests.append((exchange.method, exchange.path, dict(exchange.headers), bytes(exchange.body)))

    def expects_continue(self) -> None: ...

    def refuse(self, status: int, message: str, headers: bytes) -> None:  # noqa: ARG002
        self.refused.append((status, message))

    def finish(self, exchange: Exchange, status: int, length: int, headers: bytes, parts: Parts) -> None: ...

    def begin(self, exchange: Exchange, status: int, headers: bytes) -> None: ...

    def write(self, exchange: Exchange, piece: bytes) -> bool:  # noqa: ARG002
        return True

    def end(self, exchange: Exchange) -> None: ...

    def drop_body(self, exchange: Exchange) -> None: ...


def read(pieces: list[bytes]) -> tuple[Heard, RequestReader]:
    heard = Heard()
    reader = RequestReader(heard, HttpLimits(max_body_size=1000), ByteBudget(1 << 20))
    for piece in pieces:
        again = reader.again(piece)  # as a connection does that has nothing else to do
        if again is None:
            reader.feed(piece)
        else:
            heard.received(again)
    return heard, reader


@st.composite
def requests(draw: st.DrawFn) -> list[bytes]:
    """Few heads and sizes, so that many are as those before."""
    bodies = st.sampled_from((b"", b"seven77", b"\r\n\r\nabc", b"GET / H", b"x" * 40))
    one = st.builds(post, bodies, st.sampled_from(("/a", "/b")), st.sampled_from(HEADS))
    return draw(st.lists(st.one_of(one, st.just(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")), min_size=1, max_size=8))


def cut(data: bytes, places: list[int]) -> list[bytes]:
    ends = sorted({place % (len(data) + 1) for place in places} | {0, len(data)})
    return [data[start:end] for start, end in pairwise(ends)]


@given(requests(), st.lists(st.integers(0, 5000), max_size=6), st.booleans())
def test_requests_are_read_alike_however_they_are_cut(sent: list[bytes], places: list[int], one_by_one: bool):
    expected = [request for alone in sent for request in read([alone])[0].requests]
    pieces = sent if one_by_one else cut(b"".join(sent), places)
    heard, reader = read(pieces)
    assert heard.requests == expected
    assert not heard.refused
    assert reader.phase is BETWEEN
    assert reader.heads == len(sent)


@given(st.lists(st.sampled_from((1, 2, 3)), min_size=1, max_size=8))
def test_head_and_body_may_come_apart_or_together_at_any_time(ways: list[int]):
    pieces: list[bytes] = []
    for number, way in enumerate(ways):
        whole = post(b"body %02d" % number)
        places = {1: [], 2: [whole.index(b"body")], 3: [whole.index(b"body"), len(whole) - 1]}[way]
        pieces += cut(whole, places)
    heard, _ = read(pieces)
    assert [body for _, _, _, body in heard.requests] == [b"body %02d" % number for number in range(len(ways))]


def test_a_server_that_turns_away_does_so_whatever_came_before():
    heard, reader = read([post(b"one"), post(b"two")])
    reader.turned_away = (503, "draining")
    reader.feed(post(b"six"))
    assert len(heard.requests) == 2
    assert heard.refused == [(503, "draining")]


def test_what_is_held_of_bodies_is_counted_whichever_way_they_came():
    heard = Heard()
    budget = ByteBudget(10)
    reader = RequestReader(heard, HttpLimits(), budget)
    for _ in range(3):  # nobody gives back what the first two hold
        reader.feed(post(b"1234"))
    assert len(heard.requests) == 2
    assert [status for status, _ in heard.refused] == [503]


def test_a_connection_that_repeats_itself_is_answered_each_time():
    echo = Echo()
    with serving(echo) as running, running.connect() as wire:
        for number in range(5):
            wire.send(post(b"%d" % number, "/same"))
            assert wire.read().body == b"POST /same 1"
        head, body = post(b"5", "/same")[:-1], b"5"
        wire.send(head)
        wire.send(body)
        assert wire.read().body == b"POST /same 1"
        assert running.budget.held == 0
    assert [bytes(body) for body in echo.bodies] == [b"%d" % number for number in range(6)]


@pytest.mark.parametrize("empty", [b"\r\n\r\n", b"\n\r\n\r\n"])
def test_empty_lines_before_a_request_are_not_taken_for_its_head(empty: bytes):
    first = empty + post(b"x" * 60)
    missing = len(first) - len(empty) - 60  # comes later: behind the empty lines are as many bytes as the body has
    second = empty + post(b"y" * (60 - missing))
    assert len(second) == len(empty) + 60
    heard, _ = read([first[:-missing], first[-missing:], second])
    assert [(path, body) for _, path, _, body in heard.requests] == [(b"/", b"x" * 60), (b"/", b"y" * (60 - missing))]
