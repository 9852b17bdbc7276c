"""Where each field of a config.pbtxt stands, and which of them could not be read."""

import re
from bisect import bisect_right
from dataclasses import dataclass
from typing import TypeVar

from tcli_server.repository.problem import Edit

_Anything = TypeVar("_Anything")
_LAST_PART = re.compile(r"(\[[^\[\]]*\]|\.?[^.\[\]]+)$")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a field or an element of a list stands, in characters from the start of the text.

    Attributes:
        start, end: the value, with its brackets.
        remove_start, remove_end: what goes when it is removed: its name and the separator behind it as well.
    """

    start: int
    end: int
    remove_start: int
    remove_end: int


class Positions:
    """Field path (`input[0].dims`) -> 1-based line, and the edits that change a field.

    A path that the file does not mention (a field left out) has the line of the nearest message around it.
    """

    def __init__(self, text: str = "") -> None:
        self._text = text
        self._line_starts = [0, *(match.end() for match in re.finditer("\n", text))]
        self._lines: dict[str, int] = {}
        self._places: dict[str, Place | None] = {}
        self._unread: set[str] = set()
        self._guessed: set[str] = set()
        self._gaps: set[str] = set()
        self._lost = False

    def record(self, path: str, line: int) -> None:
        """Remember the line of a path; the first mention of a path wins."""
        self._lines.setdefault(path, line)

    def record_place(self, path: str, place: Place) -> None:
        """Remember where a path stands; one that stands in several places cannot be edited."""
        self._places[path] = None if path in self._places else place

    def move(self, prefix: str, new_prefix: str) -> None:
        """Rename a path and everything below it, all of them recorded last."""
        _move_last(self._lines, prefix, new_prefix)
        _move_last(self._places, prefix, new_prefix)

    def line(self, path: str) -> int | None:
        """The line of a path or, where the file does not mention it, of what is around it."""
        while path:
            if path in self._lines:
                return self._lines[path]
            path = _LAST_PART.sub("", path)
        return None

    def not_read(self, path: str) -> None:
        """Say that the value of a path is there but could not be read."""
        self._unread.add(path)

    def guessed(self, path: str) -> None:
        """Say that the value of a path was told to be wrong and is what was probably meant.

        It serves to judge other fields by; judging the field itself, or the list around it, would tell it twice.
        """
        self._guessed.add(path)
        if path.endswith("]"):
            self._guessed.add(_LAST_PART.sub("", path))

    def not_understood(self, parent: str) -> None:
        """Say that the message has a field that means nothing, which may have been meant for one that is missing."""
        self._gaps.add(parent)

    def lose(self) -> None:
        """Say that the text could not be read to its end."""
        self._lost = True

    def is_told(self, path: str) -> bool:
        """Whether it is told already that the value of a path is wrong."""
        return path in self._guessed or self.doubts(path)

    def doubts(self, path: str) -> bool:
        """Whether the value of a path, or something in or around it, is not what the file says.

        Judging it would tell one mistake twice: first as what cannot be read, then as what is missing.
        """
        if self._lost or any(_within(path, unread) or _within(unread, path) for unread in self._unread):
            return True
        return path not in self._lines and _LAST_PART.sub("", path) in self._gaps

    def line_at(self, offset: int) -> int:
        """The line on which the character before an offset is."""
        return bisect_right(self._line_starts, max(0, offset - 1))

    def edit(self, start: int, end: int, new: str) -> Edit:
        """The edit that replaces the text between two offsets."""
        line = bisect_right(self._line_starts, start)
        return Edit(line, start - self._line_starts[line - 1] + 1, self._text[start:end], new)

    def writing(self, path: str, value: str) -> tuple[Edit, ...]:
        """The edits that give a field another value; none where the file does not mention it."""
        places = self._occurrences(path)
        if not places:
            return ()
        first, *others = places
        removals = [self.edit(place.remove_start, place.remove_end, "") for place in others]
        return (self.edit(first.start, first.end, value), *removals)

    def removing(self, path: str) -> tuple[Edit, ...]:
        """The edits that remove a field, all its elements if it is a list, or one element."""
        return tuple(self.edit(place.remove_start, place.remove_end, "") for place in self._occurrences(path))

    def adding(self, message: str, field: str) -> tuple[Edit, ...]:
        """The edits that add a field (`name: value`) to a message, or at the end of the file for an empty path."""
        if not message:
            end = len(self._text)
            before = "\n" if self._text and not self._text.endswith("\n") else ""
            return (self.edit(end, end, f"{before}{field}\n"),)
        place = self._places.get(message)
        return (self.edit(place.start + 1, place.start + 1, f" {field}"),) if place is not None else ()

    def _occurrences(self, path: str) -> list[Place]:
        """Every place of a field, several where a list is written in several parts; none where they are not known."""
        whole = self._places.get(path)
        if whole is None and path in self._places:
            return []
        found = [whole] if whole is not None else []
        for element, place in self._places.items():
            if element.endswith("]") and _LAST_PART.sub("", element) == path:
                if place is None:
                    return []
                if whole is None or _outside(place, whole):
                    found.append(place)
        return sorted(found, key=lambda place: place.start)


def _outside(element: Place, whole: Place) -> bool:
    return element.end <= whole.start or element.start >= whole.end


def _within(path: str, outer: str) -> bool:
    return path == outer or path.startswith((outer + ".", outer + "["))


def _move_last(of_path: dict[str, _Anything], prefix: str, new_prefix: str) -> None:
    moved: dict[str, _Anything] = {}
    while of_path and _within(next(reversed(of_path)), prefix):
        path, value = of_path.popitem()
        moved[new_prefix + path[len(prefix) :]] = value
    for path, value in reversed(moved.items()):
        of_path.setdefault(path, value)
