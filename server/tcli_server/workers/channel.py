"""Questions and answers between two processes, either of which may ask."""

import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from itertools import count
from multiprocessing.connection import Connection
from typing import Any

from tcli_server.errors import ErrorKind, InternalError, ServerError, UnavailableError, error_of_kind
from tcli_server.observability.log import LOG

_ASK, _ANSWER, _ERROR = 0, 1, 2


class ChannelLostError(UnavailableError):
    """The other process has ended."""


class Channel:
    """One end of a connection.

    Args:
        handle: answers what the other end asks: with a value, or a future of one. Called in the channel's thread, so it
            must not wait; may raise ServerError.
        lost: called once when the other process has ended.
    """

    def __init__(self, connection: Connection, handle: Callable[[Any], Any], lost: Callable[[], None]) -> None:
        self._connection = connection
        self._handle = handle
        self._lost = lost
        self._sending = threading.Lock()
        self._asked_lock = threading.Lock()
        self._asked: dict[int, Future[Any]] = {}
        self._numbers = count()
        self._closed = False
        self._thread = threading.Thread(target=self._read, name="channel", daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def join(self, timeout: float) -> None:
        """Wait until all that the other end sent before it ended is read, or `timeout` seconds."""
        self._thread.join(timeout)

    def ask(self, message: object) -> "Future[Any]":
        """Send a question; the future has the answer, the other end's ServerError, or ChannelLostError."""
        future: Future[Any] = Future()
        number = next(self._numbers)
        with self._asked_lock:
            if self._closed:
                future.set_exception(_lost())
                return future
            self._asked[number] = future
        if not self._send(number, _ASK, message):
            self._settle(number, error=_lost())
        return future

    def _send(self, number: int, what: int, content: object) -> bool:
        try:
            with self._sending:
                self._connection.send((number, what, content))
        except OSError:
            return False
        return True

    def _read(self) -> None:
        with contextlib.suppress(EOFError, OSError):
            while True:
                number, what, content = self._connection.recv()
                if what == _ASK:
                    self._asked_by_other(number, content)
                elif what == _ANSWER:
                    self._settle(number, content)
                else:
                    self._settle(number, error=error_of_kind(*content))
        with self._asked_lock:
            self._closed = True
            waiting = list(self._asked)
        for number in waiting:
            self._settle(number, error=_lost())
        self._lost()

    def _settle(self, number: int, value: object = None, error: ServerError | None = None) -> None:
        with self._asked_lock:
            future = self._asked.pop(number, None)
        if future is None:
            return
        with contextlib.suppress(InvalidStateError):  # whoever asked has given up
            if error is None:
                future.set_result(value)
            else:
                future.set_exception(error)

    def _asked_by_other(self, number: int, message: object) -> None:
        try:
            answer = self._handle(message)
        except Exception as error:
            self._answer_error(number, error)
            return
        if isinstance(answer, Future):
            answer.add_done_callback(lambda done: self._answer_done(number, done))
        else:
            self._send(number, _ANSWER, answer)

    def _answer_done(self, number: int, done: "Future[Any]") -> None:
        error = done.exception()
        if error is None:
            self._send(number, _ANSWER, done.result())
        else:
            self._answer_error(number, error)

    def _answer_error(self, number: int, error: BaseException) -> None:
        if not isinstance(error, ServerError):
            LOG.error("what another process of this server asked for failed", exc_info=error)
            error = InternalError(f"{type(error).__name__}: {error}")
        kind: ErrorKind = error.kind
        self._send(number, _ERROR, (kind, str(error)))


def _lost() -> ChannelLostError:
    return ChannelLostError("a process of this server has ended")
