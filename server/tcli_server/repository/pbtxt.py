"""Reads protobuf text format with every mistake in it and the line of every field.

protobuf's own parser stops at the first mistake and keeps no positions. This one walks the text along the message's
descriptor, fills the message with all that it understands, and notes what it does not.
"""

from collections.abc import Callable
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from tcli_server.repository.pbtxt_tokens import Token, tokens
from tcli_server.repository.pbtxt_values import WrongValueError, expected_value, meant_field, parse_value
from tcli_server.repository.positions import Positions
from tcli_server.repository.report import Report

_CLOSING = {"{": "}", "<": ">", "[": "]"}
_PUNCTUATION = frozenset("{}<>[],;:=")


def read_message(text: str, message: Message, report: Report, positions: Positions) -> None:
    """Fill `message` from text format, with what can be understood of it.

    Mistakes go to `report`, at most one of them a syntax error after which nothing more was read; the line of every
    field goes to `positions`. Where a mistake leaves little doubt of what was meant, that is what the message gets,
    so that later checks do not report the same mistake in other words.
    """
    try:
        _Reader(text, report, positions).read(message)
    except _Lost:
        return


class _Lost(Exception):  # noqa: N818 - it never leaves this file
    """The text cannot be followed any further; the reason is in the report."""


class _Reader:
    def __init__(self, text: str, report: Report, positions: Positions) -> None:
        self._report = report
        self._positions = positions
        self._rest = tokens(text)
        self._token = next(self._rest)

    def read(self, message: Message) -> None:
        self._fields(message, "", None)

    def _next(self) -> Token:
        """Take the token."""
        token = self._token
        self._token = next(self._rest, token)
        return token

    def _lost(self, path: str, expected: str, fix: str) -> _Lost:
        token = self._token
        found = f"'{token.text}' (column {token.column})" if token.text else "the end of the file"
        self._report.add(path, found, expected, fix, token.line)
        return _Lost()

    def _never_closed(self, path: str, opening: Token) -> _Lost:
        closing = _CLOSING[opening.text]
        self._report.add(
            path,
            f"a '{opening.text}' (column {opening.column}) that is never closed",
            f"a '{closing}' that closes it",
            f"add the missing '{closing}'",
            opening.line,
        )
        return _Lost()

    def _fields(self, message: Message, path: str, opening: Token | None) -> None:
        seen: dict[str, int] = {}  # field -> how many values, or where a single one stands
        while True:
            text = self._token.text
            if not text:
                if opening is None:
                    return
                raise self._never_closed(path, opening)
            if opening is not None and text == _CLOSING[opening.text]:
                self._next()
                return
            if not self._token.is_name:
                raise self._lost(path, "the name of a field", self._name_fix(opening))
            self._field(message, path, seen)
            if self._token.text in (",", ";"):
                self._next()

    def _name_fix(self, opening: Token | None) -> str:
        token = self._token
        if token.is_string:
            return f"write the name without quotes: {token.bare}"
        if token.text in _CLOSING.values():
            if opening is None:
                return f"remove this '{token.text}': nothing is open here"
            return f"close the '{opening.text}' of line {opening.line} with '{_CLOSING[opening.text]}' first"
        if token.text in _CLOSING:
            return f"write the name of a field before '{token.text}'"
        return f"remove this '{token.text}'" if token.text in _PUNCTUATION else "write 'name: value' or 'name { ... }'"

    def _field(self, message: Message, path: str, seen: dict[str, int]) -> None:
        name = self._next()
        descriptor: Any = message.DESCRIPTOR  # typed as two unrelated classes, one of each protobuf implementation
        field: FieldDescriptor | None = descriptor.fields_by_name.get(name.text) or self._meant(descriptor, name, path)
        if field is None:
            self._colon(_join(path, name.text), optional=True)
            self._skip(_join(path, name.text))
            return
        path = _join(path, field.name)
        self._positions.record(path, name.line)
        self._colon(path, optional=field.message_type is not None)
        if field.is_repeated:
            self._repeated(message, field, path, seen)
        elif self._may_set(field, path, name.line, seen):
            if self._token.text == "[":
                self._report.add(path, "a list", "one value", "remove the brackets", self._token.line)
                self._skip(path)
            else:
                self._value(message, field, path)
        else:
            self._skip(path)

    def _meant(self, descriptor: Any, name: Token, path: str) -> FieldDescriptor | None:
        """Report a field that the message does not have; answer the one that was meant."""
        names = list(descriptor.fields_by_name)
        meant = meant_field(name.text, names)
        self._report.add(
            _join(path, name.text),
            f"unknown field '{name.text}'",
            f"'{meant}'" if meant else f"a field of {path or 'a model configuration'}: {', '.join(names)}",
            f"write {meant}" if meant else "remove it, or move it to where it belongs",
            name.line,
        )
        field: FieldDescriptor | None = descriptor.fields_by_name[meant] if meant else None
        return field

    def _may_set(self, field: FieldDescriptor, path: str, line: int, seen: dict[str, int]) -> bool:
        """Whether a field that takes one value has none yet, nor another field of its oneof."""
        rivals = [field] if field.containing_oneof is None else list(field.containing_oneof.fields)
        for rival in rivals:
            if rival.name in seen:
                twice = rival.name == field.name
                first = f"(first on line {seen[rival.name]})"
                self._report.add(
                    path,
                    f"'{field.name}' twice {first}" if twice else f"'{field.name}' beside '{rival.name}' {first}",
                    "one value" if twice else f"one of {', '.join(other.name for other in rivals)}",
                    "remove one of the two",
                    line,
                )
                return False
        seen[field.name] = line
        return True

    def _colon(self, path: str, optional: bool) -> None:
        text = self._token.text
        if text == ":":
            self._next()
        elif text == "=":
            self._report.add(path, "'='", "':' between a field and its value", "write ':'", self._token.line)
            self._next()
        elif not optional or text not in ("{", "<", "["):
            name = path.rsplit(".", 1)[-1]
            if not text or text in _PUNCTUATION - {"["}:
                raise self._lost(path, "':' and a value after the name of a field", f"write {name}: and the value")
            found = f"no ':' between '{name}' and '{text}'"
            self._report.add(
                path, found, "':' between a field and its value", f"write {name}: {text}", self._token.line
            )

    def _repeated(self, message: Message, field: FieldDescriptor, path: str, seen: dict[str, int]) -> None:
        def element() -> None:
            index = seen.get(field.name, 0)
            seen[field.name] = index + 1
            self._positions.record(f"{path}[{index}]", self._token.line)
            self._value(message, field, f"{path}[{index}]")

        if self._token.text == "[":
            self._list(path, element)
        else:
            element()

    def _list(self, path: str, element: Callable[[], None]) -> None:
        opening = self._next()
        while self._token.text != "]":
            if not self._token.text:
                raise self._never_closed(path, opening)
            if self._token.text in _PUNCTUATION and self._token.text not in ("{", "<"):
                raise self._lost(path, "a value or ']'", f"close the '[' of line {opening.line} with ']'")
            element()
            if self._token.text == ",":
                comma = self._next()
                if self._token.text == "]":
                    self._report.add(path, "',' before ']'", "a value after ','", "remove this ','", comma.line)
            elif self._token.text in ("{", "<") or (self._token.text and self._token.text not in _PUNCTUATION):
                found = f"no ',' before '{self._token.text}' (column {self._token.column})"
                self._report.add(path, found, "',' between the elements of a list", "add ','", self._token.line)
        self._next()

    def _value(self, message: Message, field: FieldDescriptor, path: str) -> None:
        if field.message_type is None:
            value = self._scalar(field, path)
            if value is not None:
                self._store(message, field, value, path)
            return
        if self._token.text not in ("{", "<"):
            raise self._lost(path, "'{'", "put the fields of this message in { }")
        opening = self._next()
        if field.message_type.GetOptions().map_entry:
            self._map_entry(message, field, path, opening)
            return
        child = getattr(message, field.name)
        child = child.add() if field.is_repeated else child
        child.SetInParent()
        self._fields(child, path, opening)

    def _map_entry(self, message: Message, field: FieldDescriptor, path: str, opening: Token) -> None:
        assert field.message_type is not None
        entry: Any = GetMessageClass(field.message_type)()
        self._fields(entry, path, opening)
        self._positions.move(path, f'{path.rsplit("[", 1)[0]}["{entry.key}"]')
        target = getattr(message, field.name)
        if isinstance(entry.value, Message):
            target[entry.key].CopyFrom(entry.value)
        else:
            target[entry.key] = entry.value

    def _store(self, message: Message, field: FieldDescriptor, value: object, path: str) -> None:
        try:
            if field.is_repeated:
                getattr(message, field.name).append(value)
            else:
                setattr(message, field.name, value)
        except ValueError:
            self._report.add(path, str(value), expected_value(field), "write a value in this range")

    def _scalar(self, field: FieldDescriptor, path: str) -> object | None:
        """One value; None where it is wrong (and reported) and nothing tells what was meant."""
        if not self._token.text or self._token.text in _PUNCTUATION:
            raise self._lost(path, expected_value(field), "write a value")
        if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
            return self._string(path)
        token = self._next()
        if token.is_string:
            self._report.add(
                path,
                f"the string {token.text}",
                expected_value(field),
                f"write {token.bare} without quotes",
                token.line,
            )
        try:
            return parse_value(field, token.bare)
        except WrongValueError as error:
            fix = f"write {error.meant}" if error.meant else "write one of these"
            if not token.is_string:
                self._report.add(path, f"'{token.text}'", expected_value(field), fix, token.line)
            return parse_value(field, error.meant) if error.meant else None

    def _string(self, path: str) -> str | None:
        token = self._token
        if not token.is_string:
            self._next()
            self._report.add(
                path, f"{token.text} without quotes", "a string in quotes", f'write "{token.text}"', token.line
            )
            return token.text
        text = ""
        while self._token.is_string:
            if not self._token.is_closed_string:
                quote = self._token.text[0]
                raise self._lost(path, f"a string that ends with {quote}", f"add the missing {quote}")
            part = self._next()
            try:
                text += part.unescaped()
            except ValueError:
                self._report.add(
                    path, f"the string {part.text}", "UTF-8 text with valid escapes", "double each \\", part.line
                )
                return None
        return text

    def _skip(self, path: str) -> None:
        """Pass over the value of a field that is not understood."""
        if not self._token.text or (self._token.text in _PUNCTUATION and self._token.text not in _CLOSING):
            raise self._lost(path, "a value", "write a value")
        is_open: list[Token] = []
        while True:
            token = self._token
            if not token.text:
                raise self._never_closed(path, is_open[-1])
            if token.text in _CLOSING:
                is_open.append(token)
            elif token.text in _CLOSING.values():
                if token.text != _CLOSING[is_open[-1].text]:
                    raise self._never_closed(path, is_open[-1])
                is_open.pop()
            self._next()
            if not is_open and not (token.is_string and self._token.is_string):
                return


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
