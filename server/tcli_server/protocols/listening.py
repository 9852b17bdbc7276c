"""Ports that several processes listen on."""

import asyncio
import selectors
import time

_LONGEST_SECS = 1.0


async def close_when_empty(server: asyncio.Server) -> None:
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
