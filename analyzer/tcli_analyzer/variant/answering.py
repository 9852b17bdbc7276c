"""What a process that measures does from its start to its end: answer one message after the other."""

import os
import queue
import traceback
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import IO, Any, Protocol

from tcli_analyzer.load.failing import LoadFailedError, StuckError
from tcli_analyzer.variant.messages import Failure, read_into, send
from tcli_server.errors import ServerError


class Worker(Protocol):
    """Whoever knows the answers; what it raises as `ServerError` and `LoadFailedError` is one."""

    def answer(self, message: Any) -> Any: ...


def answer_all(begin: Callable[[], AbstractContextManager[Worker]], answers: IO[bytes]) -> None:
    """Answer what comes on the standard input; the process ends with that, whatever it is at, or with status 1 if something fails."""
    messages: queue.SimpleQueue[Any] = queue.SimpleQueue()
    read_into(messages)
    try:
        with begin() as worker:
            while True:
                send(answers, _answered(worker, messages.get()))
    except BaseException:
        traceback.print_exc()
        os._exit(1)  # a usual end would wait for the reader


def _answered(worker: Worker, message: Any) -> Any:
    try:
        return worker.answer(message)
    except (ServerError, LoadFailedError) as error:
        return Failure(str(error), isinstance(error, StuckError))
