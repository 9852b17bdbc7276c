"""Reads the JSON files that lie beside a model, whatever is in them."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tcli_server.repository.text_file import UnreadableFileError, read_bytes

MOST_BYTES_BESIDE = 16 << 20
"""A file beside a model that is larger is not read."""
_SHOWN = 40

Json = Mapping[str, Any]


class BesideError(Exception):
    """What lies beside a model cannot be used; the message says why."""


def read_json(path: Path) -> Json:
    """The object in a file of at most 16 MiB.

    Raises:
        BesideError: it cannot be read, or holds something else.
    """
    try:
        document = json.loads(read_bytes(path, MOST_BYTES_BESIDE).decode("utf-8-sig"))
    except UnreadableFileError as error:
        raise BesideError(f"it is {error.found}") from None
    except RecursionError:
        raise BesideError("it is nested too deeply") from None
    except UnicodeDecodeError:
        raise BesideError("it is no UTF-8 text") from None
    except ValueError as error:
        raise BesideError(f"it is no JSON ({error})") from None
    if not isinstance(document, dict):
        raise BesideError(f"it holds {_shown(document)}, expected an object")
    return document


def number(document: Json, key: str) -> float | None:
    """A finite number; None where there is none."""
    value = document.get(key)
    return None if value is None else as_number(value, key)


def as_number(value: object, key: str) -> float:
    """A value as a number of a size that one can compute with.

    Raises:
        BesideError: it is none.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not _is_bearable(_float(value)):
        raise _wrong(key, value, "a number")
    return float(value)


def side(value: object, key: str) -> int:
    """A value as a side in pixels, 1 to 16384.

    Raises:
        BesideError: it is none.
    """
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 16_384:
        raise _wrong(key, value, "a side in pixels")
    return value


def numbers(document: Json, key: str) -> tuple[float, ...] | None:
    """One number, or one for each of three channels; None where there is none."""
    value = document.get(key)
    if value is None:
        return None
    values = value if isinstance(value, list) else [value]
    if len(values) not in (1, 3):
        raise _wrong(key, value, "one number, or one for each of 3 channels")
    return tuple(as_number(each, key) for each in values)


def flag(document: Json, key: str, default: bool) -> bool:
    """A switch; the default where there is none."""
    value = document.get(key)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise _wrong(key, value, "true or false")
    return value


def text(document: Json, key: str) -> str:
    """A text, empty where there is none, or something else."""
    value = document.get(key)
    return value if isinstance(value, str) else ""


def _float(value: int | float) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _is_bearable(value: float) -> bool:
    """Products and quotients of such numbers are neither infinite nor 0."""
    return value == 0 or 1e-30 <= abs(value) <= 1e30


def _wrong(key: str, value: object, expected: str) -> BesideError:
    return BesideError(f"its {key} is {_shown(value)}, expected {expected}")


def _shown(value: object) -> str:
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if isinstance(value, dict):
        return "an object"
    shown = repr(value) if isinstance(value, str) else json.dumps(value) if not _is_huge(value) else "a huge number"
    return shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}..."


def _is_huge(value: object) -> bool:
    return isinstance(value, int) and value.bit_length() > 64
