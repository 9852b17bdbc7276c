"""The server's log: one terse line an event, as Triton writes them.

I1123 09:15:01.123456 4711 server] Started GRPCInferenceService at 0.0.0.0:8001
"""

import contextlib
import logging
import os
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

LOG = logging.getLogger("tcli_server")
"""Where the whole server logs: `info`, `warning`, `error`, and `debug` for what only --log-verbose shows."""

_LETTERS = {logging.DEBUG: "I", logging.INFO: "I", logging.WARNING: "W", logging.ERROR: "E", logging.CRITICAL: "E"}


@dataclass(frozen=True, slots=True)
class LogOptions:
    """What is logged, how and where; names and defaults are Triton's.

    Attributes:
        verbose: 0 for none, 1 and more for `debug` lines too.
        format: `default` (`I1123 09:15:01.123456`) or `ISO8601` (`2026-11-23T09:15:01Z I`).
        file: append to this file instead of writing to stderr.
        pid: of the process that the lines are about, None for this one.
    """

    verbose: int = 0
    info: bool = True
    warning: bool = True
    error: bool = True
    format: Literal["default", "ISO8601"] = "default"
    file: str = ""
    pid: int | None = None


_options = LogOptions()


def escaped(text: str) -> str:
    """Text without anything that moves a cursor, ends a line or cannot be encoded: such characters as `\\x1b`, `\\n`.

    Names of models, files and headers come from strangers; unescaped they could write lines of their own into a log.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _code(char) for char in text)


def _code(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")


class _TritonFormatter(logging.Formatter):
    def __init__(self, iso8601: bool, pid: int) -> None:
        super().__init__()
        self._iso8601 = iso8601
        self._pid = pid

    def format(self, record: logging.LogRecord) -> str:
        letter = _LETTERS.get(record.levelno, "I")
        moment = datetime.fromtimestamp(record.created, UTC)
        stamp = f"{moment:%Y-%m-%dT%H:%M:%SZ} {letter}" if self._iso8601 else f"{letter}{moment:%m%d %H:%M:%S.%f}"
        message = escaped(record.getMessage())
        further = self.formatException(record.exc_info) if record.exc_info else record.exc_text
        if further:
            lines = further.split("\n")
            message += "".join(f"\n  {escaped(line)}" for line in lines)  # indented: no line of it is an event's
        return f"{stamp} {self._pid} {record.module}] {message}"


class _Chosen(logging.Filter):
    def __init__(self, options: LogOptions) -> None:
        super().__init__()
        self._shown = {
            logging.DEBUG: options.verbose > 0,
            logging.INFO: options.info,
            logging.WARNING: options.warning,
            logging.ERROR: options.error,
            logging.CRITICAL: options.error,
        }

    def filter(self, record: logging.LogRecord) -> bool:
        return self._shown.get(record.levelno, True)


class _StderrHandler(logging.Handler):
    """Writes to whatever `sys.stderr` is at the moment."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record)
        except Exception:  # arguments that do not fit their text: a defect, but no reason to fail whoever logs
            self.handleError(record)
            return
        with contextlib.suppress(OSError, ValueError, AttributeError):  # nobody reads it any more: nowhere to say so
            sys.stderr.write(f"{line}\n")
            sys.stderr.flush()


class _FileHandler(logging.Handler):
    """Appends whole lines without a buffer of its own, so that a full disk costs lines and nothing else."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        # NONBLOCK: opening a named pipe would wait for whoever reads it.
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NONBLOCK", 0), 0o666)
        if hasattr(os, "O_NONBLOCK"):
            os.set_blocking(self._file, True)
        self._lost = 0

    def emit(self, record: logging.LogRecord) -> None:
        try:
            if self._lost:
                lost = logging.LogRecord(
                    record.name, logging.WARNING, __file__, 0, "%d lines before this one are lost", (self._lost,), None
                )
                self._write(self.format(lost))
                self._lost = 0
            self._write(self.format(record))
        except OSError as error:
            if not self._lost:
                with contextlib.suppress(OSError, ValueError):
                    sys.stderr.write(f"cannot write {self._path}: {error.strerror}; lines are lost until it works\n")
            self._lost += 1
        except Exception:
            self.handleError(record)

    def _write(self, line: str) -> None:
        rest = memoryview(f"{line}\n".encode(errors="backslashreplace"))
        while rest:
            rest = rest[os.write(self._file, rest) :]

    def close(self) -> None:
        with contextlib.suppress(OSError):
            os.close(self._file)
        super().close()


def configure_log(options: LogOptions) -> None:
    """Log as the options say; replaces an earlier configuration.

    Raises:
        OSError: the log file cannot be written.
    """
    handler: logging.Handler = _FileHandler(Path(options.file)) if options.file else _StderrHandler()
    for old in list(LOG.handlers):
        LOG.removeHandler(old)
        old.close()
    LOG.addHandler(handler)
    LOG.propagate = False
    change_log(options)


def log_options() -> LogOptions:
    """How it is logged at present."""
    return _options


def change_log(options: LogOptions) -> None:
    """Log as the options say from now on, but to where `configure_log` said."""
    global _options
    for handler in LOG.handlers:
        pid = os.getpid() if options.pid is None else options.pid
        handler.setFormatter(_TritonFormatter(options.format == "ISO8601", pid))
        handler.filters[:] = [_Chosen(options)]
    LOG.setLevel(logging.DEBUG if options.verbose else logging.INFO)
    _options = options
