"""Files that are no protobuf text at all, but another format that people keep such settings in."""

import re
from typing import NamedTuple

_WANTED = 'protobuf text, as in: name: "x" max_batch_size: 8 input [ { name: "a" data_type: TYPE_FP32 dims: [ 3 ] } ]'
_START = re.compile(r"(?:[\s\ufeff]|#[^\n]*|//[^\n]*)*")
_BRACES = "write it as protobuf text: no braces around the whole, no quotes around names"


class ForeignFormat(NamedTuple):
    """Another format than protobuf text.

    Attributes:
        offset: where it shows.
        found: what it is.
        expected: what belongs there.
        fix: what to do.
    """

    offset: int
    found: str
    expected: str
    fix: str


_FORMATS = (
    (r"\{\s*(?:\"|\}\s*\Z)|\[\s*(?:[{\"]|\]\s*\Z)", "JSON", _BRACES),
    (r"\{\s*'", "a Python dictionary", _BRACES),
    (r"<[?!A-Za-z]", "XML or HTML", "write it as protobuf text, or download the file itself, not a page about it"),
    (r"version https://git-lfs", "a Git LFS pointer, not the file itself", "run 'git lfs pull'"),
    (r"(?:syntax\s*=|message\s+\w+\s*\{|package\s+[\w.]+;)", "a protobuf schema (.proto)", "write the values, not the schema"),
    (r"---[ \t]*\r?$|%YAML", "YAML", "write it as protobuf text: the fields of a message in { }, lists in [ ]"),
)  # fmt: skip
_BODIES = (
    (
        r"^(?:<{7}|={7}|>{7})(?:[ \t].*)?\r?$",
        "a mark of an unresolved merge conflict",
        "keep one of the two sides and remove the lines with <<<<<<<, ======= and >>>>>>>",
    ),
    (r"^[ \t]*```.*$", "a line of Markdown around the text (```)", "remove the lines with ```"),
    (
        r"^[ \t]*-[ \t]+[A-Za-z_]\w*[ \t]*:",
        "a list in YAML's form ('- name: ...')",
        "write lists as input [ { name: ... }, { name: ... } ]",
    ),
)
_SECTION = re.compile(r"^[ \t]*\[\[?[A-Za-z_][\w.-]*\]\]?[ \t]*\r?$", re.M)
_ASSIGNMENT = re.compile(r"^[ \t]*\w+[ \t]*=", re.M)


def foreign_format(text: str) -> ForeignFormat | None:
    """The other format that a text is in, if it shows one that protobuf text can never look like."""
    start = _START.match(text)
    offset = start.end() if start is not None else 0
    for pattern, name, fix in _FORMATS:
        if re.compile(pattern, re.M).match(text, offset):
            return ForeignFormat(offset, name, _WANTED, fix)
    for pattern, found, fix in _BODIES:
        match = re.search(pattern, text, re.M)
        if match is not None:
            return ForeignFormat(match.start(), found, "protobuf text only", fix)
    section = _SECTION.search(text)
    if section is not None and _ASSIGNMENT.search(text):
        return ForeignFormat(
            section.start(), "a section in the form of TOML or INI", _WANTED,
            "write it as protobuf text: 'name: value', and the fields of a message in { }",
        )  # fmt: skip
    return None
