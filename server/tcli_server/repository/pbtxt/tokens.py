"""Splits protobuf text format into tokens, each with its place, as protobuf's tokenizer for C++ does, which Triton uses.

What that tokenizer refuses but a person's eye passes over (a no-break space, `//` before a comment, a full-width colon)
is noted as a slip and read as what was meant.
"""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

_DASHES = "\u2010\u2011\u2012\u2013\u2014\u2212"
_INVISIBLE = "\u200b\u200c\u200d\u200e\u200f\u2060\ufeff\u00ad"
_DOUBLE_QUOTES = "“”„‟″＂«»"
_SINGLE_QUOTES = "‘’‚‛′＇`´"
_TOKEN = re.compile(
    rf"""
    (?P<space>[ \n\t\r\v\f]+|\#[^\n\0]*)
    |(?P<template>\$\{{[^}}\n]*\}}|\$\([^)\n]*\)|\$\w+|\{{\{{[^{{}}:\n]*\}}\}}|\{{%[^%\n]*%\}}|<%[^%\n]*%>)
    |(?P<comment>//[^\n]*|/\*(?s:.*?)(?:\*/|\Z)|<!--(?s:.*?)(?:-->|\Z))
    |(?P<string>"(?:[^"\n\\\0]|\\[^\n\0])*"?|'(?:[^'\n\\\0]|\\[^\n\0])*'?)
    |(?P<quoted>[{_DOUBLE_QUOTES}][^{_DOUBLE_QUOTES}"\n]*[{_DOUBLE_QUOTES}"]?
               |[{_SINGLE_QUOTES}][^{_SINGLE_QUOTES}'\n]*[{_SINGLE_QUOTES}']?)
    |(?P<word>(?:[\w.+{_DASHES}-][{_INVISIBLE}]*)+)
    |(?P<invisible>[{_INVISIBLE}]+)
    |(?P<blank>(?:(?![ \n\t\r\v\f])\s)+)
    |(?P<control>[\0-\x08\x0e-\x1f\x7f])
    |(?P<symbol>.)
    """,
    re.VERBOSE,
)
_ALL_QUOTES = _DOUBLE_QUOTES + _SINGLE_QUOTES + "\"'"
_PLAIN_DASHES = dict.fromkeys(map(ord, _DASHES), "-")
_NAME = re.compile(r"[A-Za-z_][0-9A-Za-z_]*")
_FULL_WIDTH = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | {0x3001: ord(","), 0x3002: ord(".")}


class Token(NamedTuple):
    """A word, number, string (with its quotes), placeholder of a template or single character; empty at the end.

    `line` and `column` count from 1, `start` and `end` are offsets in the text. `kind` is one of `word`, `string`,
    `quoted` (in typographic quotes), `template`, `symbol` and `end`.
    """

    kind: str
    text: str
    line: int
    column: int
    start: int
    end: int

    @property
    def is_name(self) -> bool:
        """Whether it can name a field."""
        return _NAME.fullmatch(self.text) is not None

    @property
    def is_word(self) -> bool:
        """Whether it is a name or a number, or meant to be one."""
        return self.kind == "word"

    @property
    def is_string(self) -> bool:
        """Whether it starts with a quote, be it a typographic one."""
        return self.kind in ("string", "quoted")

    @property
    def is_closed_string(self) -> bool:
        """Whether it is a string that ends with the quote that it starts with."""
        return self.kind == "string" and len(self.text) > 1 and self.text[-1] == self.text[0]

    @property
    def is_unclosed(self) -> bool:
        """Whether it is a string that runs to the end of its line for want of a closing quote."""
        if self.kind == "quoted":
            return len(self.text) < 2 or self.text[-1] not in _ALL_QUOTES
        return self.is_string and not self.is_closed_string

    @property
    def bare(self) -> str:
        """The text without quotes around it."""
        if self.kind == "quoted":
            return self.text[1:].rstrip(_ALL_QUOTES)
        return self.text[1:-1] if self.is_closed_string else self.text[1:] if self.is_string else self.text


@dataclass(frozen=True, slots=True)
class Slip:
    """Something that the eye passes over and protobuf does not.

    Attributes:
        what, right: what it is and what belongs there, in words.
        fix: what to do about it.
        line: where it is, from 1.
        changes: (start, end, new text), in offsets.
    """

    what: str
    right: str
    fix: str
    line: int
    changes: tuple[tuple[int, int, str], ...]


def tokens(text: str, slips: list[Slip], start: int = 0, line: int = 1, line_start: int = 0) -> Iterator[Token]:
    """Every token of a text from an offset on, then an empty one at the last line that has anything on it.

    What had to be overlooked is added to `slips`. `line` and `line_start` are those of the offset.
    """
    last = line
    for match in _TOKEN.finditer(text, start):
        kind, found = match.lastgroup or "", match[0]
        token = Token(kind, found, line, match.start() - line_start + 1, match.start(), match.end())
        if kind not in ("space", "string", "quoted", "template"):
            token = _overlook(token, text, slips)
        if token.text and kind != "space":
            yield token
            last = line
        newlines = found.count("\n")
        if newlines:
            line += newlines
            line_start = match.start() + found.rindex("\n") + 1
    yield Token("end", "", last, 0, len(text), len(text))


def plain_characters(text: str) -> str:
    """The text with plain characters for typographic dashes, minus signs and full-width ones, and no invisible ones."""
    return re.sub(f"[{_INVISIBLE}]", "", text.translate(_PLAIN_DASHES).translate(_FULL_WIDTH))


def _overlook(token: Token, text: str, slips: list[Slip]) -> Token:
    """The token as it is meant, empty where it means nothing; what is wrong with it is noted."""
    if token.text.isascii() and token.kind in ("word", "symbol"):
        return token
    if token.kind == "comment":
        slips.append(_comment(token, text))
    elif token.kind in ("blank", "control"):
        slips.append(_replaced(token, token.start, " ", "a normal space", "replace it by a normal space"))
    elif token.kind == "invisible":
        slips.append(_replaced(token, token.start, "", "nothing", "delete it"))
    else:
        meant = token.text.translate(_FULL_WIDTH)
        for offset, character in enumerate(token.text, token.start):
            if character in _INVISIBLE:
                slips.append(_replaced(token._replace(text=character), offset, "", "nothing", "delete it"))
            elif ord(character) in _FULL_WIDTH:
                plain = character.translate(_FULL_WIDTH)
                slips.append(_replaced(token._replace(text=character), offset, plain, f"'{plain}'", f"write '{plain}'"))
        return token._replace(text=re.sub(f"[{_INVISIBLE}]", "", meant))
    return token._replace(text="")


def _replaced(token: Token, start: int, new: str, right: str, fix: str) -> Slip:
    length = len(token.text) if token.kind in ("blank", "invisible", "control") else 1
    expected = f"{right}: Triton takes such a character only in quotes"
    return Slip(_character(token.text[0]), expected, fix, token.line, ((start, start + length, new),))


def _character(character: str) -> str:
    """A character that cannot be seen, or be told from another, in words."""
    name = unicodedata.name(character, "control character").lower()
    shown = f"'{character}', " if character.isprintable() else ""
    return f"{shown}U+{ord(character):04X} ({'byte order mark' if character == chr(0xFEFF) else name})"


def _comment(token: Token, text: str) -> Slip:
    mark = "<!--" if token.text.startswith("<!--") else token.text[:2]
    right, fix = "'#': in protobuf text comments begin with it", f"write # for {mark}"
    if mark == "//":
        return Slip(
            f"a comment that begins with '{mark}'", right, fix, token.line, ((token.start, token.start + 2, "#"),)
        )
    lines = token.text.removeprefix(mark).removesuffix("-->" if mark == "<!--" else "*/").split("\n")
    line_end = text.find("\n", token.end)
    is_followed = bool(text[token.end : line_end if line_end >= 0 else len(text)].strip())
    new = "\n".join(f"#{line}" for line in lines) + ("\n" if is_followed else "")
    return Slip(f"a comment that begins with '{mark}'", right, fix, token.line, ((token.start, token.end, new),))
