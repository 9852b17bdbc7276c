"""Which picture files a person means: files, folders and patterns that the shell did not expand."""

import glob
import os
from collections.abc import Iterable
from pathlib import Path

from tcli_client.errors import ImageError
from tcli_client.picture import picture_suffixes


def find_pictures(argument: str) -> list[str]:
    """The files behind one argument, written as the argument is.

    A file is itself, whatever its name. A folder is the files in it with the name of a picture, sorted, without hidden ones and
    without sub-folders. Anything else is a pattern of `*`, `?`, `[...]` and `**` for folders at any depth; folders that
    it matches are as above.

    Raises:
        ImageError: there is no such file, or no picture in the folder, or no match.
    """
    if Path(argument).is_dir():
        files = _in_folder(argument)
        if not files:
            raise ImageError(
                "there is no picture in this folder", "sub-folders are not searched: use a pattern, '**/*.jpg'"
            )
        return files
    if Path(argument).exists() or not glob.has_magic(argument):
        return [argument]
    matches = sorted(glob.glob(argument, recursive=True))  # noqa: PTH207  a Path loses a leading "./"
    files = [file for match in matches for file in (_in_folder(match) if Path(match).is_dir() else [match])]
    if not files:
        raise ImageError("no file matches this pattern")
    return list(dict.fromkeys(files))  # `**` matches both a folder and what is in it


def _in_folder(folder: str) -> list[str]:
    suffixes = picture_suffixes()
    with os.scandir(folder) as entries:
        names = sorted(entry.name for entry in entries if entry.is_file() and not entry.name.startswith("."))
    return [os.path.join(folder, name) for name in _pictures(names, suffixes)]  # noqa: PTH118  keeps a leading "./"


def _pictures(names: Iterable[str], suffixes: frozenset[str]) -> list[str]:
    return [name for name in names if Path(name).suffix.lower() in suffixes]
