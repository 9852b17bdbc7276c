"""A process that is asked one thing at a time."""

import contextlib
import queue
import threading
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

from tcli_analyzer.measuring.visit import Stopped
from tcli_analyzer.variant.messages import Failure, receive, send
from tcli_server.apart import ApartProcess
from tcli_server.errors import InternalError

ANSWER_SECONDS = 900.0
"""That anything may take, unless it says how long: to load a model, some engines compile it."""

_LOOK_SECONDS = 0.1


class VariantDiedError(Exception):
    """The process came to an end, hangs, or used more memory than it may: it is of no use any more. The message says how."""


class AskedProcess:
    """Runs a module's `main`, which answers what comes on its standard input, from `__enter__` until `__exit__`.

    Args:
        module, arguments, memory: as of `ApartProcess`.
        stop: set it, from any thread, to give up whatever goes on.
    """

    def __init__(self, module: str, arguments: Sequence[str], stop: threading.Event, memory: int | None = None) -> None:
        self._stop = stop
        self._process = ApartProcess(module, arguments, memory)
        self._answers: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def __enter__(self) -> Self:
        self._process.__enter__()
        threading.Thread(target=self._read, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.__exit__(kind, error, trace)

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    def check_memory(self) -> None:
        """As `ask` does while it waits: for one whose answers come at once.

        Raises:
            VariantDiedError: it uses more than it may.
        """
        excess = self._process.excess()
        if excess:
            raise VariantDiedError(excess)

    def ask(self, message: Any, seconds: float = ANSWER_SECONDS) -> Any:
        """Send a message and wait for its answer, so many seconds at most.

        Raises:
            InternalError: the answer is a `Failure`, in its words.
            VariantDiedError: the process came to an end, or hangs.
            Stopped: `stop` was set.
        """
        with contextlib.suppress(OSError):  # why it is gone is told below
            send(self._process.input, message)
        ends = time.monotonic() + seconds
        while True:
            if self._stop.is_set():
                raise Stopped
            if time.monotonic() > ends:
                raise VariantDiedError(f"it hangs: no answer within {seconds:.0f} s")
            with contextlib.suppress(queue.Empty):
                answer = self._answers.get(timeout=_LOOK_SECONDS)
                break
            self.check_memory()
        if isinstance(answer, Failure):
            if answer.is_stuck:
                raise VariantDiedError(answer.message)
            raise InternalError(answer.message)
        if answer is None:
            self._answers.put(None)
            raise VariantDiedError(self._process.death().reason)
        return answer

    def _read(self) -> None:
        try:
            with contextlib.suppress(EOFError, OSError, ValueError):
                while True:
                    self._answers.put(receive(self._process.output))
        finally:
            self._answers.put(None)
