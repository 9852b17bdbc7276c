"""Splits protobuf text format into tokens, each with its place."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from google.protobuf.text_encoding import CUnescape

_TOKEN = re.compile(
    r"""
    (?P<skip>\s+|\#[^\n]*)
    |[A-Za-z_][0-9A-Za-z_+-]*
    |(?:[0-9+-]|\.[0-9])[0-9A-Za-z_.+-]*
    |"(?:[^"\n\\]|\\.)*"?
    |'(?:[^'\n\\]|\\.)*'?
    |.
    """,
    re.VERBOSE,
)


class Token(NamedTuple):
    """A word, number, string (with its quotes) or single character; empty at the end of the text.

    `line` and `column` count from 1.
    """

    text: str
    line: int
    column: int

    @property
    def is_name(self) -> bool:
        """Whether it can name a field."""
        return self.text[:1].isalpha() or self.text[:1] == "_"

    @property
    def is_string(self) -> bool:
        """Whether it starts with a quote."""
        return self.text[:1] in ('"', "'")

    @property
    def is_closed_string(self) -> bool:
        """Whether it is a string that ends with the quote that it starts with."""
        return self.is_string and len(self.text) > 1 and self.text[-1] == self.text[0]

    @property
    def bare(self) -> str:
        """The text without quotes around it."""
        return self.text.strip(self.text[0]) if self.is_string else self.text

    def unescaped(self) -> str:
        """The value of a closed string.

        Raises:
            ValueError: an escape is wrong, or the bytes are no UTF-8.
        """
        return CUnescape(self.text[1:-1]).decode("utf-8")


def tokens(text: str) -> Iterator[Token]:
    """Every token of a text, then an empty one at the last line that has anything on it."""
    line, line_start, last = 1, 0, 1
    for match in _TOKEN.finditer(text):
        if match["skip"] is None:
            yield Token(match[0], line, match.start() - line_start + 1)
            last = line
        newlines = match[0].count("\n")
        if newlines:
            line += newlines
            line_start = match.start() + match[0].rindex("\n") + 1
    yield Token("", last, 0)
