"""Reads a list in brackets, whatever is wrong with its brackets and commas."""

import re
from collections.abc import Callable
from typing import NamedTuple

from tcli_server.repository.pbtxt.cursor import CLOSING, Cursor
from tcli_server.repository.pbtxt.tokens import Token
from tcli_server.repository.positions import Place
from tcli_server.repository.problem import Edit

_OPENING = frozenset({"{", "<"})
_SIZES = re.compile(r"\d+(?:[xX*×]\d+)+", re.ASCII)


class Element(NamedTuple):
    """One element that was read: its path, and from where to where it goes."""

    path: str
    start: int
    end: int


def read_list(cursor: Cursor, path: str, takes_messages: bool, element: Callable[[], Element]) -> None:
    """Read a list from its opening bracket to its closing one, calling `element` at the start of each element."""
    cursor.open.append(cursor.take())
    inner: list[Edit] = []  # brackets inside the list that do not belong there
    depth, elements, comma = 0, list[Element](), None
    last = 0  # end of the last separator
    line = cursor.token.line
    while True:
        token = cursor.token
        if cursor.at_end:
            raise cursor.never_closed(path)
        if token.text == "]" and not depth:
            break
        if token.text in ("[", "]"):
            depth += 1 if token.text == "[" else -1
            inner.append(cursor.edit(token.start, token.end, ""))
            cursor.take()
            continue
        if token.text in (",", ";"):
            last = token.end
            _stray_separator(cursor, path)
            continue
        if _ends_without_bracket(cursor, takes_messages):
            cursor.close_before(path, "a value or ']'", comma, depth)
            _tell_inner(cursor, path, line, inner)
            _place(cursor, elements)
            return
        if token.kind == "symbol" and token.text not in _OPENING and not _starts_value(token):
            raise cursor.lost(path, "a value or ']'", f"close the '[' of line {cursor.open[-1].line} with ']'")
        elements.append(element())
        comma = _separator(cursor, path)
    if comma is not None:
        edit = cursor.edit(comma.start, max(comma.end, last), "")
        cursor.tell(path, "',' before ']'", "a value after ','", "remove this ','", comma.line, edit)
    _tell_inner(cursor, path, line, inner)
    cursor.take()
    cursor.open.pop()
    _place(cursor, elements)


def sizes_in_words(text: str) -> list[str]:
    """The numbers of sizes that are written as `3x224x224`, `"3, 224"` or `[3,224]`; none where it is no such text."""
    bare = text.strip("()[]{} ")
    if _SIZES.fullmatch(bare):
        return re.split(r"\D", bare)
    parts = [part.strip() for part in bare.split(",")]
    return parts if len(parts) > 1 and all(re.fullmatch(r"-?\d{1,18}", part, re.ASCII) for part in parts) else []


def _starts_value(token: Token) -> bool:
    return token.text not in (":", "=", "}", ">", ",", ";")


def _stray_separator(cursor: Cursor, path: str) -> None:
    comma = cursor.take()
    edit = cursor.edit(comma.start, comma.end, "")
    found = f"'{comma.text}' (column {comma.column}) with no value before it"
    cursor.tell(path, found, "a value", f"remove this '{comma.text}'", comma.line, edit)


def _ends_without_bracket(cursor: Cursor, takes_messages: bool) -> bool:
    """Whether the token belongs to what follows the list, whose closing bracket is then missing."""
    token = cursor.token
    if token.text in CLOSING.values():
        return cursor.closes_outer
    if token.is_name and cursor.after.text == ":":
        return not takes_messages or not cursor.is_balanced
    return token.is_name and takes_messages and cursor.after.text in CLOSING and not cursor.is_balanced


def _separator(cursor: Cursor, path: str) -> Token | None:
    """Take the comma behind an element; complain where one is missing."""
    token = cursor.token
    if token.text == ",":
        return cursor.take()
    if token.text == ";" or (token.text == ":" and cursor.after.kind in ("word", "string")):
        found, right = f"'{token.text}' in a list", "',' between the elements of a list"
        cursor.replace(path, cursor.take(), found, right, ",", "write ','")
        return None
    if cursor.closes_something:
        return None  # the comma, if one is missing, belongs behind that bracket
    follows = token.text in _OPENING or token.text == "[" or token.kind in ("word", "string", "quoted", "template")
    if follows and not (token.is_name and cursor.after.text in (":", "{", "[", "<")):
        found = f"no ',' before '{token.text}' (column {token.column})"
        edit = cursor.edit(cursor.end, cursor.end, ",")
        cursor.tell(path, found, "',' between the elements of a list", "add ','", token.line, edit)
    return None


def _tell_inner(cursor: Cursor, path: str, line: int, inner: list[Edit]) -> None:
    if inner:
        cursor.tell(path, "brackets inside a list", "one list", "remove the inner brackets", line, *inner)


def _place(cursor: Cursor, elements: list[Element]) -> None:
    """Record where each element stands; removing one takes a comma with it."""
    for index, (path, start, end) in enumerate(elements):
        if index + 1 < len(elements):
            place = Place(start, end, start, elements[index + 1].start)
        else:
            place = Place(start, end, elements[index - 1].end if index else start, end)
        cursor.positions.record_place(path, place)
