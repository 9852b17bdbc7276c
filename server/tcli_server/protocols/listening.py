"""Ports, which several processes may listen on."""

import asyncio
import selectors
import socket
import time
from collections.abc import Sequence
from typing import Protocol

BACKLOG = 1024
"""Connections that the system may keep until they are accepted."""

_LONGEST_SECS = 1.0


class Listening(Protocol):
    """What accepts connections, such as `asyncio.Server`."""

    @property
    def sockets(self) -> Sequence[socket.socket]:
        """Those that it listens on."""

    def close(self) -> None:
        """Accept no more."""


async def close_when_empty(server: Listening) -> None:
    """Accept no more connections, once those are accepted that wait for it: closing would reset them.

    One that comes in the microseconds between the last look and the closing is reset all the same, unless the system hands
    it to another listener (Linux: net.ipv4.tcp_migrate_req). Where more come all the time, it closes after a second.
    """
    deadline = time.monotonic() + _LONGEST_SECS
    with selectors.DefaultSelector() as selector:
        for listening in server.sockets:
            selector.register(listening.fileno(), selectors.EVENT_READ)
        while selector.get_map() and selector.select(0) and time.monotonic() < deadline:
            await asyncio.sleep(0)
    server.close()
