"""Brings what native libraries write to stderr into the server's log.

ONNX Runtime has no way to hand its log lines to Python: its C++ code writes them to file descriptor 2. While a
`NativeLog` is there, that descriptor is a pipe to a small process (`native_log_filter.py`), which logs ONNX Runtime's
lines as the server logs its own and passes everything else on unchanged. It is a process and not a thread, because
native code may hold the interpreter's lock while it waits for a full pipe, and because what a library says last, before
it brings the process down, must not go down with it.
"""

import contextlib
import dataclasses
import faulthandler
import json
import os
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self, TextIO

from tcli_server.observability.log import LogOptions

_STDERR = 2
_PATIENCE_SECS = 2
_FILTER = Path(__file__).with_name("native_log_filter.py")


class NativeLog:
    """Redirects descriptor 2 until `close`; Python's own `sys.stderr` and fatal tracebacks go on to where it led before.

    For a process that has nothing else to do than to serve: descriptors belong to the whole process. Where it is not
    possible (not POSIX, no stderr, no process to be had) everything stays as it is.
    """

    def __init__(self, options: LogOptions) -> None:
        self._filter: subprocess.Popen[bytes] | None = None
        self._before: TextIO | None = None
        if os.name != "posix" or not sys.executable or not _is_stderr(sys.stderr):
            return
        with contextlib.suppress(OSError):
            self._redirect(dataclasses.replace(options, pid=os.getpid()))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _redirect(self, options: LogOptions) -> None:
        read, write = os.pipe()
        try:
            self._filter = subprocess.Popen(
                [sys.executable, "-I", "-S", str(_FILTER), json.dumps(dataclasses.asdict(options))],
                stdin=read,
                stdout=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is for the server; this ends when the last writer is gone
            )
            self._before = sys.stderr
            self._before.flush()
            original = os.dup(_STDERR)
            sys.stderr = os.fdopen(original, "w", buffering=1, encoding="utf-8", errors="backslashreplace")
            faulthandler.enable(original)
            os.dup2(write, _STDERR)
        finally:
            os.close(read)
            os.close(write)

    def close(self) -> None:
        """Put descriptor 2 back, once everything that was written to it is passed on."""
        if self._filter is None or self._before is None:
            return
        sys.stderr.flush()
        os.dup2(sys.stderr.fileno(), _STDERR)
        sys.stderr, self._before = self._before, None
        faulthandler.enable()
        with contextlib.suppress(subprocess.TimeoutExpired):  # a child of ours still has the pipe
            self._filter.wait(_PATIENCE_SECS)


def _is_stderr(stream: TextIO | None) -> bool:
    try:
        return stream is not None and stream.fileno() == _STDERR
    except (OSError, ValueError):
        return False
