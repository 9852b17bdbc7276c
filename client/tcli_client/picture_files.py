"""Which picture files a person means: files, folders and patterns that the shell did not expand."""

# Names stay as they were given, so that they can be found again in the answer: a Path would lose a leading "./".
# ruff: noqa: PTH110, PTH112, PTH116, PTH118, PTH122, PTH207, PTH208

import difflib
import glob
import os
import re
import shlex
from collections.abc import Set
from urllib.parse import unquote, urlsplit

from tcli_client.errors import ImageError
from tcli_client.picture import picture_suffixes
from tcli_client.picture_kind import UNREADABLE_SUFFIXES

_ADDRESS = re.compile(r"([a-z][a-z0-9+.-]*)://", re.IGNORECASE)
_COPYING = {"s3": "aws s3 cp {} .", "gs": "gcloud storage cp {} ."}
_ENDINGS_SHOWN = 5
_CLOSE = 0.75  # of two short names with the same ending, difflib's 0.6 is little more than the ending


def find_pictures(argument: str) -> list[str]:
    """As `find_files`, of pictures; those of formats that are not read are among them, so that they are not passed over in
    silence.
    """
    return find_files(argument, picture_suffixes() | UNREADABLE_SUFFIXES, "picture")


def find_files(argument: str, suffixes: Set[str] | None, what: str = "data") -> list[str]:
    """The files behind one argument, written as the argument is.

    A file is itself, whatever its name. A folder is the files in it with one of the suffixes; sorted, without hidden ones
    and without sub-folders. Anything else is a pattern of `*`, `?`, `[...]` and `**` for folders at any depth; folders that
    it matches are as above.

    Args:
        suffixes: in small letters, with their dot; None for all files.
        what: they are, for messages.

    Raises:
        ImageError: there is no such file, no such one in the folder, no match, a folder that cannot be read; or it is an
            address.
    """
    if os.path.isdir(argument):
        files = _in_folder(argument, suffixes)
        if not files:
            raise ImageError(
                f"there is no {what} in this folder{_instead(argument)}",
                "sub-folders are not searched: use a pattern, '**/*.jpg'",
            )
        return files
    if os.path.exists(argument):
        return [argument]
    _refuse_address(argument)
    if not glob.has_magic(argument):
        raise _missing(argument)
    matches = sorted(glob.glob(argument, recursive=True))
    files = [file for match in matches for file in (_in_folder(match, suffixes) if os.path.isdir(match) else [match])]
    if not files:
        raise ImageError("no file matches this pattern")
    return list(dict.fromkeys(files))  # `**` matches both a folder and what is in it


def _missing(argument: str) -> ImageError:
    if argument == "-":
        return ImageError("there is no such file", "to read a picture from a pipe, name /dev/stdin")
    try:
        os.stat(argument)
    except (FileNotFoundError, NotADirectoryError):
        folder, name = os.path.split(argument)
        close = difflib.get_close_matches(name, _siblings(folder), 1, _CLOSE)
        return ImageError("there is no such file", f"did you mean '{os.path.join(folder, close[0])}'?" if close else "")
    except (OSError, ValueError) as problem:
        return ImageError(f"it cannot be read: {getattr(problem, 'strerror', None) or problem}")
    return ImageError("there is no such file")


def _siblings(folder: str) -> list[str]:
    try:
        return os.listdir(folder or ".")
    except OSError:
        return []


def _refuse_address(argument: str) -> None:
    if argument[:5].lower() == "data:":
        raise ImageError("a data URI is not read", "decode what follows 'base64,' into a file first")
    scheme = _ADDRESS.match(argument)
    if scheme is None:
        return
    name = scheme[1].lower()
    if name == "file":
        raise ImageError("addresses are not fetched", f"give the file's path: {unquote(urlsplit(argument).path)}")
    download = _COPYING.get(name, "curl -LO {}").format(shlex.quote(argument))
    raise ImageError("addresses are not fetched", f"download it first: {download}")


def _in_folder(folder: str, suffixes: Set[str] | None) -> list[str]:
    return [os.path.join(folder, name) for name in _names(folder) if suffixes is None or _ending(name) in suffixes]


def _instead(folder: str) -> str:
    """What a folder without pictures holds, by the endings of names."""
    names = _names(folder)
    endings = sorted({_ending(name) or "no ending" for name in names})
    shown = ", ".join(endings[:_ENDINGS_SHOWN]) + (", ..." if len(endings) > _ENDINGS_SHOWN else "")
    return f": the names of its {len(names)} files end in {shown}" if len(names) > 1 else ""


def _names(folder: str) -> list[str]:
    """The files of a folder but hidden ones, sorted."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.name for entry in entries if entry.is_file() and not entry.name.startswith("."))
    except OSError as problem:
        raise ImageError(f"the folder '{folder}' cannot be read: {problem.strerror}") from None


def _ending(name: str) -> str:
    return os.path.splitext(name)[1].lower()
