"""Writes a model configuration as text that a person can read and edit."""

from collections.abc import Iterator, Mapping
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.text_encoding import CEscape
from tritonclient.grpc.model_config_pb2 import ModelConfig

_FIRST = (
    "name",
    "platform",
    "backend",
    "runtime",
    "max_batch_size",
    "input",
    "output",
    "batch_input",
    "batch_output",
    "version_policy",
    "instance_group",
    "dynamic_batching",
    "sequence_batching",
    "ensemble_scheduling",
    "default_model_filename",
)


def format_config(
    config: ModelConfig, header_comment: str | None = None, comments: Mapping[str, str] | None = None
) -> str:
    """A configuration in protobuf text format, fields in the order of Triton's documentation.

    `max_batch_size` is written even where it is 0, as a reader wants to know. Lists of numbers are on one line.

    Args:
        header_comment: lines for the top of the file, without `#`.
        comments: top-level field name -> lines to put above it, without `#`.
    """
    lines = _comment(header_comment or "")
    if lines:
        lines.append("")
    for field in sorted(ModelConfig.DESCRIPTOR.fields, key=_rank):
        written = list(_field(config, field, 0))
        if written and comments and field.name in comments:
            lines += ([""] if lines and lines[-1] else []) + _comment(comments[field.name])
        lines += written
    return "\n".join(lines) + "\n"


def _rank(field: FieldDescriptor) -> tuple[int, int]:
    return (_FIRST.index(field.name) if field.name in _FIRST else len(_FIRST), field.number)


def _comment(text: str) -> list[str]:
    return [f"# {line}".rstrip() for line in text.splitlines()]


def _field(message: Message, field: FieldDescriptor, depth: int) -> Iterator[str]:
    value = getattr(message, field.name)
    pad = "  " * depth
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        yield from _map(field, value, depth)
    elif field.is_repeated:
        if len(value) == 0:
            return
        if field.message_type is None:
            yield f"{pad}{field.name}: [ {', '.join(_scalar(field, item) for item in value)} ]"
            return
        yield f"{pad}{field.name} ["
        for index, item in enumerate(value):
            yield f"{pad}  {{"
            yield from _fields(item, depth + 2)
            yield f"{pad}  }}" + ("," if index + 1 < len(value) else "")
        yield f"{pad}]"
    elif field.message_type is not None:
        if message.HasField(field.name):
            yield from _message(field.name, value, depth)
    elif _is_set(message, field) or field.name == "max_batch_size":
        yield f"{pad}{field.name}: {_scalar(field, value)}"


def _is_set(message: Message, field: FieldDescriptor) -> bool:
    if field.has_presence:  # one of several, where its default says something too
        return message.HasField(field.name)
    return bool(getattr(message, field.name) != field.default_value)


def _fields(message: Message, depth: int) -> Iterator[str]:
    fields: Any = message.DESCRIPTOR.fields  # typed as two unrelated classes, one of each protobuf implementation
    for field in fields:
        yield from _field(message, field, depth)


def _message(name: str, message: Message, depth: int) -> Iterator[str]:
    pad = "  " * depth
    body = list(_fields(message, depth + 1))
    if name == "reshape" and not body:
        body = [f"{pad}  shape: [ ]"]
    if not body:
        yield f"{pad}{name} {{ }}"
    elif len(body) == 1:
        yield f"{pad}{name} {{ {body[0].strip()} }}"
    else:
        yield f"{pad}{name} {{"
        yield from body
        yield f"{pad}}}"


def _map(field: FieldDescriptor, value: Mapping[object, object], depth: int) -> Iterator[str]:
    assert field.message_type is not None
    pad = "  " * depth
    types = field.message_type.fields_by_name
    for key in sorted(value, key=str):
        yield f"{pad}{field.name} {{"
        yield f"{pad}  key: {_scalar(types['key'], key)}"
        item = value[key]
        if isinstance(item, Message):
            yield from _message("value", item, depth + 1)
        else:
            yield f"{pad}  value: {_scalar(types['value'], item)}"
        yield f"{pad}}}"


def _scalar(field: FieldDescriptor, value: object) -> str:
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        return f'"{CEscape(str(value).encode(), as_utf8=True)}"'
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return "true" if value else "false"
    if field.enum_type is not None and value in field.enum_type.values_by_number:
        return str(field.enum_type.values_by_number[int(str(value))].name)
    return str(value)
