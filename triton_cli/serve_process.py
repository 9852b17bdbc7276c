"""The process around a server: a signal is acted on at once, and nothing that hangs keeps the process alive."""

import contextlib
import gc
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from types import FrameType
from typing import Any, NoReturn, TypeVar

_Result = TypeVar("_Result")


class StopSignal:
    """SIGINT and SIGTERM: the first one stops the server, further ones are ignored, as Triton does.

    SIGHUP, which a process gets when its terminal closes, is another one, unless whoever started it, such as nohup, has it ignored.
    """

    def __init__(self) -> None:
        self._received = False
        # What the main thread waits for: a signal (None) or the end of the start. A handler may interrupt its `get`, and
        # this is the one queue whose `put` is allowed there.
        self._news: SimpleQueue[Future[Any] | None] = SimpleQueue()
        # Python rings at each signal, whichever thread gets it. Without, one that came just before the main thread began to wait
        # would be acted on when something else wakes that, which may be never.
        self._ear, self._bell = socket.socketpair()
        self._bell.setblocking(False)
        signal.set_wakeup_fd(self._bell.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._receive)
        if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
            signal.signal(signal.SIGHUP, self._receive)

    def _receive(self, number: int, _: FrameType | None) -> None:
        if self._received:
            return
        self._received = True
        with contextlib.suppress(OSError, ValueError):  # not `print`: a handler may interrupt one
            os.write(sys.stderr.fileno(), f"Signal ({number}) received.\n".encode())
        self._news.put(None)

    def run(self, start: Callable[[], _Result], abandon: Callable[[], None]) -> _Result:
        """Run `start` in a thread and give what it returns or raise what it raises.

        A signal meanwhile ends the process with exit status 0, after a call of `abandon`, whatever `start` waits for:
        loading a model may take minutes, or for ever, in code that is not ours.
        """
        started: Future[_Result] = Future()

        def work() -> None:
            try:
                started.set_result(start())
            except BaseException as error:
                started.set_exception(error)

        started.add_done_callback(self._tell)
        threading.Thread(target=work, name="start", daemon=True).start()
        if self._next() is None:
            abandon()
            leave(0)
        return started.result()

    def stop(self) -> None:
        """Have `wait` return as if a signal was received."""
        self._tell(None)

    def wait(self) -> None:
        """Return once a signal was received, or `stop` called."""
        while self._next() is not None:
            pass

    def _tell(self, news: "Future[Any] | None") -> None:
        self._news.put(news)
        with contextlib.suppress(BlockingIOError):  # it rings already
            self._bell.send(b"\0")

    def _next(self) -> "Future[Any] | None":
        while True:
            with contextlib.suppress(Empty):
                return self._news.get_nowait()
            self._ear.recv(1 << 12)


@contextlib.contextmanager
def importing() -> Iterator[None]:
    """Let Python look for garbage neither while modules are imported nor, later, among them: they stay."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def leave(status: int) -> NoReturn:
    """End the process without waiting for threads, and without tearing down libraries that they may be in."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(status)
