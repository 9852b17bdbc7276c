"""Writes a model folder so that nobody ever sees half of it."""

import contextlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tcli_server.errors import AlreadyExistsError, InvalidArgumentError
from tcli_server.repository.entries import is_there

try:
    import fcntl
except ImportError:  # Windows: nothing is locked there, and nothing abandoned is looked for
    fcntl = None  # type: ignore[assignment]

_NEW, _OLD, _LOCK = "new", "old", "lock"


@contextlib.contextmanager
def staged_folder(target: Path, force: bool = False) -> Iterator[Path]:
    """An empty folder to write into, which becomes `target` when the block ends without an error.

    The folder is a hidden neighbour of `target` (same file system, invisible to a model repository). With `force` an
    existing `target` is replaced as a whole; on any error or interruption it stays as it was. What a process left that was
    killed on the way is removed by the next one.

    Raises:
        AlreadyExistsError: `target` exists and `force` is not given.
        InvalidArgumentError: the folder around `target` cannot be written.
    """
    _clear_abandoned(target)
    if is_there(target) and not force:
        raise AlreadyExistsError(f"{target} already exists")
    made = [folder for folder in target.parents if not is_there(folder)]
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        stage = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".tmp", dir=target.parent))
    except OSError as error:
        raise InvalidArgumentError(f"cannot write into {target.parent}: {error.strerror}") from None
    descriptor = _locked(stage)
    try:
        fresh = stage / _NEW
        fresh.mkdir()
        yield fresh
        _put_in_place(fresh, target, stage / _OLD, force)
    finally:
        shutil.rmtree(stage, ignore_errors=True)
        if descriptor is not None:
            os.close(descriptor)
        for folder in made:
            with contextlib.suppress(OSError):  # it holds something now
                folder.rmdir()


def _put_in_place(fresh: Path, target: Path, aside: Path, force: bool) -> None:
    try:
        if force and is_there(target):
            target.rename(aside)
        fresh.rename(target)
    except BaseException as error:
        if aside.exists() and not target.exists():
            aside.rename(target)
        elif isinstance(error, OSError) and target.exists():  # somebody else was faster
            raise AlreadyExistsError(f"{target} already exists") from None
        raise


def _locked(stage: Path) -> int | None:
    """The lock by which others see that the folder is in use: it goes with the process. None where nothing can be locked."""
    if fcntl is None:
        return None
    unseen = stage / f"{_LOCK}.new"
    descriptor = None
    try:
        descriptor = os.open(unseen, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        unseen.rename(stage / _LOCK)  # nobody finds it before it is locked
    except OSError:
        if descriptor is not None:
            os.close(descriptor)
        return None
    return descriptor


def _clear_abandoned(target: Path) -> None:
    """Remove what killed processes left beside `target`, after what they had put aside is back in its place."""
    if fcntl is None:
        return
    ours = re.compile(rf"\.{re.escape(target.name)}\.[^.]+\.tmp")
    with contextlib.suppress(OSError):
        for stage in [entry for entry in target.parent.iterdir() if ours.fullmatch(entry.name)]:
            with contextlib.suppress(OSError):  # it is in use, or not surely ours
                descriptor = os.open(stage / _LOCK, os.O_RDWR | os.O_NOFOLLOW)
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    if is_there(stage / _OLD) and not is_there(target):
                        (stage / _OLD).rename(target)
                    shutil.rmtree(stage, ignore_errors=True)
                finally:
                    os.close(descriptor)
