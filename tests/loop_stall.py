"""How long a server's event loop is once kept from everybody else."""

import asyncio
import time
from collections.abc import Callable

from tcli_server.serving import Server


def longest_stall(server: Server, work: Callable[[], object]) -> float:
    """Seconds that the server's loop once did nothing else while `work` ran.

    What counts is what this process had of the processors: a machine that gives them to others meanwhile stalls nobody here.
    """
    assert server._loop is not None
    done = False

    async def beat() -> float:
        longest, last, used_last = 0.0, time.monotonic(), time.process_time()
        while not done:
            await asyncio.sleep(0.002)
            now, used = time.monotonic(), time.process_time()
            longest, last, used_last = max(longest, min(now - last, used - used_last)), now, used
        return longest

    beating = asyncio.run_coroutine_threadsafe(beat(), server._loop)
    try:
        work()
    finally:
        done = True
    return beating.result(60)
