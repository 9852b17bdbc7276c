"""Protobuf messages as Triton's JSON: proto field names, 64-bit integers as plain numbers."""

from typing import Any

from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

_SIXTY_FOUR_BIT = frozenset(
    (
        FieldDescriptor.TYPE_INT64,
        FieldDescriptor.TYPE_UINT64,
        FieldDescriptor.TYPE_SINT64,
        FieldDescriptor.TYPE_FIXED64,
        FieldDescriptor.TYPE_SFIXED64,
    )
)


def to_json(message: Message, defaults: bool = True) -> dict[str, Any]:
    """A message as a dict that can be dumped as JSON.

    Args:
        defaults: also give the fields that have their default value.
    """
    document = json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=defaults
    )
    _mend(document, message.DESCRIPTOR)
    return document


def _mend(document: dict[str, Any], descriptor: Any) -> None:
    """Numbers where protobuf's JSON has strings, and the fields in their own order, the default ones not last."""
    given = dict(document)
    document.clear()
    document.update({field.name: given[field.name] for field in descriptor.fields if field.name in given})
    for field in descriptor.fields:
        if field.name not in document:
            continue
        value = document[field.name]
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            entry = field.message_type.fields_by_name["value"]
            if entry.message_type is not None:
                for item in value.values():
                    _mend(item, entry.message_type)
        elif field.message_type is not None:
            for item in value if isinstance(value, list) else [value]:
                _mend(item, field.message_type)
        elif field.type in _SIXTY_FOUR_BIT:
            document[field.name] = [int(item) for item in value] if isinstance(value, list) else int(value)
