"""Where the reader of a text is, and how it tells what is wrong there."""

import re
from typing import Any, NamedTuple

from tcli_server.repository.pbtxt.tokens import Slip, Token, tokens
from tcli_server.repository.positions import Positions
from tcli_server.repository.problem import Edit
from tcli_server.repository.report import Report

CLOSING = {"{": "}", "<": ">", "[": "]"}
SEPARATORS = (",", ";")
_MOST_LINES_NAMED = 5


class Lost(Exception):  # noqa: N818 - it never leaves the reader
    """The text cannot be followed any further; the reason is in the report."""


class _Unclosed(NamedTuple):
    """Brackets that must be closed before a token: told as one mistake."""

    path: str
    expected: str
    opening: Token
    token: Token
    start: int
    end: int
    closing: list[str]


class Cursor:
    """The token to read next, the one after it, and the end of the one before.

    Attributes:
        token: what is to be read next.
        after: what follows it.
        end: the offset where the token that was taken last ends.
        open: the brackets that are open.
        around: the descriptors of the messages that are open, the outermost first.
    """

    def __init__(self, text: str, report: Report, positions: Positions) -> None:
        self.text = text
        self.positions = positions
        self._report = report
        self._slips: list[Slip] = []
        self._rest = tokens(text, self._slips)
        self.token = next(self._rest)
        self.after = next(self._rest, self.token)
        self.end = 0
        self._swallows = (
            False  # what was taken last is a string that nothing closes: what is put behind it belongs to it
        )
        self.open: list[Token] = []
        self.around: list[Any] = []  # of two unrelated classes, one of each protobuf implementation
        self._unclosed: _Unclosed | None = None
        self._balanced: bool | None = None

    def take(self) -> Token:
        """Take the token."""
        if self._unclosed is not None:
            self._tell_unclosed()
        token = self.token
        self.token, self.after = self.after, next(self._rest, self.after)
        self.end = token.end
        self._swallows = token.is_unclosed
        return token

    def take_raw(self, pattern: "re.Pattern[str]") -> str:
        """Take what a pattern matches from the start of the token on, whatever tokens that would be."""
        start = self.token.start
        match = pattern.match(self.text, start)
        end = match.end() if match is not None and match[0] else self.token.end
        if self.text[start:end] == self.token.text:
            self.take()
        else:
            self.take_to(end)
        return self.text[start:end]

    def take_to(self, end: int) -> None:
        """Take everything up to an offset behind the start of the token."""
        if self._unclosed is not None:
            self._tell_unclosed()
        start = self.token.start
        line = self.token.line + self.text.count("\n", start, end)
        line_start = start - self.token.column + 1 if line == self.token.line else self.text.rfind("\n", 0, end) + 1
        while self._slips and self._slips[-1].changes[0][0] >= start:
            self._slips.pop()
        self._rest = tokens(self.text, self._slips, end, line, line_start)
        self.token = next(self._rest)
        self.after = next(self._rest, self.token)
        self.end = end
        self._swallows = False

    def edit(self, start: int, end: int, new: str) -> Edit:
        """The edit that replaces the text between two offsets."""
        return self.positions.edit(start, end, new)

    def tell(self, path: str, found: str, expected: str, fix: str, line: int, *edits: Edit) -> None:
        """Report a problem and go on; give up where there are too many."""
        self._report.add(path, found, expected, fix, line, edits)
        if self._report.is_full:
            raise Lost

    def replace(self, path: str, token: Token, found: str, expected: str, new: str, fix: str = "") -> None:
        """Report that other text belongs where a token is."""
        self.tell(path, found, expected, fix or f"write {new}", token.line, self.edit(token.start, token.end, new))

    def lost(self, path: str, expected: str, fix: str, *edits: Edit) -> Lost:
        """Report the token as a syntax error; answer what to raise."""
        if self._unclosed is not None:
            self._tell_unclosed()
        token = self.token
        found = f"'{token.text}' (column {token.column})" if token.text else "the end of the file"
        self._report.add(path, found, expected, fix, token.line, edits)
        return Lost()

    def unclosed_string(self, path: str) -> Lost:
        """Report the token, a string, as one that is not closed on its line; answer what to raise."""
        quote = self.token.text[0]
        return self.lost(path, f"a string that ends with {quote} on the same line", f"add the missing {quote}")

    def never_closed(self, path: str) -> Lost:
        """Report that the text ends before its brackets are closed; answer what to raise."""
        opening = self.open[-1]
        closing = CLOSING[opening.text]
        missing = " ".join(CLOSING[token.text] for token in reversed(self.open))
        end = len(self.text)
        self._report.add(
            path,
            f"a '{opening.text}' (column {opening.column}) that is never closed",
            f"a '{closing}' that closes it",
            f"add the missing '{closing}'",
            opening.line,
            (self.edit(end, end, f"\n{missing}\n"),),
        )
        return Lost()

    def close_before(self, path: str, expected: str, comma: Token | None = None, inner: int = 0) -> None:
        """Close the innermost bracket before the token, where its own is missing.

        What is closed before the same token is one mistake, told when the token is taken; a comma before it goes, and
        so many brackets of its kind that are open inside it are closed as well.
        """
        if self._unclosed is None:
            start = self.end if comma is None else comma.start
            self._unclosed = _Unclosed(path, expected, self.open[-1], self.token, start, self.end, [])
        self._unclosed.closing.extend([CLOSING[self.open.pop().text]] * (1 + inner))

    def _tell_unclosed(self) -> None:
        assert self._unclosed is not None
        path, expected, opening, token, start, end, closing = self._unclosed
        self._unclosed = None
        around = " and what is open around it" if len(closing) > 1 else ""
        fix = f"close the '{opening.text}' of line {opening.line}{around} with '{' '.join(closing)}' first"
        found = f"'{token.text}' (column {token.column})"
        edits = () if self._swallows else (self.edit(start, end, f" {' '.join(closing)}"),)
        self.tell(path, found, expected, fix, token.line, *edits)

    @property
    def behind_separator(self) -> int:
        """Where the field that was read last ends, with the separator behind it."""
        return self.token.end if self.token.text in SEPARATORS else self.end

    @property
    def closes_something(self) -> bool:
        """Whether a bracket that is missing before the token is still to be told."""
        return self._unclosed is not None

    @property
    def at_end(self) -> bool:
        """Whether there is nothing more to read."""
        return self.token.kind == "end"

    @property
    def closes_outer(self) -> bool:
        """Whether the token is a bracket that closes another one than the innermost."""
        return any(CLOSING[opening.text] == self.token.text for opening in self.open[:-1])

    @property
    def is_balanced(self) -> bool:
        """Whether every bracket of the text is closed by one of its kind."""
        if self._balanced is None:
            self._balanced = _is_balanced(self.text)
        return self._balanced

    def tell_slips(self) -> None:
        """Report what the eye passes over, each kind once with all its places."""
        kinds: dict[tuple[str, str, str], list[Slip]] = {}
        for slip in self._slips:
            kinds.setdefault((slip.what, slip.right, slip.fix), []).append(slip)
        for (what, right, fix), slips in kinds.items():
            edits = tuple(self.edit(*change) for slip in slips for change in slip.changes)
            self._report.add("", what + _also_on(slips), right, fix, slips[0].line, edits)


def join(path: str, name: str) -> str:
    """The path of a field of a message."""
    return f"{path}.{name}" if path else name


def _is_balanced(text: str) -> bool:
    is_open: list[str] = []
    for token in tokens(text, []):
        if token.text in CLOSING:
            is_open.append(CLOSING[token.text])
        elif token.text in CLOSING.values() and (not is_open or is_open.pop() != token.text):
            return False
    return not is_open


def _also_on(slips: list[Slip]) -> str:
    """Where a slip is found besides its first place."""
    lines = sorted({slip.line for slip in slips} - {slips[0].line})
    if not lines:
        return f" ({len(slips)} times)" if len(slips) > 1 else ""
    named = ", ".join(map(str, lines[:_MOST_LINES_NAMED]))
    more = f" and {len(lines) - _MOST_LINES_NAMED} more" if len(lines) > _MOST_LINES_NAMED else ""
    return f", also on line{'s' if len(lines) > 1 else ''} {named}{more}"
