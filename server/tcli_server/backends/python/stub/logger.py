"""`Logger`: lines of a model in the server's log."""

from __future__ import annotations

import sys
from enum import Enum
from types import FrameType

from .errors import TritonModelException
from .link import server


class Level(Enum):
    """How much a line matters; `VERBOSE` is shown with `--log-verbose` only."""

    INFO = 0
    WARNING = 1
    ERROR = 2
    VERBOSE = 3


class Logger:
    """Writes to the server's log, with the file and the line of who calls; used without an instance.

    Raises:
        TypeError: a message that is no text, or a level that is none.
    """

    LogLevel = Level
    INFO = Level.INFO
    WARNING = Level.WARNING
    ERROR = Level.ERROR
    VERBOSE = Level.VERBOSE

    @staticmethod
    def log(message: str, level: Level = INFO) -> None:
        """Write a line of that level."""
        if not isinstance(level, Level):
            raise TypeError(f"level: expected one of Logger's levels such as Logger.INFO, found {level!r}")
        _log(message, level, sys._getframe(1))

    @staticmethod
    def log_info(message: str) -> None:
        """Write a line for whoever reads along."""
        _log(message, Level.INFO, sys._getframe(1))

    @staticmethod
    def log_warn(message: str) -> None:
        """Write a line about what may become a failure."""
        _log(message, Level.WARNING, sys._getframe(1))

    @staticmethod
    def log_error(message: str) -> None:
        """Write a line about a failure."""
        _log(message, Level.ERROR, sys._getframe(1))

    @staticmethod
    def log_verbose(message: str) -> None:
        """Write a line for whoever looks for a failure."""
        _log(message, Level.VERBOSE, sys._getframe(1))


def _log(message: str, level: Level, caller: FrameType) -> None:
    if not isinstance(message, str):
        raise TypeError(f"message: expected a str, found {type(message).__name__}")
    file, line = caller.f_code.co_filename, caller.f_lineno
    try:
        server().tell("log", {"level": level.name, "text": message, "file": file, "line": line})
    except TritonModelException:  # there is no server, or none any more: no reason for a model to fail
        sys.stderr.write(f"{level.name} {file}:{line}] {message}\n")
