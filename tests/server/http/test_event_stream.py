"""generate_stream: events as they come, as far as the client takes them, and a connection that is good afterwards."""

import gc
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from decoupled_models import DecoupledServer, decoupled_server, flood, response, send
from http_wire import PATIENCE, Wire, get, post
from tcli_server.errors import InternalError, InvalidArgumentError
from tcli_server.protocols.http.event_stream import EventStream
from tcli_server.serving import ServeOptions
from waiting import until

STREAM = "/v2/models/many/generate_stream"
ONE = b'{"INPUT0": [1, 2]}'
EVENTS = "text/event-stream; charset=utf-8"


@pytest.fixture
def served(tmp_path: Path, loopback: ServeOptions) -> Iterator[DecoupledServer]:
    with decoupled_server(tmp_path, loopback) as running:
        yield running


@pytest.fixture
def wire(served: DecoupledServer) -> Iterator["EventWire"]:
    with EventWire(served.http_port) as connected:
        yield connected


class EventWire(Wire):
    """A client that reads a chunked response chunk by chunk."""

    def head(self) -> tuple[int, dict[str, str]]:
        """Status and headers of the next response, whose body is still to come."""
        self._until(b"\r\n\r\n")
        lines, _, self._data = self._data.partition(b"\r\n\r\n")
        status, *rest = lines.decode().split("\r\n")
        return int(status.split()[1]), {name.lower(): value for name, value in (line.split(": ", 1) for line in rest)}

    def chunk(self) -> bytes:
        """The next chunk, empty for the last."""
        self._until(b"\r\n")
        line, _, self._data = self._data.partition(b"\r\n")
        size = int(line, 16)
        while len(self._data) < size + 2:
            self._more()
        chunk, end, self._data = self._data[:size], self._data[size : size + 2], self._data[size + 2 :]
        assert end == b"\r\n"
        return chunk

    def event(self) -> dict | None:
        """The next event, None at the end."""
        chunk = self.chunk()
        if not chunk:
            return None
        assert chunk.startswith(b"data: ")
        assert chunk.endswith(b"\n\n")
        return json.loads(chunk[6:])

    def _until(self, mark: bytes) -> None:
        while mark not in self._data:
            self._more()


def numbers(wire: EventWire) -> Iterator[float]:
    while (event := wire.event()) is not None:
        yield event["OUTPUT0"] if isinstance(event["OUTPUT0"], float) else event["OUTPUT0"][0]


def test_each_response_is_sent_when_it_comes(served: DecoupledServer, wire: EventWire):
    wire.send(post(b'{"INPUT0": [1, 2], "id": "7"}', STREAM))
    request = served.request()
    for number in (1.0, 2.0):
        made = response(number, 1, step=int(number))
        made.id = request.id
        request.send(made, final=False)
        if number == 1.0:
            status, headers = wire.head()
            assert (status, headers) == (200, {"content-type": EVENTS, "transfer-encoding": "chunked"})
        assert wire.event() == {
            "OUTPUT0": number, "step": number, "id": "7", "model_name": "many", "model_version": "1",
        }  # fmt: skip
    assert wire.silent(0.05)
    request.finish()
    assert wire.event() is None
    wire.send(post(ONE, STREAM))  # on the same connection
    send(served.request(), 3.0)
    wire.head()
    assert list(numbers(wire)) == [3.0]


def test_no_response_is_an_empty_stream(served: DecoupledServer, wire: EventWire):
    wire.send(post(ONE, STREAM))
    served.request().finish()
    assert wire.head() == (200, {"content-type": EVENTS, "transfer-encoding": "chunked"})
    assert wire.event() is None


def test_a_model_that_is_not_decoupled_gives_one_event(wire: EventWire):
    wire.send(post(ONE, "/v2/models/free/generate_stream"))
    wire.head()
    assert list(numbers(wire)) == [1.0]


def test_the_model_s_error_first_says_the_status(served: DecoupledServer, wire: EventWire):
    wire.send(post(ONE, STREAM))
    served.request().fail(InternalError("broken"))
    assert wire.head() == (500, {"content-type": EVENTS, "transfer-encoding": "chunked"})
    assert [wire.event(), wire.event()] == [{"error": "broken"}, None]


def test_an_error_after_the_first_response_is_an_event(served: DecoupledServer, wire: EventWire):
    wire.send(post(ONE, STREAM))
    request = served.request()
    request.send(response(1.0), final=False)
    broken = response(2.0)
    broken.outputs["OUTPUT0"] = broken.outputs["OUTPUT0"].astype("float16")
    request.send(broken, final=False)  # no JSON form: the others are not concerned
    request.send(response(3.0), final=False)
    request.fail(InvalidArgumentError("enough"))
    assert wire.head()[0] == 200
    assert wire.event()["OUTPUT0"] == [1.0] * 4
    assert "FP16" in wire.event()["error"]
    assert wire.event()["OUTPUT0"] == [3.0] * 4
    assert [wire.event(), wire.event()] == [{"error": "enough"}, None]


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b"{", 500, "failed to parse"),
        (b"{}", 400, "expected 1 inputs but got 0 inputs"),
        (b'{"INPUT0": "a"}', 500, "FP32"),
    ],
)
def test_a_request_that_reaches_no_model_is_answered_as_json(wire: EventWire, body: bytes, status: int, said: str):
    wire.send(post(body, STREAM))
    answer = wire.read()
    assert (answer.status, answer.headers["content-type"]) == (status, "application/json")
    assert said in json.loads(answer.body)["error"]


def test_requests_behind_a_stream_wait_for_its_end(served: DecoupledServer, wire: EventWire):
    wire.send(post(ONE, STREAM) + get("/v2/health/live") + post(ONE, STREAM))
    request = served.request()
    request.send(response(1.0, 1), final=False)
    assert wire.head()[0] == 200
    wire.event()
    assert wire.silent(0.05)
    request.finish()
    assert wire.event() is None
    assert wire.read().status == 200
    send(served.request(), 2.0)
    wire.head()
    assert list(numbers(wire)) == [2.0]


def test_large_events_keep_their_place_among_small_ones(served: DecoupledServer, wire: EventWire):
    """Large ones are written in another thread."""
    wire.send(post(ONE, STREAM))
    request = served.request()
    for number in range(30):
        request.send(response(float(number), 50_000 if number % 3 == 0 else 1), final=number == 29)
    wire.head()
    assert list(numbers(wire)) == [float(number) for number in range(30)]


def test_http_1_0_gets_the_events_until_the_connection_closes(served: DecoupledServer, wire: EventWire):
    wire.send(
        b"POST %s HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: %d\r\n\r\n" % (STREAM.encode(), len(ONE)) + ONE
    )
    send(served.request(), 1.0, 2.0)
    status, headers = wire.head()
    assert (status, headers) == (200, {"content-type": EVENTS, "connection": "close"})
    events = wire.rest().split(b"\n\n")
    assert [json.loads(event[6:])["OUTPUT0"][0] for event in events[:-1]] == [1.0, 2.0]
    assert events[-1] == b""


def test_connection_close_is_kept(served: DecoupledServer, wire: EventWire):
    wire.send(post(ONE, STREAM, "Connection: close\r\n"))
    send(served.request(), 1.0)
    assert wire.head()[1]["connection"] == "close"
    assert list(numbers(wire)) == [1.0]
    assert wire.closed()


def test_a_client_that_does_not_read_makes_the_model_wait(served: DecoupledServer, wire: EventWire):
    wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
    wire.send(post(ONE, STREAM))
    request = served.request()
    count, length = 2000, 10_000
    sent = flood(request, count, length)  # 80 MB of tensors, some more as JSON
    assert wire.head()[0] == 200
    for _ in range(200):  # others are served meanwhile, and the server's loop has its turns
        with Wire(served.http_port) as other:
            other.send(get("/v2/health/live"))
            assert other.read().status == 200
    assert len(sent) < 400  # the window, and what the sockets hold
    assert list(numbers(wire)) == [float(number) for number in range(count)]
    assert len(sent) == count


def test_a_client_that_leaves_cancels(served: DecoupledServer):
    wire = EventWire(served.http_port)
    wire.send(post(ONE, STREAM))
    request = served.request()
    request.send(response(1.0), final=False)
    wire.head()
    wire.reset()
    until(lambda: request.ended)
    assert served.model.statistics.failure_count["CANCELED"] == 1


def test_a_client_that_leaves_while_the_model_waits_for_it_cancels(served: DecoupledServer):
    wire = EventWire(served.http_port)
    wire.send(post(ONE, STREAM))
    request = served.request()
    sent = flood(request, 10_000, 10_000)
    wire.head()
    wire.reset()
    until(lambda: request.ended)
    assert len(sent) < 10_000


@pytest.mark.parametrize("end", ["whole", "reset"])
def test_a_stream_that_ended_needs_no_garbage_collection(served: DecoupledServer, end: str):
    def left() -> int:
        return sum(isinstance(each, EventStream) for each in gc.get_objects())

    gc.disable()
    try:
        before = left()
        with EventWire(served.http_port) as wire:
            wire.send(post(ONE, STREAM))
            request = served.request()
            request.send(response(1.0, 1), final=False)
            wire.head()
            assert left() == before + 1
            if end == "whole":
                request.finish()
                assert list(numbers(wire)) == [1.0]
            else:
                wire.reset()
                until(lambda: request.ended)
        until(lambda: left() == before)
    finally:
        gc.enable()


def test_a_half_closed_connection_gets_all_events_and_its_end_cancels(served: DecoupledServer):
    wire = EventWire(served.http_port)
    wire.send(post(ONE, STREAM))
    request = served.request()
    request.begin()
    wire.half_close()
    request.send(response(1.0, 1), final=False)
    assert wire.head()[0] == 200
    wire.event()
    assert wire.silent(0.2)  # it is long known that the client sends nothing more
    assert not request.ended
    request.send(response(2.0, 1), final=False)
    assert wire.event()["OUTPUT0"] == 2.0
    wire.socket.close()

    def cancelled() -> bool:  # the network only tells who writes
        return request.ended or not request.send(response(3.0), final=False)

    until(cancelled)
    assert served.model.statistics.failure_count["CANCELED"] == 1


def test_a_drained_server_finishes_its_streams(served: DecoupledServer, wire: EventWire):
    wire.send(post(ONE, STREAM))
    request = served.request()
    request.send(response(1.0), final=False)
    wire.head()
    stopping = threading.Thread(target=served.server.shutdown)
    stopping.start()
    until(lambda: served.server.engine.stopping)
    request.send(response(2.0))
    assert list(numbers(wire)) == [1.0, 2.0]
    assert wire.closed()
    stopping.join(PATIENCE)
    assert not stopping.is_alive()


def test_a_stream_that_does_not_end_is_cut_off_by_the_end_of_the_server(served: DecoupledServer, wire: EventWire):
    wire.send(post(ONE, STREAM))
    request = served.request()
    request.send(response(1.0), final=False)
    wire.head()
    assert not served.server.shutdown(timeout=0.1)
    assert request.ended
    assert wire.event() is not None
    assert wire.closed()
