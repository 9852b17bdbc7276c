"""Who works at a folder: one process at a time, where the system has locks that end with their process."""

import contextlib
import os
from pathlib import Path
from typing import IO

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_NAME = "lock"


class FolderLock:
    """A lock on a folder, which is made if need be.

    A file system that has no locks lets everybody in: two commands at one output are then the user's to avoid.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file: IO[bytes] | None = None

    @property
    def taken(self) -> bool:
        """Whether it is ours."""
        return self._file is not None

    def is_at(self, path: Path) -> bool:
        """Whether a path is the lock's own file."""
        return path == self._folder / _NAME

    def take(self) -> bool:
        """Whether it is ours now.

        Raises:
            OSError: the folder cannot be made or written.
        """
        while True:
            self._folder.mkdir(parents=True, exist_ok=True)
            try:
                file = (self._folder / _NAME).open("wb")
            except FileNotFoundError:  # whoever was done took the folder away meanwhile
                continue
            try:
                if fcntl is not None:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.close()
                return False
            except OSError:
                pass  # a file system without locks keeps nobody away
            if _is_there(file, self._folder / _NAME):
                self._file = file
                return True
            file.close()

    def release(self) -> None:
        """Let others have it."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def remove(self) -> None:
        """Take the folder away, of which nothing but the lock is left, and release it."""
        with contextlib.suppress(OSError):
            (self._folder / _NAME).unlink()
        with contextlib.suppress(OSError):
            self._folder.rmdir()
        self.release()
        if os.name == "nt":  # where nothing that is open can be taken away
            with contextlib.suppress(OSError):
                (self._folder / _NAME).unlink()
                self._folder.rmdir()


def _is_there(file: IO[bytes], path: Path) -> bool:
    """Whether a file that was opened is still the one of that name."""
    with contextlib.suppress(OSError):
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    return False
