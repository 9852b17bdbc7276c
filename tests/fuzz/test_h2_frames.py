"""Seeded nonsense in HTTP/2 frames, on a connection each: others are answered meanwhile, and nothing is left of it."""

import contextlib
import logging
import os
import socket
import time
from collections import deque
from itertools import islice

import psutil
import pytest

from fuzz.h2_frames import h2_connections
from fuzz.seeds import seeds
from h2_wire import PATIENCE, Wire
from tcli_server.serving import Server
from waiting import until

COUNT = int(os.environ.get("FUZZ_REQUESTS", "1500"))
OPEN = 32
"""Connections that stay open behind the one that is made: the server gets to do what they ask for."""

EVERY = 250
SLOWEST = 20.0
"""Seconds for a good call on a fresh connection."""

MOST_GROWTH = 64 << 20
"""Bytes of memory, behind the first fifth; a leak of 1 KiB a connection is 80 MiB in the long form."""


def opened(server: Server, sent: bytes) -> socket.socket:
    one = socket.create_connection(("127.0.0.1", server.grpc_port), timeout=PATIENCE)
    with contextlib.suppress(ConnectionError):  # it was closed on us
        one.sendall(sent)
    return one


def ended(one: socket.socket) -> None:
    """Say that nothing more comes, and wait until the server closes; that it does not is a failure."""
    with one:
        try:
            one.shutdown(socket.SHUT_WR)
            while one.recv(1 << 16):
                pass
        except TimeoutError:
            raise
        except OSError:
            pass


def expect_a_good_call(server: Server) -> None:
    began = time.monotonic()
    with Wire(server.grpc_port) as wire:
        assert wire.is_live()
    assert time.monotonic() - began < SLOWEST


@pytest.mark.parametrize("seed", seeds(1))
def test_nothing_crashes_hangs_or_is_left(server: Server, caplog: pytest.LogCaptureFixture, seed: int):
    assert server._grpc is not None
    shared = server._grpc._listener._shared  # type: ignore[attr-defined]
    process = psutil.Process()
    open_ones: deque[socket.socket] = deque()
    before = 0
    with caplog.at_level(logging.WARNING):
        for number, sent in enumerate(islice(h2_connections(seed), COUNT)):
            open_ones.append(opened(server, sent))
            if len(open_ones) > OPEN:
                ended(open_ones.popleft())
            if not number % EVERY:
                expect_a_good_call(server)
            if number == COUNT // 5:
                before = process.memory_info().rss
        while open_ones:
            ended(open_ones.popleft())
    expect_a_good_call(server)
    until(lambda: not shared.connections, "connections are left")
    until(lambda: shared.budget.held == 0, "memory is still held")
    grown = process.memory_info().rss - before
    print(
        f"{COUNT} connections: {grown / (1 << 20):.1f} MiB more behind the first fifth, {process.num_fds()} descriptors"
    )
    assert grown < MOST_GROWTH
    assert [record.getMessage() for record in caplog.records if record.exc_info] == []


def test_the_same_seed_gives_the_same_connections():
    assert list(islice(h2_connections(7), 100)) == list(islice(h2_connections(7), 100))
    assert list(islice(h2_connections(7), 100)) != list(islice(h2_connections(8), 100))
