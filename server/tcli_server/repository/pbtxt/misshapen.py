"""Reads values of the wrong shape: a list or a message where one value belongs, or a value where a message does."""

import re

from google.protobuf import text_format
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from tcli_server.repository.pbtxt.cursor import CLOSING, Cursor
from tcli_server.repository.pbtxt.lists import sizes_in_words
from tcli_server.repository.pbtxt.shapes import meant_message
from tcli_server.repository.pbtxt.tokens import Token
from tcli_server.repository.pbtxt.values import WrongValueError, expected_value, parse_value

_BRACKETS = {**CLOSING, "(": ")"}
_VALUES_ONLY = re.compile(
    r"\{\s*(?:[\w.+-]+|\"[^\"\n]*\"|'[^'\n]*')(?:\s*,\s*(?:[\w.+-]+|\"[^\"\n]*\"|'[^'\n]*'))*\s*\}"
)
_VALUES = ("word", "string", "quoted", "template")


def skip_value(cursor: Cursor, path: str) -> list[Token]:
    """Pass over a value, brackets and all; answer its tokens. Nothing is passed where no value is."""
    passed: list[Token] = []
    depth = len(cursor.open)
    while True:
        token = cursor.token
        if cursor.at_end:
            if len(cursor.open) > depth:
                raise cursor.never_closed(path)
            return passed
        if token.text in CLOSING:
            cursor.open.append(token)
        elif token.text in CLOSING.values():
            if len(cursor.open) == depth:
                return passed
            if token.text != CLOSING[cursor.open[-1].text]:
                _mismatched(cursor, path)
                continue
            cursor.open.pop()
        elif token.is_unclosed:
            raise cursor.unclosed_string(path)
        elif len(cursor.open) == depth and (token.text in (",", ";", ":", "=") or _is_next_field(cursor, passed)):
            return passed
        passed.append(cursor.take())
        if len(cursor.open) == depth and passed[-1].text in CLOSING.values():
            return passed


def _mismatched(cursor: Cursor, path: str) -> None:
    """A bracket that closes another one than the innermost: either that one is not closed, or it is one too many."""
    if cursor.closes_outer:
        cursor.close_before(path, f"'{CLOSING[cursor.open[-1].text]}'")
    else:
        token = cursor.take()
        edit = cursor.edit(token.start, token.end, "")
        found, fix = f"'{token.text}' (column {token.column})", f"remove this '{token.text}': it closes nothing"
        cursor.tell(path, found, f"'{CLOSING[cursor.open[-1].text]}'", fix, token.line, edit)


def _is_next_field(cursor: Cursor, passed: list[Token]) -> bool:
    """Whether what follows is no longer part of an unbracketed value."""
    token = cursor.token
    if not passed:
        return token.is_name and cursor.after.text == ":"
    if token.is_string and passed[-1].is_string:
        return False
    return token.start != passed[-1].end


def holds_values_only(cursor: Cursor) -> bool:
    """Whether a brace opens what is no message, but values: `{ 3, 4 }`."""
    return _VALUES_ONLY.match(cursor.text, cursor.token.start) is not None


def read_bracketed_scalar(cursor: Cursor, field: FieldDescriptor, path: str, has_colon: bool = True) -> object | None:
    """One value that stands in brackets of whatever kind, though its field takes a plain one."""
    opening = cursor.token
    kind = "a list" if opening.text == "[" else "a message" if opening.text in CLOSING else "a value"
    found = f"{kind} in {opening.text} {_BRACKETS[opening.text]}"
    passed = _skip_brackets(cursor, path)
    values = [token for token in passed if token.kind in _VALUES]
    expected = expected_value(field)
    text = cursor.text[values[0].start : values[0].end] if len(values) == 1 else ""
    plain = len(values) == 1 and len(passed) == 3 and values[0].kind != "template"
    if len(values) == 2 and len(passed) in (5, 6) and passed[2].text == ":" and opening.text == "{":
        text, plain = cursor.text[values[1].start : values[1].end], True  # { string_value: "b" }
    value = _parsed(field, text) if plain else None
    if value is None:
        fix = f"{expected.fix}, without brackets"
        cursor.tell(path, found, expected.words, fix, opening.line)
        cursor.positions.not_read(path)
        return None
    edit = cursor.edit(opening.start, cursor.end, text if has_colon else f": {text}")
    fix = "remove the brackets" if opening.text == "[" else f"write {text}"
    cursor.tell(path, found, "one value", fix, opening.line, edit)
    return value


def read_unlisted(cursor: Cursor, field: FieldDescriptor, path: str, taken: list[Token]) -> list[object] | None:
    """The values of a list that is written otherwise: `3, 4`, `(3, 4)`, `{ 3, 4 }`, `3x4`, `"3, 4"`.

    Args:
        taken: the first value where it is read already, as there the rest shows that it is a list.

    Answers None where it is no such list; nothing is taken then. What it is, is reported.
    """
    first = taken[0] if taken else cursor.token
    if taken:
        values = list(taken)
        while _continues(cursor, field):
            if cursor.token.text == ",":
                cursor.take()
            values.append(cursor.take())
        words = [value.text for value in values]
    elif first.text in ("(", "{", "<"):
        values = [
            token for token in _skip_brackets(cursor, path) if token.text not in (*_BRACKETS, *_BRACKETS.values(), ",")
        ]
        words = [value.text for value in values]
    elif field.cpp_type != FieldDescriptor.CPPTYPE_STRING and (words := sizes_in_words(first.bare)):
        cursor.take()
    else:
        return None
    right = f"[ {', '.join(words)} ]"
    parsed = [_parsed(field, word) for word in words]
    found = cursor.text[first.start : cursor.end]
    if None in parsed:
        cursor.tell(path, found, "a list in [ ]", "write the values in [ ], with ',' between them", first.line)
        cursor.positions.not_read(path)
        return []
    edit = cursor.edit(first.start, cursor.end, right)
    cursor.tell(path, found, "a list in [ ]", f"write {right}", first.line, edit)
    return parsed


def continues_unlisted(cursor: Cursor, field: FieldDescriptor) -> bool:
    """Whether the value just read is followed by more values, as in a list without brackets."""
    return _continues(cursor, field)


def read_misplaced_value(cursor: Cursor, message: Message, field: FieldDescriptor, path: str, name: Token) -> None:
    """A word, number, string or list where a message in { } belongs: fill the message with what was meant."""
    first = cursor.token
    is_list = first.text in ("[", "{")
    passed = _skip_brackets(cursor, path) if first.text in ("[", "(") else skip_value(cursor, path)
    if not passed:
        raise cursor.lost(path, "'{'", f"put the fields of {name.bare} in {{ }}")
    values = [token for token in passed if token.kind in _VALUES]
    simple = all(token.kind in _VALUES or token.text in ("[", "]", ",", "{", "}") for token in passed)
    is_map = field.message_type is not None and field.message_type.GetOptions().map_entry
    meant = meant_message(field, values, is_list) if simple and not is_map else None
    found = cursor.text[first.start : cursor.end]
    found = found if len(found) < 60 else "a list" if is_list else f"'{first.text}'"
    names = ", ".join(field.message_type.fields_by_name) if field.message_type is not None else ""
    expected = f"a message in {{ }} with any of the fields {names}" if names else "a message: { }"
    if meant is None:
        cursor.tell(path, found, expected, "put the fields of this message in { }", first.line)
        cursor.positions.not_read(path)
    elif not meant:
        edit = cursor.edit(name.start, cursor.end, "")
        cursor.tell(path, found, expected, f"remove {field.name}", first.line, *([] if field.is_repeated else [edit]))
        cursor.positions.not_read(path)
    else:
        edit = cursor.edit(first.start, cursor.end, meant)
        cursor.tell(path, found, expected, f"write {field.name} {meant}", first.line, edit)
        child = getattr(message, field.name)
        child = child.add() if field.is_repeated else child
        child.SetInParent()
        text_format.Merge(meant[1:-1], child)


def _skip_brackets(cursor: Cursor, path: str) -> list[Token]:
    """Pass over brackets of any kind, `( )` among them, and what is in them."""
    if cursor.token.text != "(":
        return skip_value(cursor, path)
    passed = [cursor.take()]
    while not cursor.at_end and passed[-1].text != ")":
        if cursor.token.text in ("}", "]", "{", "["):
            raise cursor.lost(path, "')'", f"close the '(' of line {passed[0].line}, or write [ ] instead")
        passed.append(cursor.take())
    return passed


def _continues(cursor: Cursor, field: FieldDescriptor) -> bool:
    follows = cursor.after if cursor.token.text == "," else cursor.token
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        return cursor.token.text == "," and follows.is_string
    return follows.is_word and follows.text.lstrip("-+.")[:1].isdigit()


def _parsed(field: FieldDescriptor, text: str) -> object | None:
    """The value of a text as it stands in the file, None where the field does not take it."""
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        return text[1:-1] if text[:1] in "\"'" and len(text) > 1 and "\\" not in text else None
    try:
        return parse_value(field, text)
    except WrongValueError:
        return None
