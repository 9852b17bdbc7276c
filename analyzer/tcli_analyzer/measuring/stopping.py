"""What nobody needs to wait for who wants the end."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from tcli_analyzer.measuring.watch import Stopped

_T = TypeVar("_T")

_LOOK_SECONDS = 0.1
_PARTING_SECONDS = 1.0


def unless_stopped(do: Callable[[], _T], stop: threading.Event) -> _T:
    """Do something long in another thread, such as to ask a server that may be stuck; it is left soon after `stop` was set.

    Raises:
        Stopped: it was, and there is no answer. What was begun may still go on.
    """
    done: Future[_T] = Future()

    def run() -> None:
        try:
            done.set_result(do())
        except BaseException as problem:
            done.set_exception(problem)

    doing = threading.Thread(target=run, daemon=True)
    doing.start()
    while doing.is_alive() and not stop.is_set():
        doing.join(_LOOK_SECONDS)
    doing.join(_PARTING_SECONDS)
    if not done.done():
        raise Stopped
    return done.result()
