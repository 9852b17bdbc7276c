"""Reads protobuf text format with every mistake in it and the place of every field.

protobuf's own parser stops at the first mistake and keeps no positions. This one walks the text along the message's
descriptor, fills the message with all that it understands, and notes what it does not. It takes what protobuf's parser
for C++ takes, which is Triton's; the one for Python takes more (`+8`, `1_000`, a no-break space).
"""

import re
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from tcli_server.repository.pbtxt.cursor import CLOSING, SEPARATORS, Cursor, Lost, join
from tcli_server.repository.pbtxt.formats import foreign_format
from tcli_server.repository.pbtxt.lists import Element, read_list
from tcli_server.repository.pbtxt.misshapen import (
    continues_unlisted,
    holds_values_only,
    read_bracketed_scalar,
    read_misplaced_value,
    read_unlisted,
    skip_value,
)
from tcli_server.repository.pbtxt.names import meant_field
from tcli_server.repository.pbtxt.scalars import read_scalar
from tcli_server.repository.pbtxt.strays import pass_second_value, pass_stray, pass_unknown
from tcli_server.repository.pbtxt.tokens import Token
from tcli_server.repository.pbtxt.values import expected_value
from tcli_server.repository.positions import Place, Positions
from tcli_server.repository.report import Report

_NO_VALUE = (*SEPARATORS, *CLOSING.values(), ":", "=", "")


def read_message(text: str, message: Message, report: Report, positions: Positions) -> None:
    """Fill `message` from text format, with what can be understood of it.

    Mistakes go to `report`, at most one of them a syntax error after which nothing more was read; the place of every
    field, and which of them could not be read, go to `positions`. Where a mistake leaves little doubt of what was
    meant, that is what the message gets, so that later checks do not report the same mistake in other words.
    """
    foreign = foreign_format(text)
    if foreign is not None:
        line = text.count("\n", 0, foreign.offset) + 1
        report.add("", foreign.found, foreign.expected, foreign.fix, line)
        positions.lose()
        return
    cursor = Cursor(text, report, positions)
    try:
        _Reader(cursor).read(message)
    except Lost:
        positions.lose()
    cursor.tell_slips()


class _Reader:
    def __init__(self, cursor: Cursor) -> None:
        self._cursor = cursor

    def read(self, message: Message) -> None:
        cursor = self._cursor
        opening = cursor.token
        if opening.text != "{" or not cursor.after.is_name:
            self._fields(message, "", None)
            return
        cursor.open.append(cursor.take())
        self._fields(message, "", opening)
        edits = [cursor.edit(opening.start, opening.end, "")]
        if cursor.text[cursor.end - 1] == "}":
            edits.append(cursor.edit(cursor.end - 1, cursor.end, ""))
        fix = "remove this '{' and the '}' that closes it"
        cursor.tell("", "braces around the whole configuration", "its fields without", fix, opening.line, *edits)
        self._fields(message, "", None)

    def _fields(self, message: Message, path: str, opening: Token | None) -> None:
        """Read fields up to the bracket that closes `opening`, or to the end of the text."""
        cursor = self._cursor
        descriptor: Any = message.DESCRIPTOR  # typed as two unrelated classes, one of each protobuf implementation
        cursor.around.append(descriptor)
        seen: dict[str, int] = {}  # field -> how many values, or where a single one stands
        while not cursor.at_end:
            if opening is not None and cursor.token.text == CLOSING[opening.text]:
                cursor.take()
                break
            if opening is not None and self._ends_unclosed(descriptor):
                cursor.close_before(path, "the name of a field")
                cursor.around.pop()
                return
            if self._names_field(descriptor, path):
                self._field(message, path, seen)
                if cursor.token.text in SEPARATORS and not self._ends_element(path):
                    cursor.take()
            else:
                pass_stray(cursor, path, opening)
        else:
            if opening is not None:
                raise cursor.never_closed(path)
        cursor.around.pop()
        if opening is not None:
            cursor.open.pop()

    def _ends_unclosed(self, descriptor: Any) -> bool:
        """Whether the message ends here although its closing bracket is missing."""
        cursor = self._cursor
        token = cursor.token
        if token.text in CLOSING.values():
            return cursor.closes_outer
        if token.text == ",":
            return cursor.after.text in CLOSING
        is_elsewhere = any(token.text in outer.fields_by_name for outer in cursor.around[:-1])
        return is_elsewhere and token.text not in descriptor.fields_by_name and not cursor.is_balanced

    def _ends_element(self, path: str) -> bool:
        """Whether the comma here is behind a message of a list whose closing bracket is missing."""
        return path.endswith("]") and self._cursor.token.text == "," and self._cursor.after.text in CLOSING

    def _names_field(self, descriptor: Any, path: str) -> bool:
        """Whether a field begins here; a name in quotes is told and taken for one."""
        cursor = self._cursor
        token, follows = cursor.token, cursor.after.text
        has_value = follows in (":", "=") or follows in CLOSING
        if token.is_string and has_value and descriptor.GetOptions().map_entry and token.bare not in ("key", "value"):
            return True
        if token.is_string and has_value and re.fullmatch(r"[A-Za-z_]\w*", token.bare):
            fix = f"write the name without quotes: {token.bare}"
            found = f"'{token.text}' (column {token.column})"
            edit = cursor.edit(token.start, token.end, token.bare)
            cursor.tell(path, found, "the name of a field", fix, token.line, edit)
            return True
        return token.is_name or (token.is_word and has_value)

    def _field(self, message: Message, path: str, seen: dict[str, int]) -> None:
        cursor = self._cursor
        name = cursor.take()
        descriptor: Any = message.DESCRIPTOR
        field: FieldDescriptor | None = descriptor.fields_by_name.get(name.bare)
        meant = None if field is not None else meant_field(name.bare, descriptor)
        if field is None and meant is None:
            pass_unknown(cursor, name, path, seen)
            return
        if field is None:
            field = descriptor.fields_by_name[meant]
            cursor.replace(join(path, name.text), name, f"unknown field '{name.text}'", f"'{meant}'", str(meant))
        path = join(path, field.name)
        if not self._may_set(field, path, name, seen):
            return
        cursor.positions.record(path, name.line)
        if not self._colon(field, path, name):
            seen.pop(field.name, None)
            return
        start = cursor.token.start
        if field.is_repeated:
            path = self._repeated(message, field, path, name, seen)
        elif field.message_type is not None:
            self._message(message, field, path, name)
        elif cursor.token.text in ("[", "{", "("):
            self._store(message, field, read_bracketed_scalar(cursor, field, path, cursor.end > name.end), seen)
        else:
            self._store(message, field, read_scalar(cursor, field, path), seen)
            pass_second_value(cursor, path, name)
        cursor.positions.record_place(path, Place(start, cursor.end, name.start, cursor.behind_separator))

    def _may_set(self, field: FieldDescriptor, path: str, name: Token, seen: dict[str, int]) -> bool:
        """Whether a field that takes one value has none yet, nor another field of its oneof; else it is passed over."""
        if field.is_repeated:
            return True
        cursor = self._cursor
        rivals = [field] if field.containing_oneof is None else list(field.containing_oneof.fields)
        for rival in rivals:
            if rival.name in seen:
                if cursor.token.text == ":":
                    cursor.take()
                skip_value(cursor, path)
                twice = rival.name == field.name
                first = f"(first on line {seen[rival.name]})"
                cursor.tell(
                    path,
                    f"'{field.name}' twice {first}" if twice else f"'{field.name}' beside '{rival.name}' {first}",
                    "one value" if twice else f"one of {', '.join(other.name for other in rivals)}",
                    "remove one of the two",
                    name.line,
                    cursor.edit(name.start, cursor.behind_separator, ""),
                )
                return False
        seen[field.name] = name.line
        return True

    def _colon(self, field: FieldDescriptor, path: str, name: Token) -> bool:
        """Take what stands between a field and its value; whether there is a value."""
        cursor = self._cursor
        token = cursor.token
        if token.text == ":":
            cursor.take()
            if cursor.token.text in ("=", ":", ">") and cursor.token.start == token.end:
                extra = cursor.take()
                found, edit = f"'{token.text}{extra.text}'", cursor.edit(extra.start, extra.end, "")
                cursor.tell(path, found, "':' between a field and its value", "write ':'", token.line, edit)
        elif token.text == "=":
            cursor.take()
            end = (
                cursor.take().end if cursor.token.text in ("=", ">") and cursor.token.start == token.end else token.end
            )
            found = f"'{cursor.text[token.start : end]}'"
            edit = cursor.edit(token.start, end, ":")
            cursor.tell(path, found, "':' between a field and its value", "write ':'", token.line, edit)
        elif not self._has_value(name):
            return self._no_value(field, path, name)
        elif field.message_type is None and not (token.text in ("{", "(") and not field.is_repeated):
            found = f"no ':' between '{field.name}' and '{token.text}'"
            fix, edit = f"write {field.name}: {token.text}", cursor.edit(name.end, name.end, ":")
            cursor.tell(path, found, "':' between a field and its value", fix, token.line, edit)
        return self._has_value(name) or self._no_value(field, path, name)

    def _has_value(self, name: Token) -> bool:
        cursor = self._cursor
        token, follows = cursor.token, cursor.after.text
        if token.text in _NO_VALUE:
            return False
        if not token.is_name:
            return True
        is_field = any(token.text in descriptor.fields_by_name for descriptor in cursor.around)
        if follows in (":", "=") and (is_field or token.line > name.line):
            return False
        return not (follows in CLOSING and is_field)

    def _no_value(self, field: FieldDescriptor, path: str, name: Token) -> bool:
        """Report that a field has no value."""
        cursor = self._cursor
        if field.message_type is not None and cursor.token.text in field.message_type.fields_by_name:
            raise cursor.lost(path, "'{'", f"put the fields of {field.name} in {{ }}")
        words = "a message in { }" if field.message_type is not None else expected_value(field).words
        edit = cursor.edit(name.start, cursor.behind_separator, "")
        fix = f"write a value behind {field.name}, or remove it"
        if field.message_type is not None and not field.is_repeated:
            fix = f"write {field.name} {{ }}, or remove it"
            edit = cursor.edit(cursor.end, cursor.end, " { }")
        cursor.tell(path, f"no value behind '{field.name}'", words, fix, name.line, edit)
        cursor.positions.not_read(path)
        return False

    def _repeated(self, message: Message, field: FieldDescriptor, path: str, name: Token, seen: dict[str, int]) -> str:
        """Read one element or a list of them; answer the path of what was read."""
        cursor = self._cursor

        def element() -> Element:
            index = seen.get(field.name, 0)
            seen[field.name] = index + 1
            element_path = f"{path}[{index}]"
            cursor.positions.record(element_path, cursor.token.line)
            start = cursor.token.start
            if field.message_type is not None:
                element_path = self._message(message, field, element_path, name)
            elif cursor.token.text in ("{", "(", "<"):
                self._store(message, field, read_bracketed_scalar(cursor, field, element_path), seen)
            else:
                self._store(message, field, read_scalar(cursor, field, element_path), seen)
            return Element(element_path, start, cursor.end)

        if cursor.token.text == "[":
            read_list(cursor, path, field.message_type is not None, element)
            return path
        if field.message_type is None:
            first, values = cursor.token, getattr(message, field.name)
            before = len(values)
            unlisted = read_unlisted(cursor, field, path, [])
            if unlisted is None:
                element_path = element().path
                if not continues_unlisted(cursor, field):
                    return element_path
                del values[before:]
                unlisted = read_unlisted(cursor, field, path, [first])
            for value in unlisted or []:
                self._store(message, field, value, seen)
            return path
        return element().path

    def _message(self, message: Message, field: FieldDescriptor, path: str, name: Token) -> str:
        """Read a message; answer its path, which for an entry of a map is told by its key."""
        cursor = self._cursor
        if cursor.token.text == "[" and cursor.after.text in ("{", "<"):
            self._bracketed_message(message, field, path, name)
            return path
        if cursor.token.text not in ("{", "<") or holds_values_only(cursor):
            read_misplaced_value(cursor, message, field, path, name)
            return path
        opening = cursor.take()
        cursor.open.append(opening)
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            return self._map_entry(message, field, path, opening)
        child = getattr(message, field.name)
        child = child.add() if field.is_repeated else child
        child.SetInParent()
        self._fields(child, path, opening)
        return path

    def _bracketed_message(self, message: Message, field: FieldDescriptor, path: str, name: Token) -> None:
        """A list with one message, for a field that takes one message."""
        cursor = self._cursor
        bracket = cursor.take()
        cursor.open.append(bracket)
        self._message(message, field, path, name)
        closing = cursor.token
        if closing.text != "]":
            raise cursor.lost(path, "']' or one message without brackets", "write one message, without brackets")
        cursor.open.pop()
        cursor.take()
        edits = (cursor.edit(bracket.start, bracket.end, ""), cursor.edit(closing.start, closing.end, ""))
        cursor.tell(path, "a list", "one message", "remove the brackets", bracket.line, *edits)

    def _map_entry(self, message: Message, field: FieldDescriptor, path: str, opening: Token) -> str:
        assert field.message_type is not None
        entry: Any = GetMessageClass(field.message_type)()
        self._fields(entry, path, opening)
        new_path = f'{path.rsplit("[", 1)[0]}["{entry.key}"]'
        self._cursor.positions.move(path, new_path)
        target = getattr(message, field.name)
        if isinstance(entry.value, Message):
            target[entry.key].CopyFrom(entry.value)
        else:
            target[entry.key] = entry.value
        return new_path

    def _store(self, message: Message, field: FieldDescriptor, value: object | None, seen: dict[str, int]) -> None:
        if value is None:
            return
        if field.is_repeated:
            getattr(message, field.name).append(value)
            return
        setattr(message, field.name, value)
        if value == field.default_value and not field.has_presence:
            seen.pop(field.name, None)  # as good as not written: protobuf lets another value follow
