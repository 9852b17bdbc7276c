"""Large JSON in pieces, with the same meaning as in one piece.

A JSON library holds the interpreter for as long as one call takes. So two things are taken out of a large text and read
bit by bit: the insides of very long strings, and arrays that are the value of a key that can hold a tensor. Each bit is
a complete JSON text when the quotes or brackets that were cut off are put back, so nothing passes that would not pass in
one piece. What is left must be of modest size.
"""

import re
import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tcli_server.copying import as_bytes
from tcli_server.errors import InvalidArgumentError
from tcli_server.protocols.http.json_leaves import Leaves, leaves_of
from tcli_server.protocols.http.json_text import (
    MAX_NESTING,
    SPACE,
    malformed,
    parse,
    steps,
    structure,
    too_deep,
    without_escapes,
)
from tcli_server.protocols.tensors import PIECE

_BLANK = b" \t\r\n"
MAX_REST_BYTES = 4 << 20
"""Bytes that a large text may have outside of tensors and of long strings."""

MAX_REST_VALUES = 100_000
"""Values that a large text may have outside of tensors."""

_MAX_KEYS = 10_000
_FIRST_WINDOW = 1 << 10
_DATA = ("data",)
_PLAIN_NAME = re.compile(r"[\w. /:-]+", re.ASCII)
_NOT_FLAT = tuple(b'"[]{}'[place : place + 1] for place in range(5))
_LONGEST_ESCAPE = 12
_HALF_A_PAIR = re.compile(rb"\\u[dD][89abAB]..", re.DOTALL)


@dataclass(slots=True)
class Pieces:
    """A long array, read in pieces.

    Attributes:
        nested: it holds arrays.
    """

    parts: list[Leaves]
    nested: bool = False


def loads(body: bytes | memoryview, piece: int = PIECE) -> Any:
    """Parse the JSON text of an inference request.

    Args:
        piece: bytes read at a time; a text that is no longer is parsed at once.

    Returns:
        The document; of a large one, each `data` in the members of its list `inputs` is `Pieces` if it was an array.

    Raises:
        InternalError: not JSON (Triton answers 500 here).
        InvalidArgumentError: nested too deeply, or too much of what is not `data`.
    """
    return parse(body) if len(body) <= piece else _LargeText(as_bytes(body), piece, _DATA).parse(_in_inputs)


def loads_flat(body: bytes, names: Sequence[str], piece: int = PIECE) -> Any:
    """Parse a JSON text whose members, or those of its member `parameters`, are tensors.

    Args:
        names: of the tensors.

    Returns:
        The document; of a large one, each tensor is `Pieces` if it was an array.

    Raises:
        InternalError, InvalidArgumentError: as `loads`.
    """
    if len(body) <= piece:
        return parse(body)
    return _LargeText(body, piece, [name for name in names if _PLAIN_NAME.fullmatch(name)]).parse(_at_the_top)


def second_place(text: bytes, name: str) -> int:
    """Where a text has a key for the second time, at whatever depth; -1 if it has not. Spelled with escapes it is none."""
    key, position, found = b'"%s"' % name.encode(), 0, False
    for _ in range(_MAX_KEYS):  # it may also be the text of very many values
        start = _find(text, key, position)
        if start < 0:
            break
        position = start + len(key)
        if _is_key(text, start, position):
            if found:
                return start
            found = True
    return -1


class _NotPlainError(Exception):
    """An array that holds objects, or is nested more deeply than a tensor may be."""


class _LargeText:
    """One text on its way.

    Args:
        names: keys whose arrays are read apart.
    """

    def __init__(self, text: bytes, piece: int, names: Sequence[str]) -> None:
        self._text = text
        self._piece = piece
        self._next_keys = {b'"%s"' % name.encode(): -1 for name in names}
        self._strings: list[list[str]] = []
        self._arrays: list[Pieces] = []
        self._keys = 0
        # What is taken out leaves a mark with this name behind, which nobody can have guessed.
        # The first letter is none that could complete an escape.
        self._nonce = "x" + secrets.token_hex(8)
        self._mark = re.compile(self._nonce + r"(\d+);")

    def parse(self, places: Callable[[Any], Iterator[tuple[dict[str, Any], str]]]) -> Any:
        """The document.

        Args:
            places: where in it the arrays may be that are read apart: objects and their keys.
        """
        self._text = self._without_long_strings()
        rest = self._without_arrays()
        self._check_rest(rest)
        document = parse(rest)
        if self._strings:
            document = self._whole(document)
        for holder, key in places(document):
            value = holder[key]
            if isinstance(value, dict) and self._nonce in value:
                holder[key] = self._arrays[value[self._nonce]]
        return document

    def _check_rest(self, rest: bytes) -> None:
        if len(rest) > MAX_REST_BYTES:
            size = sum(len(rest[at : at + PIECE].translate(None, _BLANK)) for at in range(0, len(rest), PIECE))
            if size > MAX_REST_BYTES:
                raise InvalidArgumentError(
                    f"request JSON has {size} bytes beside the 'data' of inputs, at most {MAX_REST_BYTES} are allowed"
                )
        found = 0
        for start in range(0, len(rest), PIECE):
            window = rest[start : start + PIECE]
            found += window.count(b",") + window.count(b"[") + window.count(b"{")
        if found <= MAX_REST_VALUES:
            return
        _, marks = structure(rest)
        if np.cumsum(steps(marks)).max(initial=0) > MAX_NESTING:
            raise too_deep()
        if marks.size > MAX_REST_VALUES:
            raise InvalidArgumentError(
                f"request JSON has {marks.size} values beside the 'data' of inputs, at most {MAX_REST_VALUES} are "
                "allowed"
            )

    # --- long strings ---

    def _without_long_strings(self) -> bytes:
        text, kept = self._text, list[bytes]()
        position = done = 0
        inside = clean = cutting = False
        while position < len(text):
            stop, clean_stop = self._string_stop(position)
            quotes = without_escapes(text[position:stop]).count(b'"')
            if inside and not quotes and clean and clean_stop:
                if not cutting:
                    kept += (text[done:position], b"%s%d;" % (self._nonce.encode(), len(self._strings)))
                    self._strings.append([])
                self._strings[-1].append(parse(b'"' + text[position:stop] + b'"'))
                done, cutting = stop, True
            else:
                cutting = False
            inside ^= bool(quotes % 2)
            position, clean = stop, clean_stop
        return b"".join((*kept, text[done:])) if kept else text

    def _string_stop(self, start: int) -> tuple[int, bool]:
        """Where a window ends, and whether a string can be cut there: not within an escape or a character."""
        text, end = self._text, len(self._text)
        wanted = start + self._piece
        if wanted >= end:
            return end, False
        for stop in range(wanted, max(start, wanted - _LONGEST_ESCAPE), -1):
            if text[stop] & 0xC0 != 0x80 and _behind_escapes(text, start, stop):
                return stop, True
        window = text[start:wanted]
        return wanted + _backslashes(window) % 2, False

    def _whole(self, value: Any) -> Any:
        """A parsed value with the insides of its strings put back."""
        if isinstance(value, str):
            if self._nonce not in value:
                return value
            return "".join(
                text if index % 2 == 0 else "".join(self._strings[int(text)])
                for index, text in enumerate(self._mark.split(value))
            )
        if isinstance(value, list):
            return [self._whole(item) for item in value]
        if isinstance(value, dict):
            return {self._whole(key): self._whole(item) for key, item in value.items()}
        return value

    # --- arrays ---

    def _without_arrays(self) -> bytes:
        text, kept = self._text, list[bytes]()
        done = position = 0
        while (start := self._next_array(position)) >= 0:
            try:
                array, end = self._read_array(start)
            except _NotPlainError:  # left where it is, for whoever looks at the whole document
                position = start + 1
                continue
            kept += (text[done:start], b'{"%s":%d}' % (self._nonce.encode(), len(self._arrays)))
            self._arrays.append(array)
            done = position = end
        return b"".join((*kept, text[done:]))

    def _next_array(self, position: int) -> int:
        """Where the next array begins that is the value of one of the keys; -1 if there is none."""
        text = self._text
        while (found := self._next_key(position)) is not None:
            start, position = found
            self._keys += 1
            if self._keys > _MAX_KEYS:
                names = ", ".join(key.decode() for key in self._next_keys)
                raise InvalidArgumentError(f"request JSON has more than {_MAX_KEYS} keys {names}")
            if _is_key(text, start, position):
                start = _skip_space(text, _skip_space(text, position) + 1)
                if text[start : start + 1] == b"[":
                    return start
        return -1

    def _next_key(self, position: int) -> tuple[int, int] | None:
        """Where the next of the keys begins and ends; each is looked for once in the whole text."""
        first: tuple[int, int] | None = None
        for key, place in list(self._next_keys.items()):
            if place < position:
                self._next_keys[key] = place = _find(self._text, key, position)
            if place < 0:
                del self._next_keys[key]
            elif first is None or place < first[0]:
                first = place, place + len(key)
        return first

    def _read_array(self, start: int) -> tuple[Pieces, int]:
        """The array that begins at `start`, and where it ends."""
        parts: list[Leaves] = []
        position, depth, size = start, 0, min(self._piece, _FIRST_WINDOW)
        nested = False
        while True:
            window = self._text[position : position + size]
            if depth and not any(mark in window for mark in _NOT_FLAT) and (comma := window.rfind(b",")) > 0:
                parts.append(self._leaves(b"[" + window[:comma] + b"]"))
                if not len(parts[-1]):
                    raise malformed("a comma without a value before it")
                position, size = position + comma + 1, self._piece
                continue
            places, marks = structure(window)
            depths = depth + np.cumsum(steps(marks))
            ends = np.flatnonzero(depths <= 0)
            commas = ends[:1] if ends.size else np.flatnonzero(marks == ord(","))[-1:]
            if not commas.size:
                if position + size >= len(self._text):
                    raise malformed(f"the array at byte {start} does not end")
                size *= 2
                continue
            last = int(commas[0])
            fragment = window[: int(places[last]) + (1 if ends.size else 0)]
            self._check_fragment(marks[:last], depths[:last], fragment, position == start, bool(ends.size))
            left = int(depths[last])
            nested = nested or int(depths[:last].max(initial=0)) > 1
            parts.append(self._leaves(b"[" * depth + fragment + b"]" * left))
            position += len(fragment)
            if ends.size:
                return Pieces(parts, nested), position
            position, depth, size = position + 1, left, self._piece

    def _check_fragment(self, marks: np.ndarray, depths: np.ndarray, text: bytes, first: bool, final: bool) -> None:
        """What the brackets put back would hide: a comma with no value before or behind it."""
        if depths.max(initial=0) >= MAX_NESTING or ((marks == ord("{")) | (marks == ord("}"))).any():
            raise _NotPlainError
        if not first and text.lstrip(SPACE)[:1] in (b"", b"]"):
            raise malformed("a comma without a value behind it")
        if not final and text.rstrip(SPACE)[-1:] in (b"", b"["):
            raise malformed("a comma without a value before it")

    def _leaves(self, text: bytes) -> Leaves:
        leaves = leaves_of(parse(text))
        return self._whole(leaves) if self._strings and isinstance(leaves, list) else leaves


def _in_inputs(document: Any) -> Iterator[tuple[dict[str, Any], str]]:
    inputs = document.get("inputs") if isinstance(document, dict) else None
    for item in inputs if isinstance(inputs, list) else ():
        if isinstance(item, dict) and "data" in item:
            yield item, "data"


def _at_the_top(document: Any) -> Iterator[tuple[dict[str, Any], str]]:
    if isinstance(document, dict):
        parameters = document.get("parameters")
        for holder in (document, parameters):
            yield from ((holder, key) for key in list(holder)) if isinstance(holder, dict) else ()


def _is_key(text: bytes, start: int, end: int) -> bool:
    """Whether the quoted text between two places is a key: a quote within a string follows a backslash."""
    if start and text[start - 1] == ord("\\"):
        return False
    colon = _skip_space(text, end)
    return text[colon : colon + 1] == b":"


def _behind_escapes(text: bytes, start: int, place: int) -> bool:
    """Whether no escape, or pair of escapes that make one character, goes across a place; `start` is in none."""
    before = text[max(start, place - _LONGEST_ESCAPE) : place]
    if b"\\" not in before:
        return True
    if before.endswith(b"\\"):  # each two of them are one escape
        return _backslashes(text[start:place]) % 2 == 0
    # Where an escape begins, the one before has ended.
    return text[place] == ord("\\") and not _HALF_A_PAIR.fullmatch(before[-6:])


def _backslashes(text: bytes) -> int:
    """How many of them a text ends with."""
    return len(text) - len(text.rstrip(b"\\"))


def _find(text: bytes, wanted: bytes, start: int) -> int:
    while start < len(text):
        if (found := text.find(wanted, start, start + PIECE)) >= 0:
            return found
        start += PIECE - len(wanted)
    return -1


def _skip_space(text: bytes, start: int) -> int:
    while start < len(text):
        window = text[start : start + PIECE]
        if behind := window.lstrip(SPACE):
            return start + len(window) - len(behind)
        start += PIECE
    return start
