"""From worker threads back to an event loop, waking the loop once for a whole batch of responses."""

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from tcli_server.observability.log import LOG


class ReplyMailbox:
    """Runs callbacks in the loop, in the order in which they were posted.

    Waking a loop from another thread costs a system call, so posts between two turns of the loop share one.

    Args:
        loop: the loop that this thread runs.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._thread = threading.get_ident()
        self._posts: deque[tuple[Callable[..., None], Any]] = deque()
        self._woken = False

    def post(self, callback: Callable[[Any], None], argument: Any) -> None:
        """Have the loop call `callback(argument)`; from any thread. Dropped if the loop is closed.

        In the loop's own thread it is called before this returns, unless others were posted before.
        """
        if not self._posts and threading.get_ident() == self._thread:
            _call(callback, argument)
            return
        self._posts.append((callback, argument))
        if not self._woken:
            self._woken = True
            try:
                self._loop.call_soon_threadsafe(self._deliver)
            except RuntimeError:  # the loop is closed: nobody is left to answer
                self._woken = False
                self._posts.clear()

    def _deliver(self) -> None:
        # Cleared first: a post that arrives from here on wakes the loop again.
        self._woken = False
        posts = self._posts
        while posts:
            _call(*posts.popleft())


def _call(callback: Callable[[Any], None], argument: Any) -> None:
    try:
        callback(argument)
    except Exception:  # one answer's mistake must not strand the others
        LOG.exception("a reply could not be delivered")
