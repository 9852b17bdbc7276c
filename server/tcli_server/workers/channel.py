"""Questions and answers between two processes, either of which may ask."""

import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from itertools import count
from multiprocessing.connection import Connection
from queue import SimpleQueue
from typing import Any

from tcli_server.errors import ErrorKind, InternalError, ServerError, UnavailableError, error_of_kind
from tcli_server.observability.log import LOG

_ASK, _ANSWER, _ERROR = 0, 1, 2

_Letter = tuple[int, int, Any]
"""A number, which of the three it is, and what it says."""


class ChannelLostError(UnavailableError):
    """The other process has ended."""


class Channel:
    """One end of a connection.

    Nothing here waits for the other process, which may have stopped: what is sent is written by a thread of its own.

    Args:
        handle: answers what the other end asks: with a value, or a future of one. Called in the thread that reads, as are
            the callbacks of what was asked, so neither must wait; may raise ServerError.
        lost: called once when the other process has ended.
    """

    def __init__(self, connection: Connection, handle: Callable[[Any], Any], lost: Callable[[], None]) -> None:
        self._connection = connection
        self._handle = handle
        self._lost = lost
        self._letters: SimpleQueue[_Letter | None] = SimpleQueue()
        self._asked_lock = threading.Lock()
        self._asked: dict[int, Future[Any]] = {}
        self._numbers = count()
        self._closed = False
        self._reader = threading.Thread(target=self._read, name="channel reads", daemon=True)
        self._writer = threading.Thread(target=self._write, name="channel writes", daemon=True)

    def start(self) -> None:
        """Begin to read and to write."""
        self._reader.start()
        self._writer.start()

    def join(self, timeout: float) -> None:
        """Wait until all that the other end sent before it ended is read, or `timeout` seconds."""
        self._reader.join(timeout)

    def finish(self, timeout: float) -> None:
        """Send nothing more, and wait until what was to be sent is, or `timeout` seconds."""
        self._letters.put(None)
        self._writer.join(timeout)

    def ask(self, message: object) -> "Future[Any]":
        """Send a question; the future has the answer, the other end's ServerError, or ChannelLostError."""
        future: Future[Any] = Future()
        number = next(self._numbers)
        with self._asked_lock:
            if self._closed:
                future.set_exception(_lost())
                return future
            self._asked[number] = future
        self._letters.put((number, _ASK, message))
        return future

    def _write(self) -> None:
        with contextlib.suppress(OSError):  # the other end is gone, which the reader finds, too
            while (letter := self._letters.get()) is not None:
                self._connection.send(letter)

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
        self._letters.put(None)
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
            self._letters.put((number, _ANSWER, answer))

    def _answer_done(self, number: int, done: "Future[Any]") -> None:
        error = done.exception()
        if error is None:
            self._letters.put((number, _ANSWER, done.result()))
        else:
            self._answer_error(number, error)

    def _answer_error(self, number: int, error: BaseException) -> None:
        if not isinstance(error, ServerError):
            LOG.error("what another process of this server asked for failed", exc_info=error)
            error = InternalError(f"{type(error).__name__}: {error}")
        kind: ErrorKind = error.kind
        self._letters.put((number, _ERROR, (kind, str(error))))


def _lost() -> ChannelLostError:
    return ChannelLostError("a process of this server has ended")
