"""Passes over what stands in a text and is no field of the message there, telling what it is."""

import re
from typing import Any

from tcli_server.repository.pbtxt.cursor import CLOSING, SEPARATORS, Cursor, join
from tcli_server.repository.pbtxt.misshapen import skip_value
from tcli_server.repository.pbtxt.names import homes_of_field, meant_field
from tcli_server.repository.pbtxt.scalars import quoted
from tcli_server.repository.pbtxt.shapes import meant_message
from tcli_server.repository.pbtxt.tokens import Token

_COMMENTS = (";", "%", "--")
_WORDS = re.compile(r"\w+(?:[ \t]+\w+)+(?=[ \t]*[:{\[])")
_LINE = re.compile(r"[^\n]*")


def pass_stray(cursor: Cursor, path: str, opening: Token | None) -> None:
    """Pass over what is no field, where that is possible."""
    token = cursor.token
    begins_line = not cursor.text[token.start - token.column + 1 : token.start].strip()
    if begins_line and token.text.startswith(_COMMENTS):
        mark = next(mark for mark in _COMMENTS if token.text.startswith(mark))
        line = cursor.take_raw(_LINE)
        if line.strip(mark + " \t\r"):
            edit = cursor.edit(token.start, token.start + len(mark), "#")
            found = f"a comment that begins with '{mark}'"
            cursor.tell(
                "", found, "'#': in protobuf text comments begin with it", f"write # for {mark}", token.line, edit
            )
            return
        edit = cursor.edit(token.start, cursor.end, "")
        cursor.tell(path, f"'{line.strip()}'", "the name of a field", f"remove this '{line.strip()}'", token.line, edit)
    elif token.kind == "template":
        found = f"the placeholder {token.text} of a template"
        cursor.tell(path, found, "the name of a field", "fill the template", token.line)
        cursor.take()
    elif token.text in SEPARATORS or (token.text in CLOSING.values() and opening is None):
        cursor.take()
        why = ": nothing is open here" if token.text not in SEPARATORS else ""
        found = f"'{token.text}' (column {token.column})"
        edit = cursor.edit(token.start, token.end, "")
        cursor.tell(path, found, "the name of a field", f"remove this '{token.text}'{why}", token.line, edit)
    elif token.text in CLOSING.values() and opening is not None:
        fix = f"close the '{opening.text}' of line {opening.line} with '{CLOSING[opening.text]}' first"
        edit = cursor.edit(token.start, token.end, CLOSING[opening.text])
        raise cursor.lost(path, "the name of a field", fix, edit)
    elif token.text in CLOSING:
        raise cursor.lost(path, "the name of a field", f"write the name of a field before '{token.text}'")
    else:
        raise cursor.lost(path, "the name of a field", "write 'name: value' or 'name { ... }'")


def pass_unknown(cursor: Cursor, name: Token, path: str, seen: dict[str, int]) -> None:
    """Report a field that the innermost message does not have, and pass over it.

    Args:
        name: its name, which is taken already.
        path: the message.
        seen: the fields that the message has already.
    """
    descriptor = cursor.around[-1]
    parent, path = path, join(path, name.bare)
    is_entry = descriptor.GetOptions().map_entry
    if not is_entry:
        cursor.positions.not_understood(parent)
    found = f"unknown field '{name.bare}'"
    if not (cursor.token.text in (":", "=") or cursor.token.text in CLOSING):
        _no_field(cursor, descriptor, name, parent)
        return
    if cursor.token.text not in CLOSING:
        cursor.take()
    value = skip_value(cursor, path)
    if is_entry:
        _unkeyed_entry(cursor, descriptor, name, value, path, seen)
        return
    homes = [f"into {home}" if home else "to the top level" for home in homes_of_field(name.bare, cursor.around[0])]
    fix = f"move it {' or '.join(homes[:3])}, or remove it" if homes else "remove it"
    expected = f"a field of {parent or 'a model configuration'}: {', '.join(descriptor.fields_by_name)}"
    edit = cursor.edit(name.start, cursor.behind_separator, "")
    cursor.tell(path, found, expected, fix, name.line, edit)


def _no_field(cursor: Cursor, descriptor: Any, name: Token, path: str) -> None:
    """A word that is no field and has no value: part of a name in several words, or of a text that is no field."""
    words = _WORDS.match(cursor.text, name.start)
    meant = meant_field("_".join(words[0].split()), descriptor) if words is not None else None
    if words is None or meant is None:
        fix = f"remove '{name.bare}', or write # before it if it is a comment"
        raise cursor.lost(join(path, name.bare), "':' and a value after the name of a field", fix)
    edit = cursor.edit(name.start, words.end(), meant)
    cursor.tell(path, f"'{words[0]}'", f"'{meant}'", f"write {meant}", name.line, edit)
    cursor.take_to(words.end())
    if cursor.token.text == ":":
        cursor.take()
    skip_value(cursor, path)
    cursor.positions.not_read(join(path, meant))


def _unkeyed_entry(
    cursor: Cursor, descriptor: Any, name: Token, value: list[Token], path: str, seen: dict[str, int]
) -> None:
    """An entry of a map that is written as a field: `a: "2"` for `key: "a" value: "2"`."""
    field = descriptor.fields_by_name["value"]
    if not value:
        right: str | None = None
    elif field.message_type is None:
        right = quoted(value[0].bare) if len(value) == 1 else None
    elif value[0].text == "{":
        right = cursor.text[value[0].start : value[-1].end]
    else:
        right = meant_message(field, value, is_list=False)
    entry = f"key: {quoted(name.bare)} value: {right or '...'}"
    is_alone = right and not seen and cursor.token.text in CLOSING.values()
    edits = [cursor.edit(name.start, cursor.end, entry)] if is_alone else []
    fix = f"write {entry}" if is_alone else f"write {{ {entry} }}, each entry in braces of its own"
    cursor.tell(path, f"unknown field '{name.bare}'", "key and value of one entry", fix, name.line, *edits)
    cursor.positions.not_read(path)


def pass_second_value(cursor: Cursor, path: str, name: Token) -> None:
    """Pass over what stands behind a value on the same line and is no field."""
    first = cursor.token
    while cursor.token.line == first.line and _is_stray_value(cursor):
        if cursor.token.is_unclosed:
            raise cursor.unclosed_string(path)
        cursor.take()
    if cursor.token is first:
        return
    stray = cursor.text[first.start : cursor.end]
    found = f"'{stray}' (column {first.column}) behind the value of {name.bare}"
    edit = cursor.edit(first.start, cursor.end, "")
    fix = f"remove '{stray}', or write # before it if it is a comment"
    cursor.tell(path, found, "one value", fix, first.line, edit)


def _is_stray_value(cursor: Cursor) -> bool:
    token, after = cursor.token, cursor.after.text
    if token.line != cursor.positions.line_at(cursor.end):
        return False
    is_field = after in (":", "=") or after in CLOSING
    is_known = any(token.text in descriptor.fields_by_name for descriptor in cursor.around)
    return token.kind in ("word", "string", "quoted") and not is_field and not is_known
