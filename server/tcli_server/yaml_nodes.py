"""A YAML file of options as nodes that know their lines. Nothing is constructed from it, and what would take long or much is
refused."""

from collections.abc import Iterator
from pathlib import Path

import yaml

from tcli_server.repository.problem import Problem

MOST_BYTES = 256 << 10
_MOST_NODES = 20_000
_MOST_DEPTH = 24
_NULLS = ("~", "null", "Null", "NULL")
_EXPECTED = "a YAML file of keys and values"


class YamlFileError(Exception):
    """A file of `--config` that cannot be used; the message has a line for each problem.

    Attributes:
        problems: all that were found, in the order of their lines.
    """

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = sorted(problems, key=lambda problem: problem.line or 0)
        super().__init__("\n".join(map(str, self.problems)))


def read_nodes(path: Path) -> yaml.MappingNode:
    """The file's one mapping.

    Raises:
        YamlFileError: it cannot be read, is no YAML, is too large, or is not a mapping.
    """
    text = _read(path)
    try:
        _check_events(path, text)
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        raise YamlFileError([_syntax(path, text, error)]) from None
    except yaml.YAMLError as error:  # characters that YAML does not have
        line = text.count("\n", 0, getattr(error, "position", 0)) + 1
        reason = " ".join(str(error).split())[:200]
        raise YamlFileError([_problem(path, line, reason, _EXPECTED, "write it as text")]) from None
    if node is None:
        raise YamlFileError([_problem(path, None, "an empty file", _EXPECTED, "write 'key: value' into it")])
    if not isinstance(node, yaml.MappingNode):
        found = "a list" if isinstance(node, yaml.SequenceNode) else f"only text, '{plain(node)}'"
        raise YamlFileError([_problem(path, line_of(node), found, _EXPECTED, "begin lines with 'key: '")])
    return node


def line_of(node: yaml.Node) -> int:
    """1-based."""
    return int(node.start_mark.line) + 1


def entries_of(node: yaml.MappingNode) -> Iterator[tuple[yaml.Node, yaml.Node]]:
    """Keys and values, in order."""
    return iter(node.value)


def describe(node: yaml.Node) -> str:
    """What a node is, for messages."""
    if isinstance(node, yaml.MappingNode):
        return "keys and values"
    if isinstance(node, yaml.SequenceNode):
        return "a list"
    return "nothing" if is_nothing(node) else f"'{plain(node)}'"


def is_nothing(node: yaml.Node) -> bool:
    """An empty value, or a null."""
    return isinstance(node, yaml.ScalarNode) and (not node.value or (node.style is None and node.value in _NULLS))


def plain(node: yaml.Node) -> str:
    """The text of a scalar in one line, shortened."""
    return _short(node.value)


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        fix = "name another with --config"
        raise YamlFileError([_problem(path, None, str(error.strerror), "a file that can be read", fix)]) from None
    if len(content) > MOST_BYTES:
        found = f"more than {MOST_BYTES >> 10} KiB"
        raise YamlFileError([_problem(path, None, found, _EXPECTED, "name the file with --config that you mean")])
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        found = f"byte 0x{content[error.start]:02x}, which is no UTF-8 text"
        raise YamlFileError([_problem(path, line, found, _EXPECTED, "save it as UTF-8")]) from None


def _check_events(path: Path, text: str) -> None:
    """Refuse what `compose` would follow for long: aliases multiply, and depth ends the stack."""
    depth = count = documents = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        line = int(getattr(event.start_mark, "line", 0)) + 1
        found = fix = ""
        count += isinstance(event, yaml.NodeEvent)
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        documents += isinstance(event, yaml.DocumentStartEvent)
        if isinstance(event, yaml.AliasEvent):
            found, fix = f"an alias (*{_short(event.anchor)})", "write the values out"
        elif isinstance(event, yaml.ScalarEvent | yaml.CollectionStartEvent) and _has_tag(event):
            found, fix = f"a tag ({_short(event.tag)})", "remove it"
        elif documents > 1:
            found, fix = "a second document (---)", "put it into a file of its own"
        elif depth > _MOST_DEPTH:
            found, fix = f"more than {_MOST_DEPTH} levels, one in the other", "write it flatter"
        elif count > _MOST_NODES:
            found, fix = f"more than {_MOST_NODES:,} values", "shorten it"
        if found:
            raise YamlFileError([_problem(path, line, found, "plain keys and values", fix)])


def _has_tag(event: yaml.ScalarEvent | yaml.CollectionStartEvent) -> bool:
    return event.tag is not None and event.tag != "!"


def _syntax(path: Path, text: str, error: yaml.MarkedYAMLError) -> Problem:
    mark = error.problem_mark if error.problem_mark is not None else error.context_mark
    number = int(getattr(mark, "line", 0))
    lines = text.splitlines() or [""]
    line = lines[min(number, len(lines) - 1)]
    if "\t" in line[: len(line) - len(line.lstrip())] or "'\\t'" in str(error.problem):
        return _problem(path, number + 1, "a tab", "spaces: YAML has no tabs before a value", "replace it by spaces")
    reason = " ".join(part for part in (error.context, error.problem) if part)
    fix = f"correct the line near '{_short(line.strip())}'" if line.strip() else "correct what is before this line"
    if "could not find expected ':'" in reason:
        fix = f"write 'key: value' with a space after the colon: '{_short(line.strip())}'"
    elif "mapping values are not allowed" in reason:
        fix = "write 'key: value' in each line, and indent lines alike that belong together; the line before may lack its colon"
    return _problem(path, number + 1, f"no YAML ({reason})", _EXPECTED, fix)


def _problem(path: Path, line: int | None, found: str, expected: str, fix: str) -> Problem:
    return Problem(path, line, "", found, expected, fix)


def _short(text: object) -> str:
    plain = " ".join(str(text).split())
    return plain if len(plain) <= 60 else f"{plain[:57]}..."
