"""Collects the problems of one configuration file."""

from pathlib import Path

from tcli_server.repository.positions import Positions
from tcli_server.repository.problem import Edit, Problem

_MOST_PROBLEMS = 100
_MOST_CHARACTERS = 400


class Report:
    """Problems of one file, each with the line of its field where lines are known; at most 100 of them."""

    def __init__(self, file: Path | None, positions: Positions | None = None) -> None:
        self.problems: list[Problem] = []
        self._file = file
        self._positions = positions

    @property
    def is_full(self) -> bool:
        """Whether nothing more is taken: who has so many problems repairs some before reading on."""
        return len(self.problems) >= _MOST_PROBLEMS

    def add(
        self, field: str, found: str, expected: str, fix: str, line: int | None = None, edits: tuple[Edit, ...] = ()
    ) -> None:
        """Add a problem of a field, once: a second one that says the same is dropped.

        Without a line it is a judgement of what was read, which is dropped where that is not what the file says.
        """
        if line is None and self._positions is not None:
            if self._positions.is_told(field):
                return
            line = self._positions.line(field) or 1
        problem = Problem(self._file, line, _shown(field), _shown(found), _shown(expected), _shown(fix), edits)
        if not self.is_full and problem not in self.problems:
            self.problems.append(problem)

    def doubts(self, field: str) -> bool:
        """Whether the field is there but could not be read, so that nothing may be concluded from its value."""
        return self._positions is not None and self._positions.doubts(field)

    def writing(self, field: str, value: str) -> tuple[Edit, ...]:
        """The edits that give a field another value, as far as lines are known."""
        return self._positions.writing(field, value) if self._positions is not None else ()

    def removing(self, field: str) -> tuple[Edit, ...]:
        """The edits that remove a field, as far as lines are known."""
        return self._positions.removing(field) if self._positions is not None else ()

    def adding(self, message: str, field: str) -> tuple[Edit, ...]:
        """The edits that add a field (`name: value`) to a message, as far as lines are known."""
        return self._positions.adding(message, field) if self._positions is not None else ()


def _shown(text: str) -> str:
    """A text from a file as it may reach a terminal or a log: of a bearable length, without control characters."""
    text = text if len(text) <= _MOST_CHARACTERS else f"{text[:_MOST_CHARACTERS]}..."
    return "".join(character if character.isprintable() else ascii(character)[1:-1] for character in text)
