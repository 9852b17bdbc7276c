"""Many files into a folder, all of them or none: an older run's stay until the new ones are complete."""

import os
import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil


class Staged:
    """Files in the making, in a hidden folder beside where they go. Leaving it without `finish` removes them.

    Args:
        folder: where they go; made if it is not there.

    Raises:
        OSError: the folder cannot be written; it names the file as it would have been called.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._aside = folder / f".new-{os.getpid()}"

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        for left in self._folder.glob(".new-*"):
            number = left.name.removeprefix(".new-")
            if left == self._aside or not (number.isdigit() and psutil.pid_exists(int(number))):
                shutil.rmtree(left, ignore_errors=True)
        self._aside.mkdir()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        shutil.rmtree(self._aside, ignore_errors=True)

    def write(self, name: str, content: str | bytes) -> None:
        """A file by its path inside of the folder.

        Raises:
            OSError: as of the class.
        """
        path = self._aside / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        except OSError as error:
            raise _of(error, self._folder / name) from error

    def copy_tree(self, source: Path, name: str) -> None:
        """A folder with everything in it.

        Raises:
            OSError: as of the class.
        """
        try:
            shutil.copytree(source, self._aside / name)
        except OSError as error:
            raise _of(error, self._folder / name) from error
        except shutil.Error as error:
            _, target, reason = error.args[0][0]
            raise OSError(0, str(reason), str(self._folder / Path(target).relative_to(self._aside))) from error

    def finish(self, folders: Iterable[str], stale: Iterable[Path]) -> None:
        """Put everything in its place, and remove what is of an older run.

        Args:
            folders: that are replaced as a whole, by their path; other files are replaced one by one.
            stale: what is not there any more, where nothing new took its place.

        Raises:
            OSError: as of the class.
        """
        whole = [name for name in folders if (self._aside / name).is_dir()]
        new = sorted(path.relative_to(self._aside) for path in self._aside.rglob("*") if path.is_file())
        single = [path for path in new if not any(path.is_relative_to(name) for name in whole)]
        for relative in (*map(Path, whole), *single):  # what is in the way is found before anything is replaced
            self._make_room(self._folder / relative)
        for name in whole:
            self._swap(name)
        for relative in single:
            try:
                (self._aside / relative).replace(self._folder / relative)
            except OSError as error:
                raise _of(error, self._folder / relative) from error
        kept = {self._folder / name for name in (*map(str, new), *whole)}
        for path in stale:
            if path not in kept:
                _remove(path)

    def _make_room(self, target: Path) -> None:
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _of(error, Path(error.filename or target)) from error

    def _swap(self, name: str) -> None:
        target, old = self._folder / name, self._aside / ".old"
        try:
            if target.exists() or target.is_symlink():
                target.rename(old)
            (self._aside / name).rename(target)
        except OSError as error:
            if old.exists() and not target.exists():
                old.rename(target)
            raise _of(error, target) from error
        _remove(old)


def _remove(path: Path) -> None:
    """With the folder that it leaves empty."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    elif path.exists() or path.is_symlink():
        path.unlink()
        with suppress(OSError):  # it has other files
            path.parent.rmdir()


def _of(error: OSError, path: Path) -> OSError:
    return OSError(error.errno, error.strerror, str(path))


def write_atomically(path: Path, text: str) -> None:
    """Write aside, then rename: readers see the old file or the new one, never a part."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        aside.write_text(text, encoding="utf-8")
        if path.exists():
            shutil.copymode(path, aside)  # whoever could read the old one can read the new one
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
