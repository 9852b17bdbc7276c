"""Temporary folders that do not outlive the server: not its end, and not by much a kill that lets nobody clean up.

All folders of a process are in one, which it keeps locked. The lock goes with the process, however that ends, so another
one can tell an abandoned folder from one in use, also where process numbers say nothing, as in containers that share /tmp.
"""

import atexit
import contextlib
import os
import shutil
import tempfile
import threading
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: nothing is locked there, and nothing abandoned is looked for
    fcntl = None  # type: ignore[assignment]

_PREFIX = "tcli-models-"
_LOCK_FILE = "lock"


class _Own:
    """This process' folder, once there is one; a forked child makes its own."""

    lock = threading.Lock()
    pid = 0
    folder: Path | None = None
    descriptor = -1


def new_folder() -> Path:
    """An empty folder.

    Raises:
        OSError: it cannot be made.
    """
    with _Own.lock:
        if _Own.folder is None or _Own.pid != os.getpid() or not _Own.folder.is_dir():
            _make_own()
        assert _Own.folder is not None
        return Path(tempfile.mkdtemp(dir=_Own.folder))


def discard_folder(folder: Path) -> None:
    """Delete a folder that `new_folder` made, and this process' own if it was the last one in there."""
    if _Own.pid != os.getpid():  # after a fork: it is the parent's
        return
    shutil.rmtree(folder, ignore_errors=True)
    with _Own.lock:
        own = _Own.folder
        if own is not None and not any(entry.name != _LOCK_FILE for entry in _entries(own)):
            _remove_own(own)


def remove_own_folders() -> None:
    """Delete all that this process made, for an end that lets nothing else run."""
    own = _Own.folder
    if own is not None and _Own.pid == os.getpid():
        _remove_own(own)


def remove_abandoned_folders() -> None:
    """Delete what processes of this user left that were killed; a folder in use, or not surely ours, stays."""
    if fcntl is None:
        return
    for folder in _entries(Path(tempfile.gettempdir())):
        if not folder.name.startswith(_PREFIX):
            continue
        with contextlib.suppress(OSError):
            if folder.is_symlink() or folder.stat().st_uid != os.geteuid():
                continue
            descriptor = os.open(folder / _LOCK_FILE, os.O_RDWR | os.O_NOFOLLOW)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(descriptor)


def _make_own() -> None:
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
    descriptor = os.open(folder / _LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
    if fcntl is not None:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    if not folder.is_dir():  # another process took it for an abandoned one, just before it was locked
        os.close(descriptor)
        _make_own()
        return
    _Own.folder, _Own.pid, _Own.descriptor = folder, os.getpid(), descriptor


def _remove_own(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    _Own.folder = None
    with contextlib.suppress(OSError):
        os.close(_Own.descriptor)


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []


atexit.register(remove_own_folders)
