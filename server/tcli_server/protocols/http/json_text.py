"""JSON from a client with one strict meaning: what orjson accepts, and NaN and Infinity, which Triton accepts too."""

import json
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import orjson

from tcli_server.errors import InternalError, InvalidArgumentError

MAX_NESTING = 100
"""How deep brackets may lie within brackets, as newer Tritons limit them."""

SPACE = b" \t\r\n"

_STRING_OR_CONSTANT = re.compile(rb'"(?:[^"\\]++|\\.)*+(?:"|\Z)|-?(?:NaN|Inf(?:inity)?)(?![A-Za-z0-9_])', re.DOTALL)
_STRUCTURAL = np.isin(np.arange(256), list(b"[]{},"))
_STEPS = np.zeros(256, np.int64)
_STEPS[list(b"[{")] = 1
_STEPS[list(b"]}")] = -1
_QUOTE = ord('"')


def parse(text: bytes | memoryview) -> Any:
    """Parse a JSON text at once.

    Raises:
        InternalError: not JSON (Triton answers 500 here).
        InvalidArgumentError: nested too deeply.
    """
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        return _parse_constants(bytes(text), error)


def _parse_constants(text: bytes, error: json.JSONDecodeError) -> Any:
    """NaN and Infinity: orjson says whether all else is right, Python's json what it means."""
    if b"NaN" in text or b"Inf" in text:
        try:
            orjson.loads(_replaced(text, _as_zero, _ZEROS))
            return json.loads(_replaced(text, _as_python, _PYTHON).decode(), parse_int=_integer)
        except json.JSONDecodeError as found:
            error = found
        except RecursionError:
            raise too_deep() from None
    if nesting(text) > MAX_NESTING:
        raise too_deep()
    raise malformed(str(error))


def _replaced(text: bytes, by: Callable[[re.Match[bytes]], bytes], plainly: Sequence[tuple[bytes, bytes]]) -> bytes:
    """The text with its constants replaced, outside of strings; plainly, which is faster, where there are none."""
    if b'"' in text:
        return _STRING_OR_CONSTANT.sub(by, text)
    for old, new in plainly:
        text = text.replace(old, new)
    return text


_ZEROS = ((b"Infinity", b"0"), (b"Inf", b"0"), (b"NaN", b"0"))
_PYTHON = ((b"Infinity", b"Inf"), (b"Inf", b"Infinity"), (b"-NaN", b"NaN"))


def _as_zero(match: re.Match[bytes]) -> bytes:
    return match.group() if match.group().startswith(b'"') else b"0"


def _as_python(match: re.Match[bytes]) -> bytes:
    found = match.group()
    if found.startswith(b'"'):
        return found
    if found.endswith(b"NaN"):
        return b"NaN"
    return b"-Infinity" if found.startswith(b"-") else b"Infinity"


def _integer(digits: str) -> int | float:
    """As orjson has them: integers that 64 bits cannot hold are floats."""
    if len(digits) > 20:
        return float(digits)
    value = int(digits)
    return value if -(2**63) <= value < 2**64 else float(value)


def without_escapes(text: bytes) -> bytes:
    """The text, as long as before, in which each quote begins or ends a string; it must not begin within an escape."""
    return text.replace(b"\\\\", b"__").replace(b'\\"', b"__") if b"\\" in text else text


def structure(text: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Where brackets, braces and commas stand outside of strings, and which; the text begins outside of a string."""
    text = without_escapes(text)
    codes = np.frombuffer(text, np.uint8)
    places = np.flatnonzero(_STRUCTURAL[codes])
    if b'"' in text:
        quotes = np.flatnonzero(codes == _QUOTE)
        places = places[np.searchsorted(quotes, places) % 2 == 0]
    return places, codes[places]


def steps(marks: np.ndarray) -> np.ndarray:
    """1 for what opens, -1 for what closes, 0 for commas."""
    depths: np.ndarray = _STEPS[marks]
    return depths


def nesting(text: bytes) -> int:
    """How deep brackets lie within brackets."""
    _, marks = structure(text)
    return int(np.cumsum(steps(marks)).max(initial=0))


def too_deep() -> InvalidArgumentError:
    """The refusal of brackets within brackets within brackets."""
    return InvalidArgumentError(f"JSON nesting depth exceeds maximum allowed limit ({MAX_NESTING})")


def malformed(why: str) -> InternalError:
    """The refusal of what is no JSON."""
    return InternalError(f"failed to parse the request JSON buffer: {why}")
