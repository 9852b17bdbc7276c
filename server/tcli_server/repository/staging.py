"""Writes a model folder so that nobody ever sees half of it."""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tcli_server.errors import AlreadyExistsError, InvalidArgumentError
from tcli_server.repository.entries import is_there


@contextlib.contextmanager
def staged_folder(target: Path, force: bool = False) -> Iterator[Path]:
    """An empty folder to write into, which becomes `target` when the block ends without an error.

    The folder is a hidden neighbour of `target` (same file system, invisible to a model repository). With `force` an
    existing `target` is replaced as a whole; on any error or interruption it stays as it was.

    Raises:
        AlreadyExistsError: `target` exists and `force` is not given.
        InvalidArgumentError: the folder around `target` cannot be written.
    """
    if is_there(target) and not force:
        raise AlreadyExistsError(f"{target} already exists")
    made = [folder for folder in target.parents if not is_there(folder)]
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        stage = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".tmp", dir=target.parent))
    except OSError as error:
        raise InvalidArgumentError(f"cannot write into {target.parent}: {error.strerror}") from None
    try:
        fresh = stage / "new"
        fresh.mkdir()
        yield fresh
        _put_in_place(fresh, target, stage / "old", force)
    finally:
        shutil.rmtree(stage, ignore_errors=True)
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
