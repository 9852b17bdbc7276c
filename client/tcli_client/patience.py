"""Waits that nothing but a cancellation can end, with a limit all the same."""

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self, TypeVar

_T = TypeVar("_T")

_LOOK_SECONDS = 1.0
"""How often a wait is looked at, and so by how much it may be longer than it should."""


class Patience:
    """Ends a wait of more than `seconds`; one thread for any number of waits.

        with Patience(60, call.cancel) as patience:
            response = patience.of(call.next)

    Args:
        end: what makes a wait end, by an exception.

    Attributes:
        lost: whether a wait was ended.
    """

    def __init__(self, seconds: float, end: Callable[[], object]) -> None:
        self.lost = False
        self._seconds = seconds
        self._end = end
        self._until: float | None = None
        self._over = threading.Event()

    def of(self, wait: Callable[[], _T]) -> _T:
        """What a wait gives."""
        self._until = time.monotonic() + self._seconds
        try:
            return wait()
        finally:
            self._until = None

    def __enter__(self) -> Self:
        threading.Thread(target=self._look, name="patience", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._over.set()

    def _look(self) -> None:
        while not self._over.wait(min(_LOOK_SECONDS, self._seconds)):
            until = self._until
            if until is not None and time.monotonic() > until:
                self.lost = True
                self._end()
                return
