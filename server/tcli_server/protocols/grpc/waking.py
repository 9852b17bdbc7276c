"""Telling many calls that something has come, without keeping the loop from others: any client may have begun thousands."""

import asyncio

_TOLD_PER_TURN = 100
"""Calls before others have their turn."""


def wake(waiting: "list[asyncio.Future[None]]") -> None:
    """Tell those who wait, some of them in each turn of the running loop; the list is emptied."""
    for one in waiting[-_TOLD_PER_TURN:]:
        if not one.done():  # else its client is gone
            one.set_result(None)
    del waiting[-_TOLD_PER_TURN:]
    if waiting:
        asyncio.get_running_loop().call_soon(wake, waiting)
