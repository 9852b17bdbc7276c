"""JSON from a client with one strict meaning: what orjson accepts, and NaN and Infinity, which Triton accepts too."""

import json
import re
from typing import Any

import numpy as np
import orjson

from tcli_server.errors import InternalError, InvalidArgumentError

MAX_NESTING = 100
"""How deep brackets may lie within brackets, as newer Tritons limit them."""

SPACE = b" \t\r\n"

_STRING_OR_CONSTANT = re.compile(rb'"(?:[^"\\]++|\\.)*+(?:"|\Z)|-?(?:NaN|Inf(?:inity)?)(?![A-Za-z0-9_])', re.DOTALL)
_ESCAPE = re.compile(rb"\\.", re.DOTALL)
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
            orjson.loads(_STRING_OR_CONSTANT.sub(_as_zero, text))
            return json.loads(_STRING_OR_CONSTANT.sub(_as_python, text).decode(), parse_int=_integer)
        except json.JSONDecodeError as found:
            error = found
        except RecursionError:
            raise too_deep() from None
    if nesting(text) > MAX_NESTING:
        raise too_deep()
    raise malformed(str(error))


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


def structure(text: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Where brackets, braces and commas stand outside of strings, and which; the text begins outside of a string."""
    if b"\\" in text:
        text = _ESCAPE.sub(b"__", text)
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
