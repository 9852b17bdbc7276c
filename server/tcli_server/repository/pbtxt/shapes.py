"""What was meant by a value of the wrong shape: a word or a list where a message belongs, or the reverse."""

import re
from collections.abc import Sequence

from google.protobuf.descriptor import FieldDescriptor

from tcli_server.repository.pbtxt.scalars import quoted
from tcli_server.repository.pbtxt.tokens import Token
from tcli_server.repository.pbtxt.values import WrongValueError, parse_value

_INNER = {
    "Accelerator": ("name",),
    "Graph": ("level",),
    "Latest": ("num_versions",),
    "ModelInput": ("name",),
    "ModelInstanceGroup": ("kind", "count"),
    "ModelOperations": ("op_library_filename",),
    "ModelOutput": ("name",),
    "ModelParameter": ("string_value",),
    "ModelResponseCache": ("enable",),
    "ModelTensorReshape": ("shape",),
    "ModelTransactionPolicy": ("decoupled",),
    "PinnedMemoryBuffer": ("enable",),
    "Specific": ("versions",),
}
"""Message -> the fields, best first, that someone means who writes a value for the whole message."""

_YES = frozenset({"true", "t", "yes", "on", "enabled", "1"})
_NO = frozenset({"false", "f", "no", "off", "disabled", "none", "null", "0"})


def meant_message(field: FieldDescriptor, values: Sequence[Token], is_list: bool) -> str | None:
    """The message, as text in braces, that someone meant who wrote values in its place.

    Answers an empty text where the field had better be left out, None where nothing tells.
    """
    message = field.message_type
    assert message is not None
    words = [value.bare for value in values]
    lowered = words[0].lower() if words else ""
    if message.name == "ModelVersionPolicy":
        return _version_policy(words, is_list)
    for name in _INNER.get(message.name, ()):
        inner = message.fields_by_name[name]
        if not is_list and len(words) != 1:
            return None
        if not inner.is_repeated and len(words) != 1:
            continue
        written = [_written(inner, word) for word in words]
        if None in written:
            continue
        body = f"[ {', '.join(filter(None, written))} ]" if inner.is_repeated else written[0]
        return f"{{ {name}: {body} }}" if body != "[  ]" else f"{{ {name}: [ ] }}"
    if message.name in _INNER:
        return None
    if not words or (len(words) == 1 and lowered in _YES):
        return "{ }"
    return "" if len(words) == 1 and lowered in _NO else None


def _version_policy(words: list[str], is_list: bool) -> str | None:
    if len(words) == 1 and words[0].lower() in ("all", "latest"):
        return "{ all { } }" if words[0].lower() == "all" else "{ latest { num_versions: 1 } }"
    if is_list and words and all(re.fullmatch(r"[1-9]\d{0,17}", word, re.ASCII) for word in words):
        return f"{{ specific {{ versions: [ {', '.join(words)} ] }} }}"
    return None


def _written(field: FieldDescriptor, word: str) -> str | None:
    """A word as the value of a field; None where the field does not take it."""
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        return quoted(word)
    try:
        parse_value(field, word)
    except WrongValueError as error:
        return error.meant[0] if len(error.meant) == 1 else None
    if field.enum_type is not None and not word.isidentifier():
        return None
    return word
