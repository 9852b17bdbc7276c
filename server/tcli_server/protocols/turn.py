"""Puts things off to the end of a loop's turn, so that all requests that were read in it count as one arrival."""

import asyncio
from collections.abc import Callable

from tcli_server.observability.log import LOG


class TurnEnd:
    """Runs callbacks when the loop has read all that had arrived; from the loop's thread only.

    Without it whoever runs the first of many requests runs it alone.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: dict[Callable[[], None], None] = {}

    def __call__(self, callback: Callable[[], None]) -> None:
        """Call `callback()` once, soon, however often it is given."""
        if not self._waiting:
            self._loop.call_soon(self._end)
        self._waiting[callback] = None

    def _end(self) -> None:
        waiting, self._waiting = self._waiting, {}
        for callback in waiting:
            try:
                callback()
            except Exception:  # one model's defect must not strand the others' requests
                LOG.exception("requests could not be run")
