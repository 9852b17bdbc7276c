"""What a field of a protobuf message takes, and what someone meant who wrote something else."""

import difflib

from google.protobuf.descriptor import FieldDescriptor

_INTEGERS = {
    FieldDescriptor.CPPTYPE_INT32: "a whole number (32 bits)",
    FieldDescriptor.CPPTYPE_INT64: "a whole number (64 bits)",
    FieldDescriptor.CPPTYPE_UINT32: "a whole number of 0 or more (32 bits)",
    FieldDescriptor.CPPTYPE_UINT64: "a whole number of 0 or more (64 bits)",
}
_BOOLS = {"true": True, "True": True, "t": True, "1": True, "false": False, "False": False, "f": False, "0": False}
_BOOL_SLIPS = {"TRUE": "true", "yes": "true", "on": "true", "FALSE": "false", "no": "false", "off": "false"}
_TYPE_SLIPS = {
    "BYTES": "STRING",
    "DOUBLE": "FP64",
    "FLOAT": "FP32",
    "FLOAT16": "FP16",
    "FLOAT32": "FP32",
    "FLOAT64": "FP64",
    "HALF": "FP16",
}


class WrongValueError(Exception):
    """A value that its field does not take; `meant` is the one probably meant, if any."""

    def __init__(self, meant: str | None) -> None:
        super().__init__(meant)
        self.meant = meant


def expected_value(field: FieldDescriptor) -> str:
    """What a field that is no message takes, in words."""
    if field.cpp_type in _INTEGERS:
        return _INTEGERS[field.cpp_type]
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return "true or false"
    if field.enum_type is not None:
        return f"one of {', '.join(name for name in field.enum_type.values_by_name if not name.endswith('_INVALID'))}"
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        return "a string in quotes"
    return "a number"


def parse_value(field: FieldDescriptor, text: str) -> int | float | bool:
    """The value of an unquoted token for a field that is neither string nor message.

    Raises:
        WrongValueError: the field does not take it.
    """
    if field.cpp_type in _INTEGERS:
        return _parse_integer(text)
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        if text in _BOOLS:
            return _BOOLS[text]
        raise WrongValueError(_BOOL_SLIPS.get(text, _BOOL_SLIPS.get(text.lower())))
    if field.enum_type is not None:
        values = field.enum_type.values_by_name
        if text in values:
            return int(values[text].number)
        if text.lstrip("-").isdigit() and int(text) in field.enum_type.values_by_number:
            return int(text)
        raise WrongValueError(_meant_enum(text, list(values)))
    try:
        return float(text.rstrip("fF") if text.lower() not in ("inf", "-inf") else text)
    except ValueError:
        raise WrongValueError(None) from None


def meant_field(name: str, names: list[str]) -> str | None:
    """The field that someone meant who wrote `name`, if one is near."""
    lowered = name.lower().replace("-", "_")
    for changed in (lowered, lowered + "s", lowered.removesuffix("s"), lowered.removesuffix("es")):
        if changed in names:
            return changed
    close = difflib.get_close_matches(lowered, names, 1, 0.7)
    return close[0] if close else None


def _parse_integer(text: str) -> int:
    try:
        if text.lstrip("-").startswith("0") and text.lstrip("-").isdigit():
            return int(text, 8)  # as in C: a leading zero means octal
        return int(text, 0)
    except ValueError:
        whole = text.removesuffix(".0")
        raise WrongValueError(whole if whole != text and whole.lstrip("-").isdigit() else None) from None


def _meant_enum(text: str, names: list[str]) -> str | None:
    upper = text.upper()
    bare = upper.removeprefix("TYPE_")
    for name in names:
        if name == upper or name.endswith("_" + upper) or name == f"TYPE_{_TYPE_SLIPS.get(bare, bare)}":
            return name
    close = difflib.get_close_matches(upper, names, 1, 0.7)
    return close[0] if close else None
