"""The end of a process, and of whatever it started: noticed and reaped in one place.

Until a process is reaped, the system gives its number, which is its group's as well, to nobody else. So whoever signals it
or its group has to know that it is not reaped yet.
"""

import contextlib
import os
import signal
import subprocess
import threading
import time

_SHORTEST_PAUSE_SECS = 0.0005
_LONGEST_PAUSE_SECS = 0.02


class Ending:
    """Of a process that leads a group of its own; any thread may ask."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._process = process
        self._lock = threading.Lock()

    def status(self) -> int | None:
        """How it ended, a signal as a negative number; None while it runs. Its group is ended with it."""
        process = self._process
        with self._lock:
            if process.returncode is None and self._is_over():
                with contextlib.suppress(
                    OSError
                ):  # what the model started is not to outlive it, nor to keep its output open
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            return process.returncode

    def wait(self, secs: float | None = None) -> int | None:
        """As `status`, once it has ended; None if it has not after so many seconds."""
        deadline = None if secs is None else time.monotonic() + secs
        pause = _SHORTEST_PAUSE_SECS
        while (status := self.status()) is None:
            if deadline is not None and time.monotonic() >= deadline:
                return None
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECS)
        return status

    def signal(self, number: int) -> None:
        """Send it a signal, if it has not ended."""
        with self._lock:
            if self._process.returncode is None:
                os.kill(self._process.pid, number)

    def _is_over(self) -> bool:
        """Whether it has ended; it stays to be reaped, where the system can leave it so."""
        if not hasattr(os, "waitid"):  # macOS
            return self._process.poll() is not None
        try:
            return os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None
        except ChildProcessError:  # somebody else reaped it
            return True
