"""The wire between the server and a worker: whole messages, whoever sends them, whenever."""

import socket
import threading
from collections.abc import Iterator

import pytest

from tcli_server.backends.python.outbox import Outbox
from tcli_server.backends.python.stub.wire import Channel, packed

LONG = {"text": "x" * 3_000_000}


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    first, second = socket.socketpair()
    with first, second:
        yield first, second


def test_a_long_message_survives_a_time_limit(ends: tuple[socket.socket, socket.socket]):
    sender, receiver = ends
    channel = Channel(receiver)
    receiver.settimeout(0.01)
    data = packed(LONG)
    for start in range(0, len(data), 150_000):
        sender.sendall(data[start : start + 150_000])
        if start + 150_000 < len(data):
            with pytest.raises(TimeoutError):
                channel.receive()
    assert channel.receive() == LONG


class _Collecting(socket.socket):
    """A socket in whose `sendall` the garbage collector runs: it calls `__del__` in the middle of it, in its thread."""

    def __init__(self, inner: socket.socket) -> None:
        super().__init__(fileno=inner.detach())
        self.collect = [lambda: None]

    def sendall(self, data: bytes) -> None:  # type: ignore[override]
        super().sendall(data[:3])
        self.collect.pop()()
        super().sendall(data[3:])


def test_what_is_said_by_a_finalizer_waits_for_the_message_in_whose_middle_it_comes(
    ends: tuple[socket.socket, socket.socket],
):
    with _Collecting(ends[0]) as sock:
        channel, other = Channel(sock), Channel(ends[1])
        sock.collect = [lambda: None, lambda: channel.send_later({"n": 2})]
        thread = threading.Thread(target=channel.send, args=({"n": 1},), daemon=True)
        thread.start()
        thread.join(20)
        assert not thread.is_alive()
        assert [other.receive(), other.receive()] == [{"n": 1}, {"n": 2}]


def test_an_outbox_never_waits_and_keeps_the_order(ends: tuple[socket.socket, socket.socket]):
    outbox, other = Outbox(ends[0]), Channel(ends[1])
    for number in range(2000):
        outbox.post({"n": number, "text": "x" * 1000})
    outbox.post(LONG)
    assert [other.receive()["n"] for _ in range(2000)] == list(range(2000))
    assert other.receive() == LONG
    outbox.post({"n": 0})
    assert other.receive() == {"n": 0}


def test_an_outbox_whose_other_end_is_gone_says_so(ends: tuple[socket.socket, socket.socket]):
    outbox = Outbox(ends[0])
    ends[1].close()
    with pytest.raises(OSError):  # noqa: PT011
        outbox.post({"n": 1})
