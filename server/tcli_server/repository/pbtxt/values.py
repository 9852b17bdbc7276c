"""What a field of a protobuf message takes, and what someone meant who wrote something else."""

import re
from typing import NamedTuple

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.text_encoding import CUnescape

from tcli_server.repository.pbtxt.names import meant_values

_RANGES = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 2**64 - 1),
}
_MEANINGS = {
    "max_batch_size": "a whole number from 0 (no batching) to {most}",
    "dims": "a whole number from 1 to {most}, or -1 where the dimension varies",
    "shape": "a whole number from 1 to {most}, or -1 where the dimension varies",
}
_INTEGER = re.compile(r"(-?)(0[xX][0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*)", re.ASCII)
_FLOAT = re.compile(
    r"-?(?:(?:0|[1-9]\d*)\.\d*|\.\d+|0|[1-9]\d*)(?:[eE][+-]?\d+)?[fF]?|-?(?:inf|infinity|nan)", re.ASCII | re.I
)
_DECIMAL = re.compile(r"([+-]?)(\d{1,40})(?:\.0*)?(?:[lLuUfF]{1,3}|[eE]\+?(\d))?", re.ASCII)
_BOOLS = {"true": True, "True": True, "t": True, "false": False, "False": False, "f": False}
_BOOL_SLIPS = {"true": "true", "t": "true", "yes": "true", "y": "true", "on": "true", "enabled": "true"} | {
    "false": "false", "f": "false", "no": "false", "n": "false", "off": "false", "disabled": "false"
}  # fmt: skip
_ESCAPES = re.compile(r"\\(?:[abfnrtv?'\"\\]|[0-7]|x[0-9a-fA-F]|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8})|[^\\]", re.DOTALL)
_ANY_SIZE = re.compile(r"none|null|nil|\?|\*|any|auto|dynamic|variable|batch|batch_size|n|b", re.I)


class WrongValueError(Exception):
    """A value that its field does not take; `meant` are those probably meant: one without doubt, several with."""

    def __init__(self, *meant: str) -> None:
        super().__init__(*meant)
        self.meant = meant


class Expected(NamedTuple):
    """What a field takes: in words, and how to say "write ..." where nothing tells what was meant."""

    words: str
    fix: str


def expected_value(field: FieldDescriptor) -> Expected:
    """What a field that is no message takes."""
    if field.cpp_type in _RANGES:
        least, most = _RANGES[field.cpp_type]
        words = _MEANINGS.get(field.name, f"a whole number from {least} to {{most}}").format(most=most)
        return Expected(words, "write such a number, in plain digits")
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return Expected("true or false", "write true or false")
    if field.enum_type is not None:
        names = ", ".join(name for name in field.enum_type.values_by_name if not name.endswith("_INVALID"))
        return Expected(f"one of {names}", "write one of these")
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        return Expected("a string in quotes", "write a text in quotes")
    return Expected("a number", "write a number, in plain digits")


def parse_value(field: FieldDescriptor, text: str) -> int | float | bool:
    """The value of an unquoted token for a field that is neither string nor message.

    Raises:
        WrongValueError: the field does not take it.
    """
    if field.cpp_type in _RANGES:
        return _parse_integer(field, text)
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        number = _integer(text, 0, 1)
        if number is not None:
            return bool(number)
        if text in _BOOLS:
            return _BOOLS[text]
        raise WrongValueError(*filter(None, [_BOOL_SLIPS.get(text.lower())]))
    if field.enum_type is not None:
        values = field.enum_type.values_by_name
        if text in values:
            return int(values[text].number)
        number = _integer(text, -(2**31), 2**31 - 1)
        if number in field.enum_type.values_by_number:
            return int(number or 0)
        raise WrongValueError(*meant_values(text, field.enum_type))
    if not _FLOAT.fullmatch(text):
        comma = text.replace(",", ".")
        raise WrongValueError(*([comma] if comma != text and _FLOAT.fullmatch(comma) else []))
    return float(text.rstrip("fF") if text[-3:].lower() != "inf" else text)


def unescaped(string: str) -> str:
    """The value of a string between its quotes.

    Raises:
        ValueError: an escape is wrong, or the bytes are no UTF-8.
    """
    if "\\" not in string:
        string.encode("utf-8")
        return string
    if not has_valid_escapes(string):
        raise ValueError("an escape that protobuf does not know")
    plain = re.sub(r"\\([\\?])", lambda escape: "?" if escape[1] == "?" else escape[0], string)  # CUnescape keeps \?
    return CUnescape(plain).decode("utf-8")


def has_valid_escapes(string: str) -> bool:
    """Whether protobuf knows every escape of a string."""
    return not _ESCAPES.sub("", string)


def _integer(text: str, least: int, most: int) -> int | None:
    """A whole number as C writes it (a leading zero means octal), None where it is none or out of range."""
    match = _INTEGER.fullmatch(text)
    if match is None or len(text) > 40 or (match[1] and least == 0):
        return None
    digits = match[2]
    base = 16 if digits[1:2] in ("x", "X") else 8 if digits.startswith("0") else 10
    value = int(digits, base) * (-1 if match[1] else 1)
    return value if least <= value <= most else None


def _parse_integer(field: FieldDescriptor, text: str) -> int:
    least, most = _RANGES[field.cpp_type]
    value = _integer(text, least, most)
    if value is not None:
        return value
    if field.name in ("dims", "shape") and _ANY_SIZE.fullmatch(text):
        raise WrongValueError("-1")
    plain = _DECIMAL.fullmatch(re.sub(r"(?<=\d)(?:_(?=\d)|,(?=\d{3}(?!\d)))", "", text))
    if plain is None:
        raise WrongValueError
    meant = int(plain[2]) * 10 ** int(plain[3] or 0) * (-1 if plain[1] == "-" else 1)
    raise WrongValueError(*([str(meant)] if least <= meant <= most else []))
