"""Reads one value that is no message: a number, a word, a string."""

import re

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.text_encoding import CEscape

from tcli_server.repository.pbtxt.cursor import Cursor
from tcli_server.repository.pbtxt.tokens import Token, plain_characters
from tcli_server.repository.pbtxt.values import (
    WrongValueError,
    expected_value,
    has_valid_escapes,
    parse_value,
    unescaped,
)

_TEMPLATE = r"\$\{[^}\n]*\}|\$\([^)\n]*\)|\{\{[^{}\n]*\}\}|\{%[^%\n]*%\}|<[\w .-]*>"
_GAP = r"(?:[ \t\r\n\v\f]|\#[^\n]*\n)+"
_MINUS = re.compile(rf"^-{_GAP}")
_RUN = re.compile(rf"(?:{_TEMPLATE}|-{_GAP}(?=[\d.])|(?!//|/\*)[^\s,;\[\]{{}}<>\"'#])+|[^\n]")
_NUMBER_RUN = re.compile(r"-?\d+(?:,\d+)+(?![\w.,])", re.ASCII)
_TEXT_RUN = re.compile(rf"(?:{_TEMPLATE}|[^\s,;\[\]{{}}<>\"'#])+|[^\n]")
_PLACEHOLDER = re.compile(rf"{_TEMPLATE}|^\$\w+$|^%\w+%$|^@\w+@$|^%\(\w+\)s$")
_UNCLOSED = re.compile(r"[\w./:+-]*(?=[ \t]*(?:[,;}\]\r\n]|\Z|#))")
_SHOWN = 60


def read_scalar(cursor: Cursor, field: FieldDescriptor, path: str) -> object | None:
    """One value; None where it is wrong (and reported) and nothing tells what was meant."""
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        return _string(cursor, path)
    token = cursor.token
    if token.is_unclosed:
        raise cursor.unclosed_string(path)
    if token.is_string:
        cursor.take()
        text, is_quoted = token.bare, True
    else:
        has_comma = not field.is_repeated and _NUMBER_RUN.match(cursor.text, token.start)
        text, is_quoted = cursor.take_raw(_NUMBER_RUN if has_comma else _RUN), False
    words, fix = expected_value(field)
    found = f"the string {token.text}" if is_quoted else f"'{_short(text)}'"
    if _PLACEHOLDER.search(text):
        cursor.tell(
            path,
            f"the placeholder {_short(text)} of a template",
            words,
            "write the value in place of the placeholder",
            token.line,
        )
    else:
        try:
            value = parse_value(field, _MINUS.sub("-", text))
            meant: tuple[str, ...] = (text,)
        except WrongValueError as error:
            meant = error.meant or _in_plain_characters(field, text)
        else:
            if not is_quoted:
                return value
        if len(meant) == 1:
            how = f"write {meant[0]} without quotes" if is_quoted else f"write {meant[0]}"
            cursor.tell(path, found, words, how, token.line, cursor.edit(token.start, cursor.end, meant[0]))
            cursor.positions.guessed(path)
            return parse_value(field, meant[0])
        cursor.tell(path, found, words, f"write {' or '.join(meant)}" if meant else fix, token.line)
    cursor.positions.not_read(path)
    return None


def _in_plain_characters(field: FieldDescriptor, text: str) -> tuple[str, ...]:
    """What a value means once its typographic characters are plain ones."""
    plain = plain_characters(text)
    if plain == text:
        return ()
    try:
        parse_value(field, plain)
    except WrongValueError as error:
        return error.meant
    return (plain,)


def _string(cursor: Cursor, path: str) -> str | None:
    token = cursor.token
    if token.kind == "quoted":
        if token.is_unclosed:
            return _unclosed(cursor, path)
        cursor.take()
        found = f"{_short(token.text)} in typographic quotes"
        cursor.replace(path, token, found, "a string in straight quotes", quoted(token.bare))
        return token.bare
    if not token.is_string:
        return _unquoted(cursor, path)
    text = ""
    while cursor.token.kind == "string":
        if not cursor.token.is_closed_string:
            return _unclosed(cursor, path)
        part = cursor.take()
        try:
            text += unescaped(part.text[1:-1])
        except ValueError:
            return _wrong_escape(cursor, path, part)
    return text


def _wrong_escape(cursor: Cursor, path: str, part: Token) -> str | None:
    if any("\udc80" <= character <= "\udcff" for character in part.text):
        cursor.tell(path, "a string with bytes that are not UTF-8", "UTF-8 text", "save the file as UTF-8", part.line)
    elif has_valid_escapes(part.text[1:-1]):
        found = f"the string {_short(part.text)}, whose escapes are no UTF-8"
        cursor.tell(path, found, "UTF-8 text", "write the text itself", part.line)
    else:
        body = re.sub(r"\\(\\?)(?![\"'])", r"\\\\", part.text[1:-1])
        doubled = f"{part.text[0]}{body}{part.text[-1]}"
        edit = cursor.edit(part.start, part.end, doubled)
        found = f"the string {_short(part.text)}"
        cursor.tell(path, found, "UTF-8 text with valid escapes", "double each \\", part.line, edit)
        try:
            return unescaped(body)
        except ValueError:
            pass
    cursor.positions.not_read(path)
    return None


def _unquoted(cursor: Cursor, path: str) -> str | None:
    """A text without quotes: all words of the line up to what cannot be part of it."""
    first = cursor.token
    text = cursor.take_raw(_TEXT_RUN)
    is_joined = cursor.token.start == cursor.end and not cursor.token.is_unclosed
    if cursor.token.is_string and is_joined and re.fullmatch(r"[A-Za-z]{1,2}8?", text):
        string = cursor.take()  # b"x", r'x', f"x"
        right = quoted(string.bare)
        cursor.tell(
            path,
            f"{_short(text + string.text)}, a string with a prefix",
            "a string in quotes, without a prefix",
            f"write {right}",
            first.line,
            cursor.edit(first.start, string.end, right),
        )
        return string.bare
    while (
        cursor.token.is_word and cursor.token.line == first.line and cursor.after.text not in (":", "=", "{", "[", "<")
    ):
        cursor.take_raw(_TEXT_RUN)
    text = cursor.text[first.start : cursor.end]
    if _PLACEHOLDER.search(text):
        fix = "write the value in place of the placeholder, in quotes"
        cursor.tell(path, f"the placeholder {_short(text)} of a template", "a string in quotes", fix, first.line)
        cursor.positions.not_read(path)
        return None
    right = quoted(text)
    if text.lower() in ("none", "null", "nil"):
        cursor.tell(path, text, "a string in quotes", "write a text in quotes, or remove this field", first.line)
        cursor.positions.not_read(path)
        return None
    found = f"{_short(text)} without quotes"
    if cursor.token.is_unclosed and not cursor.token.bare and cursor.token.start == cursor.end:
        found = f"{_short(text)}{cursor.take().text} without a quote before it"
    edit = cursor.edit(first.start, cursor.end, right)
    cursor.tell(path, found, "a string in quotes", f"write {right}", first.line, edit)
    return text


def _unclosed(cursor: Cursor, path: str) -> str | None:
    """A string whose closing quote is missing, or is of another kind than the one that opens it."""
    token = cursor.token
    quote = token.text[0]
    expected = f"a string that ends with {quote}" if token.kind == "string" else "a string in straight quotes"
    other = re.compile(r"[^\"'“”„‟″＂‘’‚‛′＇`´\n]*[\"'“”„‟″＂‘’‚‛′＇`´](?=[\s,;}\]]|\Z)").match(
        cursor.text, token.start + 1
    )
    bare = _UNCLOSED.match(cursor.text, token.start + 1)
    if other is not None:
        text = other[0][:-1]
        found = f"{_short(quote + other[0])}, which begins and ends with different quotes"
        end = other.end()
    elif bare is not None and bare[0]:
        text, found, end = bare[0], f"{_short(quote + bare[0])}, a string that is never closed", bare.end()
    else:
        raise cursor.unclosed_string(path)
    right = quoted(text)
    cursor.take_to(end)
    is_only_open = other is None and token.kind == "string"
    fix = f"add the missing {quote}" if is_only_open else f"write {right}"
    cursor.tell(path, found, expected, fix, token.line, cursor.edit(token.start, end, right))
    return text


def quoted(text: str) -> str:
    """A text as a string of protobuf's text format."""
    return f'"{CEscape(text.encode("utf-8", "surrogateescape"), as_utf8=True)}"'


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
