"""Keeps one worker running: another takes the place of one that ended, after a growing pause if that goes on."""

import threading
import time
from collections.abc import Callable

from tcli_server.backends.python.failures import failure
from tcli_server.backends.python.process import WorkerGoneError, WorkerProcess
from tcli_server.backends.python.stub.wire import Message
from tcli_server.errors import ServerError, UnavailableError
from tcli_server.observability.log import LOG

_STEADY_SECS = 10.0
"""A worker that lived so long is one that does well; its end begins no series."""

_FIRST_PAUSE_SECS = 0.5
_LONGEST_PAUSE_SECS = 30.0
_SHORT_PAUSE_SECS = 2.0
"""Requests may as well wait so long."""

Handle = Callable[[WorkerProcess, Message], None]
Start = Callable[[Handle, Callable[[WorkerProcess], None]], WorkerProcess]
"""Starts a process: what handles its messages, and what is told when it ends."""


class Supervisor:
    """Starts a worker and watches over it.

    Args:
        load: the order that makes a worker load its model.
        handle: gets what a worker says.
        lost: told that a worker ended which had the model, before another one is started.

    Attributes:
        process: the present worker, or the last one.
        fit: whether the present worker has loaded the model and lives.
        failing: why there is no worker and not about to be one; empty otherwise.
        checks: whether the model has a word of its own on whether it is ready.
        deaths: workers that ended by themselves.
        restarts: workers that took the place of others.

    Raises:
        ServerError: the first worker cannot be started, or does not load the model.
    """

    def __init__(
        self,
        name: str,
        start: Start,
        load: Message,
        handle: Handle,
        lost: Callable[[WorkerGoneError], None],
    ) -> None:
        self.fit = False
        self.failing = ""
        self.deaths = 0
        self.restarts = 0
        self.checks = False
        self._name = name
        self._start = start
        self._load = load
        self._handle = handle
        self._lost = lost
        self._closed = threading.Event()
        self._change = threading.Condition()
        self._since = 0.0
        self._series = 0
        self._loading: WorkerProcess | None = None
        self._present: WorkerProcess | None = None
        self.process = self._begin()

    def await_fit(self, secs: float) -> None:
        """Wait until there is a worker, or clearly none."""
        with self._change:
            self._change.wait_for(lambda: self.fit or self.failing or self._closed.is_set(), secs)

    def note_end(self, process: WorkerProcess) -> None:
        """Somebody has seen that it ended, perhaps before the thread that listens to it has."""
        with self._change:
            if process is self._present:
                self.fit = False

    def close(self) -> None:
        """Let it end; start no other."""
        with self._change:
            self._closed.set()
            was_fit, self.fit = self.fit, False
            self._change.notify_all()
            loading = self._loading
        if loading is not None:
            loading.kill()  # whoever waits for it hears that it is gone
        if was_fit and self.process.alive:
            try:
                failure(self.process.order({"kind": "finalize"}), f"instance '{self._name}': finalize failed")
            except ServerError as error:
                LOG.info("%s", error)
        self.process.close()

    def _begin(self) -> WorkerProcess:
        process = self._start(self._handle, self._gone)
        try:
            with self._change:
                self._loading = process
                if self._closed.is_set():
                    raise UnavailableError(f"instance '{self._name}' is unloaded")
            reply = process.order(self._load)
            failure(reply, f"load failed for instance '{self._name}'")
            with self._change:
                if process.over:  # it has died since, and nobody was told, as it was not the present one yet
                    raise process.ended()
                self.process = self._present = process
                self._loading = None
                self.checks = bool(reply.get("checks"))
                self.fit, self.failing = not self._closed.is_set(), ""
                self._since = time.monotonic()
                self._change.notify_all()
        except BaseException:
            self._loading = None
            process.close()
            raise
        return process

    def _gone(self, process: WorkerProcess) -> None:
        """A process has ended; in a thread of its own that ends with this."""
        with self._change:
            if self._closed.is_set() or process is not self._present:
                return
            self.fit = False
            self.deaths += 1
            self._series = 0 if time.monotonic() - self._since >= _STEADY_SECS else self._series + 1
        error = process.ended()
        LOG.error("%s", error)
        self._lost(error)
        process.close()
        self._replace(str(error))

    def _replace(self, reason: str) -> None:
        is_loadable = True
        while True:
            pause = min(_FIRST_PAUSE_SECS * 2 ** (self._series - 2), _LONGEST_PAUSE_SECS) if self._series > 1 else 0.0
            if pause > _SHORT_PAUSE_SECS or not is_loadable:
                with self._change:
                    self.failing = f"{reason}; the next try is made {pause:g} s later"
                    self._change.notify_all()
            LOG.warning("instance '%s' is started again in %g s", self._name, pause)
            if self._closed.wait(pause):
                return
            self.restarts += 1
            try:
                fresh = self._begin()
            except Exception as error:  # whatever it is, there must be another try
                if self._closed.is_set():
                    return
                reason = str(error)
                LOG.error("%s", reason, exc_info=None if isinstance(error, ServerError) else error)
                self._series = max(2, self._series + 1)
                is_loadable = False
                continue
            LOG.info("instance '%s' runs again", self._name)
            if self._closed.is_set():
                fresh.close()
            return
