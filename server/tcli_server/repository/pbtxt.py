"""Reads protobuf text format with every mistake in it and the place of every field.

protobuf's own parser stops at the first mistake and keeps no positions. This one walks the text along the message's
descriptor, fills the message with all that it understands, and notes what it does not. It takes what protobuf's parser
for C++ takes, which is Triton's; the one for Python takes more (`+8`, `1_000`, a no-break space).
"""

import re
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from tcli_server.repository.pbtxt_cursor import CLOSING, Cursor, Lost
from tcli_server.repository.pbtxt_formats import foreign_format
from tcli_server.repository.pbtxt_lists import Element, read_list
from tcli_server.repository.pbtxt_misshapen import (
    continues_unlisted,
    holds_values_only,
    read_bracketed_scalar,
    read_misplaced_value,
    read_unlisted,
    skip_value,
)
from tcli_server.repository.pbtxt_names import homes_of_field, meant_field
from tcli_server.repository.pbtxt_scalars import quoted, read_scalar
from tcli_server.repository.pbtxt_shapes import meant_message
from tcli_server.repository.pbtxt_tokens import Token
from tcli_server.repository.pbtxt_values import expected_value
from tcli_server.repository.positions import Place, Positions
from tcli_server.repository.report import Report

_SEPARATORS = (",", ";")
_NO_VALUE = (*_SEPARATORS, *CLOSING.values(), ":", "=", "")
_COMMENTS = (";", "%", "--")
_WORDS = re.compile(r"\w+(?:[ \t]+\w+)+(?=[ \t]*[:{\[])")
_LINE = re.compile(r"[^\n]*")


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
        _Reader(cursor, message.DESCRIPTOR).read(message)
    except Lost:
        positions.lose()
    cursor.tell_slips()


class _Reader:
    def __init__(self, cursor: Cursor, root: Any) -> None:
        self._cursor = cursor
        self._root = root
        self._around: list[Any] = []  # the descriptors of the messages that are open

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
        fix = f"remove this '{{' and the '}}' that closes it"
        cursor.tell("", "braces around the whole configuration", "its fields without", fix, opening.line, *edits)
        self._fields(message, "", None)

    def _fields(self, message: Message, path: str, opening: Token | None) -> None:
        """Read fields up to the bracket that closes `opening`, or to the end of the text."""
        cursor = self._cursor
        descriptor: Any = message.DESCRIPTOR  # typed as two unrelated classes, one of each protobuf implementation
        self._around.append(descriptor)
        seen: dict[str, int] = {}  # field -> how many values, or where a single one stands
        while not cursor.at_end:
            if opening is not None and cursor.token.text == CLOSING[opening.text]:
                cursor.take()
                break
            if opening is not None and self._ends_unclosed(descriptor):
                cursor.close_before(path, "the name of a field")
                break
            if self._names_field(descriptor, path):
                self._field(message, path, seen)
                if cursor.token.text in _SEPARATORS and not self._ends_element(path):
                    cursor.take()
            else:
                self._stray(path, opening)
        else:
            if opening is not None:
                raise cursor.never_closed(path)
        self._around.pop()
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
        is_elsewhere = any(token.text in outer.fields_by_name for outer in self._around[:-1])
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

    def _stray(self, path: str, opening: Token | None) -> None:
        """Pass over what is no field, where that is possible."""
        cursor = self._cursor
        token = cursor.token
        begins_line = not cursor.text[token.start - token.column + 1 : token.start].strip()
        if begins_line and token.text.startswith(_COMMENTS):
            mark = next(mark for mark in _COMMENTS if token.text.startswith(mark))
            line = cursor.take_raw(_LINE)
            if line.strip(mark + " \t\r"):
                edit = cursor.edit(token.start, token.start + len(mark), "#")
                found = f"a comment that begins with '{mark}'"
                cursor.tell("", found, "'#': in protobuf text comments begin with it", f"write # for {mark}", token.line, edit)
                return
            edit = cursor.edit(token.start, cursor.end, "")
            cursor.tell(path, f"'{line.strip()}'", "the name of a field", f"remove this '{line.strip()}'", token.line, edit)
        elif token.kind == "template":
            found = f"the placeholder {token.text} of a template"
            cursor.tell(path, found, "the name of a field", "fill the template", token.line)
            cursor.take()
        elif token.text in _SEPARATORS or (token.text in CLOSING.values() and opening is None):
            cursor.take()
            why = ": nothing is open here" if token.text not in _SEPARATORS else ""
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

    def _field(self, message: Message, path: str, seen: dict[str, int]) -> None:
        cursor = self._cursor
        name = cursor.take()
        descriptor: Any = message.DESCRIPTOR
        field: FieldDescriptor | None = descriptor.fields_by_name.get(name.bare)
        meant = None if field is not None else meant_field(name.bare, descriptor)
        if field is None and meant is None:
            self._unknown(descriptor, name, path, seen)
            return
        if field is None:
            field = descriptor.fields_by_name[meant]
            cursor.replace(_join(path, name.text), name, f"unknown field '{name.text}'", f"'{meant}'", str(meant))
        path = _join(path, field.name)
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
            self._second_value(path, name)
        cursor.positions.record_place(path, Place(start, cursor.end, name.start, self._behind_separator()))

    def _behind_separator(self) -> int:
        """Where a field ends, with the separator behind it."""
        token = self._cursor.token
        return token.end if token.text in _SEPARATORS else self._cursor.end

    def _unknown(self, descriptor: Any, name: Token, path: str, seen: dict[str, int]) -> None:
        """Report a field that the message does not have, and pass over it."""
        cursor = self._cursor
        parent, path = path, _join(path, name.bare)
        is_entry = descriptor.GetOptions().map_entry
        if not is_entry:
            cursor.positions.not_understood(parent)
        found = f"unknown field '{name.bare}'"
        if not (cursor.token.text in (":", "=") or cursor.token.text in CLOSING):
            self._no_field(descriptor, name, parent)
            return
        if cursor.token.text not in CLOSING:
            cursor.take()
        value = skip_value(cursor, path)
        if is_entry:
            self._unkeyed_entry(descriptor, name, value, path, seen)
            return
        homes = [home or "the top level" for home in homes_of_field(name.bare, self._root)]
        fix = f"move it into {' or '.join(homes[:3])}, or remove it" if homes else "remove it"
        expected = f"a field of {parent or 'a model configuration'}: {', '.join(descriptor.fields_by_name)}"
        edit = cursor.edit(name.start, self._behind_separator(), "")
        cursor.tell(path, found, expected, fix, name.line, edit)

    def _no_field(self, descriptor: Any, name: Token, path: str) -> None:
        """A word that is no field and has no value: part of a name in several words, or of a text that is no field."""
        cursor = self._cursor
        words = _WORDS.match(cursor.text, name.start)
        meant = meant_field("_".join(words[0].split()), descriptor) if words is not None else None
        if words is None or meant is None:
            fix = f"remove '{name.bare}', or write # before it if it is a comment"
            raise cursor.lost(_join(path, name.bare), "':' and a value after the name of a field", fix)
        edit = cursor.edit(name.start, words.end(), meant)
        cursor.tell(path, f"'{words[0]}'", f"'{meant}'", f"write {meant}", name.line, edit)
        cursor.take_to(words.end())
        if cursor.token.text == ":":
            cursor.take()
        skip_value(cursor, path)
        cursor.positions.not_read(_join(path, meant))

    def _unkeyed_entry(
        self, descriptor: Any, name: Token, value: list[Token], path: str, seen: dict[str, int]
    ) -> None:
        """An entry of a map that is written as a field: `a: "2"` for `key: "a" value: "2"`."""
        cursor = self._cursor
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

    def _second_value(self, path: str, name: Token) -> None:
        """Pass over what stands behind a value on the same line and is no field."""
        cursor = self._cursor
        first = cursor.token
        while cursor.token.line == first.line and self._is_stray_value():
            cursor.take()
        if cursor.token is first:
            return
        stray = cursor.text[first.start : cursor.end]
        found = f"'{stray}' (column {first.column}) behind the value of {name.bare}"
        edit = cursor.edit(first.start, cursor.end, "")
        fix = f"remove '{stray}', or write # before it if it is a comment"
        cursor.tell(path, found, "one value", fix, first.line, edit)

    def _is_stray_value(self) -> bool:
        token, after = self._cursor.token, self._cursor.after.text
        if token.line != self._cursor.positions.line_at(self._cursor.end):
            return False
        is_field = after in (":", "=") or after in CLOSING
        is_known = any(token.text in descriptor.fields_by_name for descriptor in (*self._around, self._root))
        return token.kind in ("word", "string", "quoted") and not is_field and not is_known

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
                    cursor.edit(name.start, self._behind_separator(), ""),
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
            end = cursor.take().end if cursor.token.text in ("=", ">") and cursor.token.start == token.end else token.end
            found = f"'{cursor.text[token.start : end]}'"
            edit = cursor.edit(token.start, end, ":")
            cursor.tell(path, found, "':' between a field and its value", "write ':'", token.line, edit)
        elif not self._has_value(field, name):
            return self._no_value(field, path, name)
        elif field.message_type is None and not (token.text in ("{", "(") and not field.is_repeated):
            found = f"no ':' between '{field.name}' and '{token.text}'"
            fix, edit = f"write {field.name}: {token.text}", cursor.edit(name.end, name.end, ":")
            cursor.tell(path, found, "':' between a field and its value", fix, token.line, edit)
        return self._has_value(field, name) or self._no_value(field, path, name)

    def _has_value(self, field: FieldDescriptor, name: Token) -> bool:
        cursor = self._cursor
        token, follows = cursor.token, cursor.after.text
        if token.text in _NO_VALUE:
            return False
        if not token.is_name:
            return True
        is_field = any(token.text in descriptor.fields_by_name for descriptor in (*self._around, self._root))
        if follows in (":", "=") and (is_field or token.line > name.line):
            return False
        return not (follows in CLOSING and is_field)

    def _no_value(self, field: FieldDescriptor, path: str, name: Token) -> bool:
        """Report that a field has no value."""
        cursor = self._cursor
        if field.message_type is not None and cursor.token.text in field.message_type.fields_by_name:
            raise cursor.lost(path, "'{'", f"put the fields of {field.name} in {{ }}")
        words = "a message in { }" if field.message_type is not None else expected_value(field).words
        edit = cursor.edit(name.start, self._behind_separator(), "")
        fix = f"write a value behind {field.name}, or remove it"
        if field.message_type is not None and not field.is_repeated:
            fix = f"write {field.name} {{ }}, or remove it"
            edit = cursor.edit(cursor.end, cursor.end, " { }")
        cursor.tell(path, f"no value behind '{field.name}'", words, fix, name.line, edit)
        cursor.positions.not_read(path)
        return False

    def _repeated(
        self, message: Message, field: FieldDescriptor, path: str, name: Token, seen: dict[str, int]
    ) -> str:
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
            return self._bracketed_message(message, field, path, name)
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

    def _bracketed_message(self, message: Message, field: FieldDescriptor, path: str, name: Token) -> str:
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
        return path

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


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
