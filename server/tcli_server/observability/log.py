"""The server's log: one terse line an event, as Triton writes them.

I1123 09:15:01.123456 4711 server] Started GRPCInferenceService at 0.0.0.0:8001
"""

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
    """

    verbose: int = 0
    info: bool = True
    warning: bool = True
    error: bool = True
    format: Literal["default", "ISO8601"] = "default"
    file: str = ""


class _TritonFormatter(logging.Formatter):
    def __init__(self, iso8601: bool) -> None:
        super().__init__()
        self._iso8601 = iso8601
        self._pid = os.getpid()

    def format(self, record: logging.LogRecord) -> str:
        letter = _LETTERS.get(record.levelno, "I")
        moment = datetime.fromtimestamp(record.created, UTC)
        stamp = f"{moment:%Y-%m-%dT%H:%M:%SZ} {letter}" if self._iso8601 else f"{letter}{moment:%m%d %H:%M:%S.%f}"
        message = record.getMessage()
        if record.exc_info:
            message += "\n" + self.formatException(record.exc_info)
        message = message.replace("\n", "\n  ")
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


def configure_log(options: LogOptions) -> None:
    """Log as the options say; replaces an earlier configuration.

    Raises:
        OSError: the log file cannot be written.
    """
    handler: logging.Handler
    if options.file:
        handler = logging.FileHandler(Path(options.file), encoding="utf-8")
    else:
        handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_TritonFormatter(options.format == "ISO8601"))
    handler.addFilter(_Chosen(options))
    for old in list(LOG.handlers):
        LOG.removeHandler(old)
        old.close()
    LOG.addHandler(handler)
    LOG.setLevel(logging.DEBUG if options.verbose else logging.INFO)
    LOG.propagate = False
