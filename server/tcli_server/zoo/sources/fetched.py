"""What a source gives: a model on this machine's disk, and what is to be known about it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tcli_server.errors import UnavailableError

Watch = Callable[[str, int, int], None]
"""Called with a file's name, its bytes that are there, and those that there will be, 0 where nobody knows."""


@dataclass(frozen=True, slots=True)
class FetchedModel:
    """A model that was fetched; its files are kept in a cache, and must not be changed.

    Attributes:
        path: its file or folder, as a user's own would be.
        name: what it may be called; None for what the path says.
        comments: where it is from, revision, licence and hash, a line each, for the head of its configuration.
        beside: the folder with what else the source has about it (labels, preprocessing), None for nothing.
        notes: what was decided on the way, for the reader.
    """

    path: Path
    name: str | None
    comments: tuple[str, ...]
    beside: Path | None = None
    notes: tuple[str, ...] = ()


class SourceError(UnavailableError):
    """A model could not be fetched: what from where, why, and what to do."""

    def __init__(self, source: object, reason: str, fix: str = "") -> None:
        super().__init__(f"{source}: {reason}" + (f": {fix}" if fix else ""))


def one_line(text: object) -> str:
    """Text of somebody else as part of a comment's line: printable, and not longer than anybody would read."""
    line = "".join(character if character.isprintable() else " " for character in str(text))
    return " ".join(line.split())[:300]
