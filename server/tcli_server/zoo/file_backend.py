"""Which backend a file is for, by its content and by its name."""

import re
from pathlib import Path

from tcli_server.backends import BackendKind
from tcli_server.backends.registry import kinds, usual
from tcli_server.errors import InvalidArgumentError
from tcli_server.file_kind import HEAD_BYTES
from tcli_server.repository.text_file import UnreadableFileError, open_file
from tcli_server.zoo.other_formats import other_format

_MOST_BYTES_SEARCHED = 1 << 20


def kind_of_file(path: Path) -> BackendKind:
    """By its content where that tells, else by its ending; what nothing tells is tried as the usual kind.

    Raises:
        InvalidArgumentError: no backend runs such files, or it cannot be read.
    """
    head = beginning(path)
    other = other_format(head, path.suffix)
    kind = None if other else marked(head) or by_ending(path)
    other = other or (None if kind else other_format(head, path.suffix, certain=False))
    if other is not None:
        known = ", ".join(dict.fromkeys(file for kind in kinds() for file in kind.files))
        raise InvalidArgumentError(f"{path} is {other[0]}, expected a model such as {known}: {other[1]}")
    return kind or usual()


def beginning(path: Path) -> bytes:
    """The first bytes of a file.

    Raises:
        InvalidArgumentError: it cannot be read.
    """
    try:
        with open_file(path) as file:
            return file.read(HEAD_BYTES)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise InvalidArgumentError(f"{path} cannot be read ({why}): give permission to read it") from None
    except UnreadableFileError as error:
        raise InvalidArgumentError(f"{path} is {error.found}: {error.fix}") from None


def marked(head: bytes) -> BackendKind | None:
    """The kind whose files begin so."""
    return next((kind for kind in kinds() if kind.source.mark and re.match(kind.source.mark, head)), None)


def by_ending(path: Path) -> BackendKind | None:
    """The first kind whose files have the ending of this one's name."""
    ending = path.suffix.lower()
    return next((kind for kind in kinds() if ending in endings(kind)), None)


def endings(kind: BackendKind) -> set[str]:
    """How the names of a kind's files end; none where its models are folders."""
    return set() if kind.is_folder else {*kind.suffixes, *kind.source.endings} - {""}


def is_told(kind: BackendKind, path: Path, head: bytes) -> bool:
    """Whether a file has what those of a kind have, where others have the same ending."""
    source = kind.source
    if not source.contains or (source.mark and re.match(source.mark, head)):
        return True
    try:
        with open_file(path) as file:
            return source.contains in file.read(_MOST_BYTES_SEARCHED)
    except (OSError, UnreadableFileError):
        return False
