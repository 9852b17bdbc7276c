"""One worker: its process, the two sockets, the shared memories, and what it prints."""

import contextlib
import os
import signal
import socket
import threading
import weakref
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from tcli_server.backends.python.branches import Branches, Serve
from tcli_server.backends.python.ending import Ending
from tcli_server.backends.python.messages import loads
from tcli_server.backends.python.outbox import Outbox
from tcli_server.backends.python.spawning import spawn
from tcli_server.backends.python.stub.memory import PROGRESS, ReadMemory, WrittenMemory, new_memory
from tcli_server.backends.python.stub.wire import Channel, Message
from tcli_server.errors import InternalError, UnavailableError
from tcli_server.observability.log import LOG

_STUB = Path(__file__).parent / "stub" / "run.py"
_LINES = 20
"""Last lines of a worker's output that an error of its quotes."""

_LONGEST_LINE = 8192
_LAST_WORDS_SECS = 1.0
"""How long a worker that ends may take to be gone, and its last words to arrive."""


class WorkerGoneError(InternalError):
    """The worker's process ended, or was ended as it took too long.

    An error of the request that it was running, as in Triton ("Stub process is not healthy"): proxies and clients repeat what is
    unavailable, and would end one process after another with a request that always does.
    """


class WorkerProcess:
    """A worker that follows orders, one at a time, and may itself say something at any time.

    Args:
        name: the instance's, for the log.
        interpreter: the Python that runs it.
        limit: bytes that each of its two shared memories may have.
        handle: gets what the worker says, in a thread of its own; must not block.
        gone: told in that thread when the process has ended, however that came.
        serve: see `Branches`.

    Attributes:
        branches: the processes that its model has forked.
        over: the process has ended, or is about to; set before `gone` is told.

    Raises:
        UnavailableError: the process cannot be started.
    """

    def __init__(
        self,
        name: str,
        interpreter: str,
        environment: Mapping[str, str],
        limit: int,
        handle: "Callable[[WorkerProcess, Message], None]",
        gone: "Callable[[WorkerProcess], None]",
        serve: Serve,
    ) -> None:
        self.name = name
        self._handle = handle
        self._on_gone = gone
        self._error: WorkerGoneError | None = None
        self._closed = False
        self._lock = threading.Lock()
        self._lines: deque[str] = deque(maxlen=_LINES)
        self.over = False
        self._timeout: float | None = None
        self._watched = False
        with contextlib.ExitStack() as opened:  # closed again if there is no process for it
            try:
                self._open(interpreter, environment, limit, serve, opened)
            except OSError as error:
                raise UnavailableError(
                    f"instance {name}: '{interpreter}' cannot be started: {error.strerror or error}"
                ) from None
            opened.pop_all()
        # An event loop may watch it: one that was closed would never wake that, and its number may soon be another one's.
        weakref.finalize(self, self._order_socket.close)
        self._listener = threading.Thread(target=self._listen, name=f"{name} calls", daemon=True)
        self._reader = threading.Thread(target=self._read_output, name=f"{name} output", daemon=True)
        self._listener.start()
        self._reader.start()

    def _open(
        self,
        interpreter: str,
        environment: Mapping[str, str],
        limit: int,
        serve: Serve,
        opened: contextlib.ExitStack,
    ) -> None:
        self._descriptors = []
        for name in ("requests", "responses"):
            self._descriptors.append(new_memory(name))
            opened.callback(os.close, self._descriptors[-1])
        requests, responses = self._descriptors
        self.requests = WrittenMemory(requests, limit)
        self.responses = ReadMemory(responses)
        self._order_socket, theirs = socket.socketpair()
        with theirs:
            self._orders = Channel(opened.enter_context(self._order_socket), loads)
            calls, their_calls = socket.socketpair()
            with their_calls:
                self._calls = Channel(opened.enter_context(calls), loads)
                self._order_outbox, self._call_outbox = Outbox(self._order_socket), Outbox(calls)
                self.branches = Branches(self.name, limit, serve)
                opened.callback(self.branches.close)
                with self.branches.door() as door:
                    passed = (theirs.fileno(), their_calls.fileno(), door.fileno(), requests, responses)
                    command = [interpreter, "-u", str(_STUB), *map(str, passed), str(limit), str(os.getpid())]
                    self._process = spawn(command, passed, environment)
                self._ending = Ending(self._process)

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._ending.status() is None

    @property
    def begun(self) -> int:
        """Requests of its last order that it has begun; those of a batch begin together."""
        return int(self.responses.array(PROGRESS, 8).view(np.uint64)[0])

    @property
    def memory_size(self) -> int:
        """Bytes of shared memory that it and what it forked have, both ways."""
        with self._lock:
            if self._closed:
                return 0
            own = sum(os.fstat(descriptor).st_size for descriptor in self._descriptors)
        return own + self.branches.memory_size

    def order(self, message: Message, timeout: float | None = None) -> Message:
        """Give an order and wait until it is done.

        Args:
            timeout: seconds after which the worker is ended.

        Raises:
            WorkerGoneError: it ended meanwhile; says how, and its last words.
        """
        self.begin_order(message)
        return self.end_order(timeout)

    def begin_order(self, message: Message) -> None:
        """Give an order. One that is gone does not take it, which its end tells."""
        with contextlib.suppress(OSError):
            self._order_outbox.post(message)

    def end_order(self, timeout: float | None = None) -> Message:
        """Wait until the order is done. Raises as `order`."""
        try:
            if timeout != self._timeout or self._watched:  # it lets others run meanwhile
                self._order_socket.settimeout(timeout)
                self._timeout, self._watched = timeout, False
            reply = self._orders.receive()
        except TimeoutError:
            raise self._hung(timeout or 0) from None
        except OSError:
            reply = None
        if reply is None:
            raise self.ended()
        self._give_back(reply)
        return reply

    @property
    def order_descriptor(self) -> int:
        """Can be read when something of the answer to an order has come, or never will."""
        self._watched = True  # libuv makes a descriptor that it watches one that does not block
        return self._order_socket.fileno()

    def order_answer(self) -> Message | None:
        """The answer to the order if it has come, without waiting; `end_order` has to wait for it otherwise.

        Raises:
            OSError: it is gone.
        """
        reply = self._orders.receive_now()
        if reply is not None:
            self._give_back(reply)
        return reply

    def tell(self, message: Message) -> None:
        """Tell it something, without waiting; what is gone hears nothing."""
        with contextlib.suppress(OSError):
            self._call_outbox.post(message)

    def kill(self) -> None:
        """End it at once."""
        self._ending.signal(signal.SIGKILL)

    def close(self) -> None:
        """End it if it has not ended, and free what is held for it."""
        self._orders.hang_up()
        if self._ending.wait(_LAST_WORDS_SECS) is None:
            self.kill()
            self._ending.wait()
        self._calls.close()
        for thread in (self._listener, self._reader):
            if thread is not threading.current_thread():
                thread.join(_LAST_WORDS_SECS)
        self._close()

    def _close(self) -> None:
        with self._lock:
            if self._closed:
                return
            self._closed = True
        self.branches.close()
        self._orders.hang_up()
        self._calls.close()
        self.requests.forget()
        self.responses.forget()
        for descriptor in self._descriptors:
            os.close(descriptor)

    def ended(self) -> WorkerGoneError:
        """How it ended, or is about to, as an error that has its last words."""
        error = self._gone()
        with self._lock:
            self._error = self._error or error
            return self._error

    def _hung(self, timeout: float) -> WorkerGoneError:
        self._ending.signal(signal.SIGUSR1)  # prints where every thread of it is
        self._reader.join(_LAST_WORDS_SECS / 4)
        with self._lock:
            self._error = WorkerGoneError(
                f"instance {self.name} did not answer within {timeout:g} s and was ended{self._last_words()}"
            )
        self.kill()
        self._ending.wait()
        return self._error

    def _gone(self) -> WorkerGoneError:
        status = self._ending.wait(_LAST_WORDS_SECS)
        if status is None:  # it closed the socket, but lives
            self.kill()
            status = self._ending.wait() or 0
        self._reader.join(_LAST_WORDS_SECS)
        if status < 0:
            with contextlib.suppress(ValueError):
                return WorkerGoneError(
                    f"the process of instance {self.name} was ended by {signal.Signals(-status).name}{self._last_words()}"
                )
        return WorkerGoneError(f"the process of instance {self.name} ended with status {status}{self._last_words()}")

    def _last_words(self) -> str:
        return "; its last words: " + " | ".join(self._lines) if self._lines else ""

    # --- threads ---

    def _listen(self) -> None:
        while True:
            try:
                message = self._calls.receive()
            except OSError:
                message = None
            if message is None:
                break
            self._give_back(message)
            try:
                self._handle(self, message)
            except Exception:
                LOG.exception("instance '%s': what the model said could not be handled", self.name)
        self.over = True
        self._on_gone(self)

    def _give_back(self, message: Message) -> None:
        for offset in message.get("gone", ()):
            self.requests.give_back(offset)

    def _read_output(self) -> None:
        pipe = self._process.stdout
        assert pipe is not None
        with pipe:
            while line := pipe.readline(_LONGEST_LINE):
                text = line.decode(errors="replace").rstrip()
                if text:
                    self._lines.append(text)
                    LOG.info("%s: %s", self.name, text)
