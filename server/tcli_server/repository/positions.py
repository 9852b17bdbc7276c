"""Where each field of a config.pbtxt stands."""

import re


class Positions:
    """Field path (`input[0].dims`) -> 1-based line.

    A path that the file does not mention (a field left out) has the line of the nearest message around it.
    """

    def __init__(self) -> None:
        self._lines: dict[str, int] = {}

    def record(self, path: str, line: int) -> None:
        """Remember the line of a path; the first mention of a path wins."""
        self._lines.setdefault(path, line)

    def move(self, prefix: str, new_prefix: str) -> None:
        """Rename a path and everything below it."""
        for path in [path for path in self._lines if path == prefix or path.startswith(prefix + ".")]:
            self._lines[new_prefix + path[len(prefix) :]] = self._lines.pop(path)

    def line(self, path: str) -> int | None:
        """The line of a path or, where the file does not mention it, of what is around it."""
        while path:
            if path in self._lines:
                return self._lines[path]
            path = re.sub(r"(\[[^\[\]]*\]|\.?[^.\[\]]+)$", "", path)
        return None
