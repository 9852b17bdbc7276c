"""Work in a process of its own: what crashes, hangs or fills the memory there takes nothing else with it."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, NamedTuple, Self

import psutil

from tcli_server.hardware.memory import free_memory

_START = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); import tcli_server; from {} import main; main()"
"""The server first, as it has NVIDIA's messages without their gRPC: a process that nobody connects to starts a sixth sooner."""

_END_SECONDS = 5.0
_MEMORY_SHARE = 0.9
_LAST_WORDS = 600


class Death(NamedTuple):
    """Why a process ended.

    Attributes:
        reason: for people.
        is_own: what ran in it is to blame, as far as that can be told: a server would have ended, too.
    """

    reason: str
    is_own: bool


class ApartProcess:
    """Runs a module's `main` until `__exit__`, which ends it and whatever it started.

    The child calls `begin_apart` first, and ends when this process does, however that comes.

    Args:
        module: whose `main` runs; `sys.argv[2:]` are `arguments` there.
        memory: bytes that it may hold with all its children; None for nearly all that are free.

    Attributes:
        input: the child's standard input.
        output: what the child writes to the descriptor that `begin_apart` gave it.

    Raises:
        OSError: on entering, the system starts no more processes.
    """

    def __init__(self, module: str, arguments: Sequence[str] = (), memory: int | None = None) -> None:
        self._command = [sys.executable, "-c", _START.format(module)]
        self._command += [json.dumps([path or str(Path.cwd()) for path in sys.path]), *arguments]
        self.memory = memory or int(_MEMORY_SHARE * free_memory())

    def __enter__(self) -> Self:
        self._said: IO[bytes] = tempfile.TemporaryFile()
        try:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,  # it ends with this process, which need not say so
                stdout=subprocess.PIPE,
                stderr=self._said,
                start_new_session=True,  # Ctrl-C is for this process
            )
        except OSError:
            self._said.close()
            raise
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self.input, self.output = self._process.stdin, self._process.stdout
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):
            self.input.close()
        if self._process.poll() is None:
            with contextlib.suppress(OSError):
                if hasattr(os, "killpg"):
                    os.killpg(self._process.pid, signal.SIGKILL)
                else:
                    self._process.kill()
        self._process.wait()
        self.output.close()
        self._said.close()

    @property
    def pid(self) -> int:
        """Of the child."""
        return self._process.pid

    def held_memory(self) -> int:
        """Bytes that the process and those which it started hold."""
        held = 0
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(self.pid)
            for one in (process, *process.children(recursive=True)):
                with contextlib.suppress(psutil.Error):
                    held += int(one.memory_info().rss)
        return held

    def excess(self) -> str:
        """That it holds more memory than it may, for people; empty as long as it does not."""
        if self.held_memory() > self.memory:
            return f"it needed more memory than there is for it: {self.memory / 2**20:,.0f} MiB"
        return ""

    def death(self) -> Death:
        """Why it came to an end; waits a moment for it to do so."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_END_SECONDS)
        status = self._process.returncode
        if status is not None and -status == getattr(signal, "SIGKILL", 9):
            reason = "the process that ran it was killed (SIGKILL), as the system does when memory runs out"
            return Death(reason, is_own=False)
        how = f"ended with exit status {status}"
        if status is not None and status < 0:
            with contextlib.suppress(ValueError):
                how = f"was ended by {signal.Signals(-status).name}"
        return Death(f"the process that ran it {how}, as a server's would" + self._last_words(), is_own=True)

    def _last_words(self) -> str:
        self._said.seek(0, os.SEEK_END)
        self._said.seek(max(0, self._said.tell() - _LAST_WORDS))
        words = " ".join(self._said.read().decode(errors="replace").split())
        return f"; its last words: {words}" if words else ""


def begin_apart() -> IO[bytes]:
    """What a child calls first: what frameworks print goes to the standard error from here on.

    Returns:
        Where its answers go.
    """
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    with contextlib.suppress(OSError):  # not Linux
        Path("/proc/self/oom_score_adj").write_text("1000")  # the first to go when memory runs out
    return answers


def end_with_parent() -> None:
    """End this child once its standard input ends; for those that are sent nothing."""
    threading.Thread(target=_await_parent, daemon=True).start()


def _await_parent() -> None:
    os.read(0, 1)
    os._exit(1)
