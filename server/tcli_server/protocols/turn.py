"""Puts things off to the end of a loop's turn, so that all requests that were read in it count as one arrival."""

import asyncio
from collections.abc import Callable


class TurnEnd:
    """Runs callbacks when the loop has read all that had arrived; from the loop's thread only.

    An idle worker that is woken by the first of many requests takes it alone, as the loop lets go of the interpreter
    between two of them. Where requests come one at a time nothing is put off.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: dict[Callable[[], None], None] = {}
        self._count = 0
        self._last_count = 0

    def __call__(self, callback: Callable[[], None]) -> None:
        """Call `callback()` once at the end of this turn, however often it is given."""
        if not self._count:
            self._loop.call_soon(self._end)
        self._count += 1
        if self._count == 1 and self._last_count <= 1:
            callback()
        else:
            self._waiting[callback] = None

    def _end(self) -> None:
        self._last_count, self._count = self._count, 0
        waiting, self._waiting = self._waiting, {}
        for callback in waiting:
            callback()
