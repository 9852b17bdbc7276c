"""What follows when something has come about, for which no thread waits."""

from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

_First = TypeVar("_First")
_Then = TypeVar("_Then")


def after(first: "Future[_First]", go_on: "Callable[[_First], _Then | Future[_Then]]") -> "Future[_Then]":
    """What `go_on` makes of the result, or what comes of a future that it begins; or the first error. It cannot be cancelled.

    Args:
        go_on: called in the thread that ends `first`, so it must not wait.
    """
    told: Future[_Then] = Future()
    told.set_running_or_notify_cancel()

    def tell(last: "Future[_Then]") -> None:
        error = last.exception()
        if error is not None:
            told.set_exception(error)
        else:
            told.set_result(last.result())

    def heard(done: "Future[_First]") -> None:
        try:
            result = go_on(done.result())
        except Exception as error:
            told.set_exception(error)
            return
        if isinstance(result, Future):
            result.add_done_callback(tell)
        else:
            told.set_result(result)

    first.add_done_callback(heard)
    return told
