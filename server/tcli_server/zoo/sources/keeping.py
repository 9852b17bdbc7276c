"""The folder of the cache that a source's files are kept in."""

import contextlib
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

if sys.platform != "win32":
    import fcntl


@contextlib.contextmanager
def own_folder(folder: Path) -> Iterator[None]:
    """Make a folder, and wait until no other process works in it.

    Raises:
        OSError: it cannot be made.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if sys.platform == "win32":
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # file systems that cannot lock: then two may do the same work
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def put_copy(source: Path, target: Path) -> None:
    """Have a file at another place too, without a second copy on the disk where that can be."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    try:
        os.link(source.resolve(), target)
    except OSError:
        partial = target.with_name(f"{target.name}.part")
        shutil.copyfile(source, partial)
        partial.replace(target)
