"""A question to a server that nobody needs to wait for who wants the end."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from tcli_analyzer.measuring.visit import Stopped

_T = TypeVar("_T")

_LOOK_SECONDS = 0.1
_PARTING_SECONDS = 1.0


def unless_stopped(ask: Callable[[], _T], stop: threading.Event) -> _T:
    """Ask in another thread; a stuck server that does not answer is left soon after `stop` was set.

    Raises:
        Stopped: it was, and there is no answer. The question may still be under way.
    """
    asked: Future[_T] = Future()

    def run() -> None:
        try:
            asked.set_result(ask())
        except BaseException as problem:
            asked.set_exception(problem)

    asking = threading.Thread(target=run, daemon=True)
    asking.start()
    while asking.is_alive() and not stop.is_set():
        asking.join(_LOOK_SECONDS)
    asking.join(_PARTING_SECONDS)
    if not asked.done():
        raise Stopped
    return asked.result()
