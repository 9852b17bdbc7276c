"""Does one job of the guard in a process of its own: a crash, a hang or too little memory there is a reason, and no end."""

import contextlib
import threading
import time
from typing import IO

from tcli_analyzer.guard.jobs import Answer, Doing, Failed, Job, Told
from tcli_analyzer.measuring.visit import Stopped
from tcli_analyzer.variant.messages import receive, send
from tcli_server.apart import ApartProcess

_LOOK_SECONDS = 0.05


def run_apart(job: Job, limit: float, stop: threading.Event, memory: int | None) -> Answer:
    """The answer to a job.

    Args:
        limit: seconds, loading included; then it is ended.
        memory: bytes that it may hold; None for nearly all that are free.

    Raises:
        Stopped: `stop` was set.
    """
    try:
        with ApartProcess("tcli_analyzer.guard.worker", (), memory) as process:
            return _outcome(process, job, limit, stop)
    except OSError as error:
        return Failed(f"no process could be started for it: {error.strerror or error}")


def _outcome(process: ApartProcess, job: Job, limit: float, stop: threading.Event) -> Answer:
    told = Told()
    talk = threading.Thread(target=_talk, args=(process.input, process.output, job, told), daemon=True)
    talk.start()
    end = time.monotonic() + limit
    while talk.is_alive():
        talk.join(_LOOK_SECONDS)
        if stop.is_set():
            raise Stopped
        excess = process.excess()
        if excess:
            return Failed(f"{excess} (while {told.doing})", ended=True)
        if time.monotonic() > end:
            return Failed(f"it took longer than {limit:g} seconds (while {told.doing})", ended=True)
    if told.answer is not None:
        return told.answer
    death = process.death()
    return Failed(f"{death.reason} (while {told.doing})", died=death.is_own, ended=True)


def _talk(inputs: IO[bytes], outputs: IO[bytes], job: Job, told: Told) -> None:
    with contextlib.suppress(OSError, EOFError, ValueError):  # why it is gone is told by the process
        send(inputs, job)
        while told.answer is None:
            message = receive(outputs)
            if isinstance(message, Doing):
                told.doing = message.what
            else:
                told.answer = message
