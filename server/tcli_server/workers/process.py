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

from tcli_server.errors import InternalError
from tcli_server.workers.channel import Channel
from tcli_server.workers.messages import Failed, Loaded, Ready
from tcli_server.workers.setup import WorkerSetup

# The cores are set before anything is imported: libraries count them once, as they start their threads.
_START = (
    "import json, os, sys; sys.path[:] = json.loads(sys.argv[1]); os.sched_setaffinity(0, json.loads(sys.argv[2])); "
    "from tcli_server.workers.worker import main; main()"
)

_LAST_WORDS_SECS = 5.0
"""For what it said last to be read."""


class WorkerProcess:
    """A worker, from its start to its end.

    Args:
        slot: which of the workers it is, from 0.
        ask: answers what the worker asks of the supervisor besides its start; must not wait.

    Attributes:
        loaded: what it loaded, as soon as it has; an InternalError with the reason if it ended before.
        ready: done when it accepts connections; likewise.
        retiring: it is to end.

    Raises:
        OSError: the system starts no more processes.
    """

    def __init__(self, slot: int, cores: Sequence[int], ask: Callable[["WorkerProcess", object], object]) -> None:
        self.slot = slot
        self.loaded: Future[Loaded] = Future()
        self.ready: Future[None] = Future()
        self.retiring = False
        self._ask = ask
        self._may_open: Future[None] = Future()
        self._failure = ""
        here, there = socket.socketpair()
        with there:
            paths = json.dumps([path or str(Path.cwd()) for path in sys.path])
            try:
                self._process = subprocess.Popen(
                    [sys.executable, "-c", _START, paths, json.dumps(list(cores)), str(there.fileno())],
                    stdin=subprocess.DEVNULL,
                    pass_fds=(there.fileno(),),
                )
            except BaseException:
                here.close()
                raise
        self._connection = Connection(here.detach())
        self.channel = Channel(self._connection, self._handle, lambda: None)

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

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
