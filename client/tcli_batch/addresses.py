"""Data by address: what `s3://bucket/rows.parquet` names is found and read through Arrow's file systems."""

# Names stay as they were given, so that they can be found again in the answer.
# ruff: noqa: PTH100, PTH116, PTH122, PTH123

import fnmatch
import glob
import io
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Set
from contextlib import contextmanager, suppress
from typing import IO, Any

from tcli_batch.errors import DataError

_ADDRESS = re.compile(r"(s3|gs|file)://", re.IGNORECASE)
_BUFFER = 1 << 20


def is_address(name: str) -> bool:
    """Whether a name is an address of a kind that Arrow has a file system for."""
    return _ADDRESS.match(name) is not None


def file_system(name: str) -> tuple[Any, str]:
    """Arrow's file system of an address, and the path in it; a plain name is of this machine.

    Credentials, regions and end points are found where Arrow finds them: in the environment or a cloud's own files.

    Raises:
        DataError: pyarrow is not there, or it does not understand the address.
    """
    try:
        from pyarrow import ArrowException, fs
    except ImportError:
        raise DataError(f"'{name}': addresses are read with Arrow", "pip install 'tcli[parquet]'") from None
    if not is_address(name):
        return fs.LocalFileSystem(), os.path.abspath(name)
    try:
        system, path = fs.FileSystem.from_uri(name)
    except (ArrowException, OSError) as problem:
        raise DataError(f"'{name}' is no address that can be read: {problem}") from None
    return system, path


def open_data(name: str) -> IO[bytes]:
    """A file or an address, to be read from any place.

    Raises:
        OSError: it is not there, or cannot be read.
    """
    if not is_address(name):
        return open(name, "rb")
    system, path = file_system(name)
    return io.BufferedReader(system.open_input_file(path), _BUFFER)


@contextmanager
def local_copy(name: str) -> Iterator[str]:
    """A file of this machine with what an address holds, for those who take nothing else; a plain name is itself.

    Raises:
        OSError: it is not there, or cannot be read.
    """
    if not is_address(name):
        yield name
        return
    with open_data(name) as stream, tempfile.NamedTemporaryFile(suffix=_ending(name)) as copy:
        shutil.copyfileobj(stream, copy, _BUFFER)
        copy.flush()
        yield copy.name


def find_address(address: str, suffixes: Set[str] | None) -> list[str]:
    """The files behind an address, sorted: itself, those of a folder, or those of a folder whose names match a pattern.

    Args:
        suffixes: of the files of a folder, in small letters, with their dot; None for all files.

    Raises:
        DataError: there is no such file, no match, or the address cannot be read.
    """
    folder, _, name = address.rpartition("/")
    pattern = name if glob.has_magic(name) else ""
    if glob.has_magic(folder):
        raise DataError(f"'{address}': only the last part of an address can be a pattern", "name the folder")
    base = folder if pattern else address.rstrip("/")
    system, path = file_system(base)
    from pyarrow import fs

    try:
        if not pattern:
            info = system.get_file_info(path)
            if info.is_file:
                return [address]
            if info.type == fs.FileType.NotFound:
                raise DataError(f"'{address}': there is no such file")
        entries = system.get_file_info(fs.FileSelector(path, allow_not_found=True))
    except OSError as problem:
        raise DataError(f"'{address}' cannot be read: {problem}") from None
    names = sorted(entry.base_name for entry in entries if entry.is_file and not entry.base_name.startswith("."))
    if pattern:
        found = fnmatch.filter(names, pattern)
    else:
        found = [name for name in names if suffixes is None or _ending(name) in suffixes]
    if not found:
        what = "no file matches this pattern" if pattern else "there is no data in this folder"
        raise DataError(f"'{address}': {what}")
    return [f"{base}/{name}" for name in found]


def file_state(name: str) -> dict[str, Any]:
    """What changes with a file: its size, and when it was written; its name only where it cannot be looked at."""
    with suppress(OSError, DataError):
        if is_address(name):
            system, path = file_system(name)
            info = system.get_file_info(path)
            return {"name": name, "size": info.size, "mtime_ns": info.mtime_ns}
        state = os.stat(name)
        return {"name": name, "size": state.st_size, "mtime_ns": state.st_mtime_ns}
    return {"name": name}


def _ending(name: str) -> str:
    return os.path.splitext(name)[1].lower()
