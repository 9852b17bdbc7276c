"""One worker as its supervisor sees it: a process and the channel to it."""

import contextlib
import json
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from tcli_server.errors import InternalError
from tcli_server.workers.channel import Channel
from tcli_server.workers.messages import AskReport, CarryOut, Failed, Load, Loaded, Ready, Report
from tcli_server.workers.reporter import Reporter
from tcli_server.workers.setup import SUPERVISORS_SIGNALS, WorkerSetup

# The cores are set before anything is imported: libraries count them once, as they start their threads.
_START = (
    "import json, os, sys; sys.path[:] = json.loads(sys.argv[1]); os.sched_setaffinity(0, json.loads(sys.argv[2])); "
    "from tcli_server.workers.worker import main; main()"
)

_LAST_WORDS_SECS = 5.0
"""For what it said last to be read."""

_MOST_SILENT_SECS = 60.0
_MOST_SILENT_LOADING_SECS = 600.0
"""How long a worker may answer nothing, and while it starts or loads a model: foreign code may hold Python up for long then."""


class WorkerProcess:
    """A worker, from its start to its end.

    Args:
        slot: which of the workers it is, from 0.
        ask: answers what the worker asks of the supervisor besides its start; must not wait.
        told: takes its reports.

    Attributes:
        loaded: what it loaded, as soon as it has; an InternalError with the reason if it ended before.
        ready: done when it accepts connections; likewise.
        reporter: asks it what it has counted.
        retiring: it is to end.

    Raises:
        OSError: the system starts no more processes.
    """

    def __init__(
        self,
        slot: int,
        cores: Sequence[int],
        ask: Callable[["WorkerProcess", object], object],
        told: Callable[["WorkerProcess", Report], None],
    ) -> None:
        self.slot = slot
        self.loaded: Future[Loaded] = Future()
        self.ready: Future[None] = Future()
        self.retiring = False
        self._ask = ask
        self._may_open: Future[None] = Future()
        self._failure = ""
        self._loading = 0
        self._loading_lock = threading.Lock()
        self._answers = 0
        self._silent_secs = 0.0
        here, there = socket.socketpair()
        with there:
            try:
                self._process = _start(cores, there.fileno())
            except BaseException:
                here.close()
                raise
        self._connection = Connection(here.detach())
        self.channel = Channel(self._connection, self._handle, lambda: None)
        self.reporter = Reporter(lambda: self.channel.ask(AskReport()), lambda report: told(self, report))

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    @property
    def serving(self) -> bool:
        """Whether it accepts connections, or did until it ended."""
        return self.ready.done() and self.ready.exception() is None

    def begin(self, setup: WorkerSetup, ended: Callable[["WorkerProcess"], None]) -> None:
        """Hand it its setup, and tell when it ends, in a thread of its own."""
        with contextlib.suppress(OSError):  # it has ended already, which is told
            self._connection.send(setup)
        self.channel.start()
        threading.Thread(target=self._watch, args=(ended,), name=f"worker-{self.slot}", daemon=True).start()

    def open(self) -> None:
        """Let it open its ports, as soon as it has loaded its models."""
        with contextlib.suppress(Exception):
            self._may_open.set_result(None)

    def carry_out(self, order: CarryOut) -> "Future[Any]":
        """Have it load or unload."""
        if not isinstance(order.operation, Load):
            return self.channel.ask(order)

        def over(_: "Future[Any]") -> None:
            with self._loading_lock:
                self._loading -= 1

        with self._loading_lock:
            self._loading += 1
        answer = self.channel.ask(order)
        answer.add_done_callback(over)
        return answer

    def kill_if_silent(self, passed: float) -> None:
        """End it if it has answered nothing for too long; whoever waits for it is told so.

        Called again and again, so that a pause of the whole machine does not count.

        Args:
            passed: seconds since the last call, in which it was asked something.
        """
        answers = self.reporter.answers
        self._silent_secs = self._silent_secs + passed if answers == self._answers else 0.0
        self._answers = answers
        loading = self._loading or not self.ready.done()
        limit = _MOST_SILENT_LOADING_SECS if loading else _MOST_SILENT_SECS
        if self._silent_secs >= limit:
            self._failure = f"it has answered nothing for {limit:.0f} s and was killed"
            self.kill()

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()

    def wait(self, timeout: float) -> bool:
        """Whether it ended within so many seconds."""
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            return False
        return True

    def death(self) -> str:
        """Why it ended, for people."""
        if self._failure:
            return self._failure
        status = self._process.returncode
        if status is not None and status < 0:
            with contextlib.suppress(ValueError):
                return f"it was ended by {signal.Signals(-status).name}"
        return f"it ended with exit status {status}"

    def _handle(self, message: object) -> object:
        if isinstance(message, Loaded):
            self.loaded.set_result(message)
            return self._may_open
        if isinstance(message, Ready):
            self.ready.set_result(None)
            return None
        if isinstance(message, Failed):
            self._failure = message.reason
            return None
        return self._ask(self, message)

    def _watch(self, ended: Callable[["WorkerProcess"], None]) -> None:
        self._process.wait()
        self.channel.join(_LAST_WORDS_SECS)
        for future in (self.loaded, self.ready):
            if not future.done():
                future.set_exception(InternalError(self.death()))
        ended(self)


def _start(cores: Sequence[int], channel: int) -> "subprocess.Popen[bytes]":
    """Args: channel: the descriptor of its end."""
    paths = json.dumps([path or str(Path.cwd()) for path in sys.path])
    # Blocked until the worker ignores them, which takes a moment: it must import Python's part of that first.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SUPERVISORS_SIGNALS)
    try:
        return subprocess.Popen(
            [sys.executable, "-c", _START, paths, json.dumps(list(cores)), str(channel)],
            stdin=subprocess.DEVNULL,
            pass_fds=(channel,),
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
