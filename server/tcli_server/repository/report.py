"""Collects the problems of one configuration file."""

from pathlib import Path

from tcli_server.repository.positions import Positions
from tcli_server.repository.problem import Problem


class Report:
    """Problems of one file, each with the line of its field where lines are known."""

    def __init__(self, file: Path | None, positions: Positions | None = None) -> None:
        self.problems: list[Problem] = []
        self._file = file
        self._positions = positions

    def add(self, field: str, found: str, expected: str, fix: str, line: int | None = None) -> None:
        """Add a problem of a field, once: a second one that says the same is dropped."""
        if line is None and self._positions is not None:
            line = self._positions.line(field) or 1
        problem = Problem(self._file, line, field, found, expected, fix)
        if problem not in self.problems:
            self.problems.append(problem)
