"""How charts and tables of a report call finalists: by letters, the same everywhere."""

from collections.abc import Sequence
from dataclasses import dataclass
from string import ascii_uppercase

from tcli_analyzer.configuration import Configuration
from tcli_analyzer.point import Point


@dataclass(frozen=True)
class Letters:
    """The finalists, in their order: the current configuration is A where it took part."""

    finalists: Sequence[Point]

    def of(self, configuration: Configuration) -> str:
        """Empty for one that is no finalist."""
        for letter, point in zip(ascii_uppercase, self.finalists, strict=False):
            if point.configuration is configuration:
                return letter
        return ""
