"""Runs loads and unloads: those of one name one after the other, those of different names side by side."""

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError

from tcli_server.errors import ServerError, UnavailableError, error_of_kind

_MOST_WAITING = 1024
"""Operations that may wait; more are refused, as each costs a thread or a place in a queue."""

Work = Callable[[], None]


class Operations:
    """A queue for each name, worked off by a thread that lives for as long as the queue is not empty.

    The threads are daemons: a load that hangs in foreign code keeps neither other names nor the process's end waiting.

    Args:
        loads: loads that may run at the same time; unloads need no permission.
    """

    def __init__(self, loads: int) -> None:
        self._lock = threading.Lock()
        self._unloaded = threading.Condition(self._lock)
        self._load_permits = threading.Semaphore(loads)
        self._queues: dict[str, deque[tuple[Work, Work | None, Future[None]]]] = {}
        self._running: set[Future[None]] = set()
        self._preparing: set[str] = set()  # names whose load is at what comes first
        self._unloading: set[str] = set()  # names of which something is unloaded meanwhile
        self._waiting = 0
        self._stopped = False

    @property
    def busy(self) -> bool:
        """Whether something is under way."""
        with self._lock:
            return bool(self._queues)

    def load(self, name: str, work: Work, before: Work | None = None) -> "Future[None]":
        """Run a load in its turn; the future has its outcome.

        Args:
            before: what comes first and may wait for other loads, so it is not counted as one.
        """
        return self._submit(name, (before or _nothing, work))

    def unload(self, name: str, work: Work) -> "Future[None]":
        """Run an unload in its turn; the future has its outcome."""
        return self._submit(name, (work, None))

    def unload_now(self, name: str, work: Callable[[], bool]) -> bool:
        """Run an unload in this thread, unless something of that name is under way; what it gives, or False.

        A load that is still at what comes first is not in the way, as it may wait for just this unload; it waits for its end.
        """
        with self._lock:
            meanwhile = name in self._preparing
            if self._stopped or name in self._unloading or (name in self._queues and not meanwhile):
                return False
            if meanwhile:
                self._unloading.add(name)
            else:
                self._queues[name] = deque()
        if meanwhile:
            return self._unload_meanwhile(name, work)
        try:
            return work()
        finally:
            with self._lock:
                waiting = bool(self._queues[name])
                if not waiting:
                    del self._queues[name]
            if waiting:
                self._start(name)

    def _unload_meanwhile(self, name: str, work: Callable[[], bool]) -> bool:
        try:
            return work()
        finally:
            with self._unloaded:
                self._unloading.discard(name)
                self._unloaded.notify_all()

    def stop(self) -> None:
        """Begin nothing more; whoever waits is told so, also for what is under way, which may never end."""
        with self._lock:
            self._stopped = True
            told = [*self._running, *(future for queue in self._queues.values() for _, _, future in queue)]
        for future in told:
            _end(future, _exiting())

    def _submit(self, name: str, work: tuple[Work, Work | None]) -> "Future[None]":
        future: Future[None] = Future()
        with self._lock:
            if self._stopped:
                future.set_exception(_exiting())
                return future
            if self._waiting >= _MOST_WAITING:
                future.set_exception(
                    UnavailableError(f"{self._waiting} loads and unloads are under way already; fix: try again later")
                )
                return future
            self._waiting += 1
            queue = self._queues.get(name)
            if queue is not None:
                queue.append((*work, future))
                return future
            self._queues[name] = deque([(*work, future)])
        self._start(name)
        return future

    def _start(self, name: str) -> None:
        try:
            threading.Thread(target=self._work, args=(name,), name=f"control {name}", daemon=True).start()
        except RuntimeError as error:  # the machine gives no more threads
            with self._lock:
                abandoned = self._queues.pop(name)
                self._waiting -= len(abandoned)
            for _, _, waiting in abandoned:
                waiting.set_exception(UnavailableError(f"cannot start a thread: {error}"))

    def _work(self, name: str) -> None:
        while True:
            with self._lock:
                queue = self._queues[name]
                if not queue:
                    del self._queues[name]
                    return
                first, loading, future = queue.popleft()
                self._running.add(future)
                stopped = self._stopped
            try:
                if stopped:
                    raise _exiting()
                self._prepare(name, first, loading is not None)
                if loading is not None:
                    with self._load_permits:
                        loading()
            except BaseException as error:
                _end(future, error)
            else:
                _end(future, None)
            with self._lock:
                self._running.discard(future)
                self._waiting -= 1

    def _prepare(self, name: str, first: Work, of_load: bool) -> None:
        if not of_load:
            first()
            return
        with self._lock:
            self._preparing.add(name)
        try:
            first()
        finally:
            with self._unloaded:
                self._preparing.discard(name)
                self._unloaded.wait_for(lambda: name not in self._unloading)


def together(futures: "Sequence[Future[None]]") -> "Future[None]":
    """The outcome of all of them: every error, in the kind of the first one."""
    if len(futures) == 1:
        return futures[0]
    outcome: Future[None] = Future()
    left, lock = len(futures), threading.Lock()

    def ended(_: "Future[None]") -> None:
        nonlocal left
        with lock:
            left -= 1
            if left:
                return
        errors = [error for future in futures if (error := future.exception()) is not None]
        if len(errors) > 1 and isinstance(errors[0], ServerError):
            _end(outcome, error_of_kind(errors[0].kind, "\n".join(map(str, errors))))
        else:
            _end(outcome, errors[0] if errors else None)

    for future in futures:
        future.add_done_callback(ended)
    return outcome


def refused(error: ServerError) -> "Future[None]":
    """The outcome of what is not even begun."""
    future: Future[None] = Future()
    future.set_exception(error)
    return future


def _nothing() -> None:
    pass


def _end(future: "Future[None]", error: BaseException | None) -> None:
    """End a future, unless `stop` did so already."""
    with contextlib.suppress(InvalidStateError):
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)


def _exiting() -> UnavailableError:
    return UnavailableError("Server exiting")
