"""Typed values out of YAML nodes; everything that is wrong is collected, with its line and field."""

import difflib
import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from tcli_server.repository.problem import Problem
from tcli_server.yaml_nodes import describe, entries_of, is_nothing, line_of, plain

_DURATION = re.compile(r"(\d{1,7}(?:\.\d{1,3})?) ?(s|m|min|h)?", re.ASCII)
_SECONDS = {None: 1, "s": 1, "m": 60, "min": 60, "h": 3600}
_NUMBER = re.compile(r"(\d{1,9}(\.\d{0,9})?|\.\d{1,9})(e-?\d{1,2})?", re.ASCII)
_SWITCHES = {"true": True, "false": False}
_LONGEST = 4096
_LONGEST_FIELD = 200
_MOST_PROBLEMS = 50
"""Who has more has another kind of file."""


class RefusedError(Exception):
    """A value that does not fit: node, what was found, what is expected, the fix; the field may add what is below it."""

    def __init__(self, node: yaml.Node, found: str, expected: str, fix: str, below: str = "") -> None:
        super().__init__(found)
        self.node, self.found, self.expected, self.fix, self.below = node, found, expected, fix, below


Read = Callable[["Reading", yaml.Node, str], Any]
"""Reads a value: what collects problems, the node, the field's full name. Raises `RefusedError`."""


class Reading:
    """Collects what is wrong with a file, and where its fields are.

    Attributes:
        lines: of each field that was read, by its full name.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.problems: list[Problem] = []
        self.lines: dict[str, int] = {}

    def complain(self, node: yaml.Node, field: str, found: str, expected: str, fix: str) -> None:
        """Note a problem."""
        if len(self.problems) < _MOST_PROBLEMS:
            self.problems.append(Problem(self.path, line_of(node), field[:_LONGEST_FIELD], found, expected, fix))

    def mapping(
        self, node: yaml.Node, field: str, known: Mapping[str, Read], elsewhere: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """The values of a mapping by their keys, with `_` for `-`; wrong ones are noted and left out.

        Args:
            field: the mapping's own full name, empty for the file.
            elsewhere: keys that belong into another place -> what to do with them.
        """
        found: dict[str, Any] = {}
        for written, key_node, value in self.pairs(node, field):
            key = written.replace("-", "_")
            path = f"{field}.{key}" if field else key
            if key in known:
                value_found = self.value(known[key], value, path)
                if value_found is not None:
                    found[key] = value_found
            elif elsewhere and key in elsewhere:
                self.complain(key_node, path, f"'{key}'", "it in another place", elsewhere[key])
            else:
                near = difflib.get_close_matches(key.lower(), known, 1)
                fix = f"did you mean '{near[0]}'?" if near else "remove it"
                self.complain(key_node, path, f"'{plain(key_node)}'", f"one of {', '.join(known)}", fix)
        return found

    def pairs(self, node: yaml.Node, field: str) -> list[tuple[str, yaml.Node, yaml.Node]]:
        """Each key, its node and its value; keys that come again are noted and left out."""
        if not isinstance(node, yaml.MappingNode):
            raise RefusedError(node, describe(node), "keys and values", "indent lines 'key: value' below it")
        found: dict[str, tuple[str, yaml.Node, yaml.Node]] = {}
        for key_node, value in entries_of(node):
            if not isinstance(key_node, yaml.ScalarNode):
                self.complain(key_node, field, describe(key_node), "a word as a key", "write 'key: value'")
                continue
            key = str(key_node.value)
            path = f"{field}.{key}" if field else key
            same = found.setdefault(key.replace("-", "_"), (key, key_node, value))
            if same[1] is not key_node:
                expected = f"it once (line {line_of(same[1])} has it)"
                self.complain(key_node, path, f"'{plain(key_node)}' again", expected, "remove one of them")
            else:
                self.lines[path.replace("-", "_")] = line_of(key_node)
        return list(found.values())

    def value(self, read: Read, node: yaml.Node, field: str) -> Any:
        """One value; None where it is wrong, which is noted."""
        try:
            return read(self, node, field)
        except RefusedError as error:
            self.complain(error.node, field + error.below, error.found, error.expected, error.fix)
            return None


def scalar(node: yaml.Node, expected: str, fix: str) -> str:
    """The text of a scalar, as it is written."""
    if not isinstance(node, yaml.ScalarNode) or is_nothing(node) or len(node.value) > _LONGEST:
        raise RefusedError(node, describe(node), expected, fix)
    return str(node.value)


def text_of(expected: str, example: str) -> Read:
    """Any text."""

    def read(_: Reading, node: yaml.Node, field: str) -> str:
        return scalar(node, expected, f"write {_key(field)}: {example}")

    return read


def path_of(_: Reading, node: yaml.Node, field: str) -> Path:
    """A path, relative to where the command runs."""
    return _path(node, scalar(node, "a path", f"write {_key(field)}: ./folder"))


def flag(_: Reading, node: yaml.Node, field: str) -> bool:
    """true or false."""
    text = scalar(node, "true or false", f"write {_key(field)}: true").lower()
    if text not in _SWITCHES:
        raise RefusedError(node, f"'{plain(node)}'", "true or false", f"write {_key(field)}: true")
    return _SWITCHES[text]


def choice(*words: str) -> Read:
    """One of these."""
    expected = f"{', '.join(words[:-1])} or {words[-1]}"

    def read(_: Reading, node: yaml.Node, field: str) -> str:
        text = scalar(node, expected, f"write {_key(field)}: {words[0]}")
        if text not in words:
            near = difflib.get_close_matches(text.lower(), words, 1)
            fix = f"did you mean '{near[0]}'?" if near else f"write {_key(field)}: {words[0]}"
            raise RefusedError(node, f"'{plain(node)}'", expected, fix)
        return text

    return read


def number(expected: str, example: str, least: float = 0.0, above: bool = True, below: float = math.inf) -> Read:
    """A number above the least, or from it on, and below the last."""

    def read(_: Reading, node: yaml.Node, field: str) -> float:
        text = scalar(node, expected, f"write {_key(field)}: {example}")
        value = float(text) if _NUMBER.fullmatch(text) else math.nan
        if not (value > least if above else value >= least) or not value < below:
            raise RefusedError(node, f"'{plain(node)}'", expected, f"write {_key(field)}: {example}")
        return value

    return read


def whole(expected: str, example: str, least: int = 0) -> Read:
    """A whole number of at most nine digits."""

    def read(_: Reading, node: yaml.Node, field: str) -> int:
        text = scalar(node, expected, f"write {_key(field)}: {example}")
        if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text) >= least):
            raise RefusedError(node, f"'{plain(node)}'", expected, f"write {_key(field)}: {example}")
        return int(text)

    return read


def parse_duration(text: str) -> float:
    """`90`, `90s`, `5m`, `1.5h` -> seconds.

    Raises:
        ValueError: it is none of these, or 0.
    """
    match = _DURATION.fullmatch(text)
    seconds = float(match[1]) * _SECONDS[match[2]] if match else 0.0
    if not seconds:
        raise ValueError(f"'{text[:60]}': expected seconds, or a time such as 90s, 5m or 1h")
    return seconds


def duration(_: Reading, node: yaml.Node, field: str) -> float:
    """As `parse_duration`."""
    expected = "seconds, or a time such as 90s, 5m or 1h"
    try:
        return parse_duration(scalar(node, expected, f"write {_key(field)}: 5m"))
    except ValueError:
        raise RefusedError(node, f"'{plain(node)}'", expected, f"write {_key(field)}: 5m") from None


def texts(expected: str, example: str) -> Read:
    """A list of texts, or one text."""

    def read(_: Reading, node: yaml.Node, field: str) -> tuple[str, ...]:
        fix = f"write {_key(field)}: [{example}]"
        if isinstance(node, yaml.SequenceNode) and node.value:
            return tuple(scalar(item, expected, fix) for item in node.value)
        return (scalar(node, expected, fix),)

    return read


def paths(reading: Reading, node: yaml.Node, field: str) -> tuple[Path, ...]:
    """A list of paths, or one."""
    return tuple(_path(node, text) for text in texts("a path, or a list of paths", "./models")(reading, node, field))


def _path(node: yaml.Node, text: str) -> Path:
    try:
        return Path(text).expanduser()
    except RuntimeError:  # the home of somebody whom this machine does not know
        raise RefusedError(node, f"'{text[:60]}'", "a path", "write the home folder out") from None


def _key(field: str) -> str:
    return field.rpartition(".")[2]
