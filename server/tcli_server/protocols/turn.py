"""Puts things off to the end of a loop's turn, so that all requests that were read in it count as one arrival."""

import asyncio
import time
from collections.abc import Callable

from tcli_server.observability.log import LOG

_TOGETHER_NS = 70_000
"""Requests that come so soon one after the other came together: reading one takes less, an answer to one takes more."""

_MOST_NS = 3_000_000
"""How long the callbacks of one turn may take together: a turn can bring requests of thousands of connections."""


class TurnEnd:
    """Runs callbacks when the loop has read all that had arrived; from the loop's thread only.

    Whoever runs the first of many requests at once runs it alone. While requests come one at a time nothing is put off,
    and the loop has no turn more than it needs.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: dict[Callable[[], None], None] = {}
        self._last_ns = 0
        self._spent_ns = 0
        self._renewing = False
        self._count = 0
        self._many = False

    def call(self, callback: Callable[[], None]) -> None:
        """As `Later.call`."""
        if not self._many:
            last_ns, now_ns = self._last_ns, time.monotonic_ns()
            self._last_ns = now_ns
            if now_ns - last_ns > _TOGETHER_NS and self._spent_ns < _MOST_NS:
                callback()
                self._spend(time.monotonic_ns() - now_ns)
                return
            self._many = True
        if not self._count:
            self._loop.call_soon(self._end)
        self._count += 1
        self._waiting[callback] = None

    def when_readable(self, descriptor: int, callback: Callable[[], None]) -> None:
        """As `Later.when_readable`."""
        self._loop.add_reader(descriptor, callback)

    def no_longer(self, descriptor: int) -> None:
        """As `Later.no_longer`."""
        self._loop.remove_reader(descriptor)

    def _spend(self, duration_ns: int) -> None:
        self._spent_ns += duration_ns
        if self._spent_ns > _MOST_NS // 4 and not self._renewing:  # not after each: that would be a turn more
            self._renewing = True
            self._loop.call_soon(self._renew)

    def _renew(self) -> None:
        self._renewing, self._spent_ns = False, 0

    def _end(self) -> None:
        self._many, self._count = self._count > 1, 0
        waiting, self._waiting = self._waiting, {}
        end_ns = time.monotonic_ns() + _MOST_NS
        for callback in waiting:
            if time.monotonic_ns() > end_ns:  # others have their turn now
                self._many = True
                self.call(callback)
                continue
            try:
                callback()
            except Exception:  # one model's defect must not strand the others' requests
                LOG.exception("requests could not be run")
