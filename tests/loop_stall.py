"""How long a server's event loop is once kept from everybody else."""

import asyncio
import time
from collections.abc import Callable

from tcli_server.serving import Server


def longest_stall(server: Server, work: Callable[[], object]) -> float:
    """Seconds that the server's loop once did nothing else while `work` ran."""
    assert server._loop is not None
    done = False

    async def beat() -> float:
        longest, last = 0.0, time.monotonic()
        while not done:
            await asyncio.sleep(0.002)
            now = time.monotonic()
            longest, last = max(longest, now - last), now
        return longest

    beating = asyncio.run_coroutine_threadsafe(beat(), server._loop)
    try:
        work()
    finally:
        done = True
    return beating.result(60)
