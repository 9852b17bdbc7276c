"""Samples of a server as they come, taken in a thread: whatever the server does, the terminal is served."""

import queue
import threading
import time
from types import TracebackType
from typing import TYPE_CHECKING, NoReturn, Self

from triton_cli.console import fail

if TYPE_CHECKING:
    from tcli_client import ClientError
    from tcli_client.watch import Activity, Watcher

PATIENCE = 20.0
"""Seconds without a sample after which something is said: three answers may take five each."""


class Feed:
    """What a server did, interval by interval.

    Args:
        watcher: closed at the end.
        interval: seconds between the beginnings of two samples.
    """

    def __init__(self, watcher: "Watcher", interval: float) -> None:
        self.address = watcher.address
        self.interval = interval
        self._watcher = watcher
        self._found: queue.SimpleQueue[Activity | Exception] = queue.SimpleQueue()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="top", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Does not wait for an answer that is under way: the thread ends with the process."""
        self._ended.set()

    def next(self, seconds: float) -> "Activity | ClientError | None":
        """What came next: an interval, or why there is none; None if nothing came in so many seconds.

        After a server was away the first interval begins when it is back.
        """
        from tcli_client import ClientError

        try:
            found = self._found.get(timeout=seconds)
        except queue.Empty:
            return None
        if isinstance(found, Exception) and not isinstance(found, ClientError):
            raise found
        return found

    def _run(self) -> None:
        try:
            self._watch()
        except Exception as defect:  # else nothing would come any more, and nobody would know why
            self._found.put(defect)

    def _watch(self) -> None:
        from tcli_client import ClientError
        from tcli_client.watch import activity

        before = None
        due = time.monotonic()
        while not self._ended.is_set():
            try:
                after = self._watcher.sample()
            except ClientError as problem:
                before = None
                self._found.put(problem)
            else:
                if before is not None:
                    self._found.put(activity(before, after))
                before = after
            due = max(due + self.interval, time.monotonic())
            self._ended.wait(due - time.monotonic())
        self._watcher.close()


def refuse(problem: "ClientError") -> NoReturn:
    """End, as the server does not answer at the beginning.

    Raises:
        FailedError: always.
    """
    from tcli_client import RequestTimeoutError, ServerUnreachableError

    fix = problem.fix
    if not fix and isinstance(problem, ServerUnreachableError):
        fix = "start a server with `tcli serve`, or say where it is: tcli top URL"
    elif not fix and isinstance(problem, RequestTimeoutError):
        fix = "try again, if it is only busy; else see whether that is a V2 server's port"
    fail(str(problem), fix)
