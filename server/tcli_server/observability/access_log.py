"""The access log: a line a request, written by a thread of its own, which no request waits for.

Several processes may write to one file: each line is appended whole. A file that is renamed (logrotate) is opened anew within a second.
"""

import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tcli_server.errors import UnavailableError
from tcli_server.observability.access_entry import AccessEntry
from tcli_server.observability.log import LOG
from tcli_server.observability.written_file import check_writable

STDOUT = "-"

MOST_WAITING = 10_000
"""Lines that wait to be written. More are lost, as memory and requests are worth more."""

_GATHER_SECS = 0.05
"""How long lines may wait for others: waking a thread for each would cost more than writing it."""

_TOGETHER = 32
"""Lines of one write. Between two the interpreter is free for the loop."""

_AT_ONCE = getattr(os, "O_NONBLOCK", 0)
"""Opening a FIFO that nobody reads fails instead of waiting."""

_LOOK_SECS = 1.0
_TELL_SECS = 10.0
_CLOSE_SECS = 2.0


@dataclass(frozen=True, slots=True)
class AccessLogOptions:
    """Where requests are logged and how.

    Attributes:
        file: appended to; `-` for the standard output.
        sample: every so many requests are logged; those that fail, always.
    """

    file: str
    format: Literal["text", "json"] = "text"
    sample: int = 1

    def check(self) -> None:
        """Whether the file can be written, as far as that is known without writing; messages name the fields.

        Raises:
            UnavailableError: it cannot.
        """
        if self.file != STDOUT:
            check_writable("access_log", self.file)

    def open(self) -> int:
        """The file's descriptor, to append to.

        Raises:
            UnavailableError: it cannot be written.
        """
        if self.file == STDOUT:
            return sys.__stdout__.fileno() if sys.__stdout__ is not None else os.open(os.devnull, os.O_WRONLY)
        try:
            file = os.open(self.file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | _AT_ONCE, 0o640)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise UnavailableError(
                f"access_log: cannot write '{self.file}': {reason}; fix: name another file"
            ) from None
        if _AT_ONCE:
            os.set_blocking(file, True)
        return file


class AccessLog:
    """Takes entries in the loop's thread, and writes them in its own.

    Args:
        lost: told how many lines were lost, from any thread.

    Raises:
        UnavailableError: the file cannot be written.
    """

    def __init__(self, options: AccessLogOptions, lost: Callable[[int], None]) -> None:
        self._options = options
        self._lost = lost
        self._file = options.open()
        self._looked_at = time.monotonic()
        self._is_json = options.format == "json"
        self._waiting: deque[AccessEntry] = deque()
        self._seen = 0
        self._torn = False  # the last line is there only in part
        self._is_stuck = False  # the file cannot be opened anew
        self._refused = self._unwritten = self._told = (
            0  # lines that were lost: by the loop, by the thread, of which is told
        )
        self._told_at = -_TELL_SECS
        self._reason = ""
        self._wake = threading.Event()
        self._awake = False
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._write_all, name="access-log", daemon=True)
        self._thread.start()

    def begin(self, protocol: str, client: str, method: bytes, path: bytes, bytes_in: int) -> AccessEntry:
        """A request has come, all of it; see `AccessEntry`."""
        return AccessEntry(self._put, protocol, client, method, path, bytes_in)

    def close(self) -> None:
        """Write what waits, for two seconds at most."""
        self._closed.set()
        self._wake.set()
        self._thread.join(_CLOSE_SECS)

    def _put(self, entry: AccessEntry) -> None:
        if not entry.failed and self._options.sample > 1:
            self._seen += 1
            if self._seen % self._options.sample:
                return
        if len(self._waiting) >= MOST_WAITING:
            self._refused += 1
            self._lost(1)
            return
        self._waiting.append(entry)
        if not self._awake:
            self._awake = True
            self._wake.set()

    def _write_all(self) -> None:
        while not (self._closed.is_set() and not self._waiting):
            self._wake.wait()
            self._wake.clear()
            self._closed.wait(_GATHER_SECS)
            self._awake = False  # before looking, so that whatever comes after the last look wakes this again
            while self._waiting:
                entries = [self._waiting.popleft() for _ in range(min(_TOGETHER, len(self._waiting)))]
                try:
                    lines = [entry.line(self._is_json) for entry in entries]
                    self._follow_rotation()
                except Exception:  # a defect, for which no line after these is to be lost
                    LOG.exception("requests cannot be noted in the access log")
                else:
                    self._write(lines)
            self._tell()

    def _write(self, lines: list[bytes]) -> None:
        """Append lines. Those that are not written whole are lost, and the next one begins a new line."""
        begin = b"\n" if self._torn else b""
        data = b"".join((begin, *lines))
        written = 0
        try:
            while written < len(data):
                written += os.write(self._file, data[written:] if written else data)
        except OSError as error:  # a full disk, a reader that is gone
            self._reason = error.strerror or str(error)
        if written:
            self._torn = data[written - 1 : written] != b"\n"
        lost = len(lines) - data.count(b"\n", len(begin), written)
        if lost:
            self._unwritten += lost
            self._lost(lost)

    def _follow_rotation(self) -> None:
        """Open the file anew if what has its name is another one; where that fails, go on with the one that there is."""
        now = time.monotonic()
        if self._options.file == STDOUT or now - self._looked_at < _LOOK_SECS:
            return
        self._looked_at = now
        try:
            if os.path.samestat(Path(self._options.file).stat(), os.fstat(self._file)):
                return
        except OSError:  # there is none of its name
            pass
        try:
            fresh = self._options.open()
        except UnavailableError as error:
            if not self._is_stuck:
                LOG.warning("%s (lines go to the file that was opened before)", error)
            self._is_stuck = True
            return
        self._is_stuck = self._torn = False
        old, self._file = self._file, fresh
        os.close(old)

    def _tell(self) -> None:
        now, lost = time.monotonic(), self._refused + self._unwritten
        if lost > self._told and (now - self._told_at >= _TELL_SECS or self._closed.is_set()):
            reason = self._reason or "more requests than could be written"
            LOG.warning("the access log has lost %d lines: %s", lost - self._told, reason)
            self._told, self._told_at, self._reason = lost, now, ""
