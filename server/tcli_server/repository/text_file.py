"""Reads a small file of a repository, whatever lies there under its name."""

import os
import stat
from io import BufferedReader
from pathlib import Path

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


class UnreadableFileError(Exception):
    """What lies there is no file that can be read; says what it is and what to do."""

    def __init__(self, found: str, fix: str) -> None:
        super().__init__(found)
        self.found = found
        self.fix = fix


def read_bytes(path: Path, most: int) -> bytes:
    """The content of a file of at most so many bytes. Never waits for somebody to write, as reading a pipe would.

    Raises:
        UnreadableFileError: it is no file, too large, or cannot be read.
    """
    try:
        with open_file(path, most) as file:
            content = file.read(most + 1)
    except OSError as error:
        raise UnreadableFileError(error.strerror or str(error), "give read permission or remove it") from None
    except ValueError as error:  # a name with a NUL character
        raise UnreadableFileError(str(error), "give it another name") from None
    if len(content) > most:
        raise UnreadableFileError(f"more than {most} bytes", "put the right file there")
    return content


def open_file(path: Path, most: int | None = None) -> BufferedReader:
    """Open a file, of at most so many bytes; never waits as opening a pipe would.

    Raises:
        OSError: it is not there, or cannot be opened; ValueError: the name has a NUL character.
        UnreadableFileError: it is no file, or too large.
    """
    # not opened before it is known to be a file: opening a device may already do something
    _check(path, path.stat(), most)
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    file = os.fdopen(descriptor, "rb")
    try:
        _check(path, os.fstat(descriptor), most)
    except BaseException:
        file.close()
        raise
    return file


def _check(path: Path, status: os.stat_result, most: int | None) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise UnreadableFileError(_kind(status), f"put a file in the place of {path}, or remove it")
    if most is not None and status.st_size > most:
        raise UnreadableFileError(f"a file of {status.st_size} bytes, more than {most}", "put the right file there")


def not_a_file(path: Path) -> str | None:
    """What a path is, in words, where it is no file: `missing`, a folder, why it cannot be seen; None where it is one."""
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return "missing"
    except (OSError, ValueError) as error:
        return f"not to be reached ({getattr(error, 'strerror', None) or error})"
    return None if stat.S_ISREG(status.st_mode) else _kind(status)


def _kind(status: os.stat_result) -> str:
    return next((name for is_kind, name in _KINDS if is_kind(status.st_mode)), "no regular file")
