"""The JSON form of a model configuration, as the load API takes it: as lenient as protobuf's own parser, which is Triton's."""

import json
import re
from typing import Any

from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_server.errors import InternalError

_LARGEST_CONFIG = 1 << 20
"""Characters of a configuration. Python's JSON parser lets nobody else run meanwhile, for 20 s with 45 MB of `[],`."""

_BARE_NAME = re.compile(r'("(?:[^"\\]|\\.?)*"?)|([{,]\s*)([A-Za-z_]\w*)(?=\s*:)', re.DOTALL)
"""A string, closed or not, or a name without quotes that stands where a member's name does."""


def parse_config_json(name: str, text: str) -> ModelConfig:
    """A model configuration from the JSON form that the load API takes.

    Raises:
        InternalError: not JSON, or not a ModelConfig (the kind and the first words are Triton's); or far too large.
    """
    if len(text) > _LARGEST_CONFIG:
        raise InternalError(
            f"failed to load '{name}', failed to poll from model repository: the 'config' parameter has {len(text)} "
            f"characters, expected at most {_LARGEST_CONFIG}"
        )
    try:
        document = _read_json(text)
        if not isinstance(document, dict):
            raise ValueError("expected an object")
        return json_format.ParseDict(_listed(document, ModelConfig.DESCRIPTOR), ModelConfig())
    except (ValueError, RecursionError, json_format.ParseError) as error:
        raise InternalError(
            f"failed to load '{name}', failed to poll from model repository: the 'config' parameter is not a model "
            f"configuration in JSON: {error}"
        ) from None


def _read_json(text: str) -> Any:
    """As `json.loads`, but names of members may also come without quotes: Triton's parser, protobuf's, takes them."""
    try:
        return json.loads(text)
    except ValueError:
        quoted = _BARE_NAME.sub(lambda found: found[1] or f'{found[2]}"{found[3]}"', text)
        if quoted == text:
            raise
        return json.loads(quoted)


def _listed(document: Any, message: Descriptor) -> Any:
    """The document with a list wherever a list belongs and one value stands alone."""
    if not isinstance(document, dict):
        return document
    listed = {}
    for name, value in document.items():
        field = message.fields_by_name.get(name) or message.fields_by_camelcase_name.get(name)
        listed[name] = value if field is None or value is None else _of_field(value, field)
    return listed


def _of_field(value: Any, field: FieldDescriptor) -> Any:
    inner = field.message_type
    if inner is not None and inner.GetOptions().map_entry:
        of_values = inner.fields_by_name["value"]
        return {key: _of_field(each, of_values) for key, each in value.items()} if isinstance(value, dict) else value
    if not field.is_repeated:
        return value if inner is None else _listed(value, inner)
    values = value if isinstance(value, list) else [value]
    return values if inner is None else [_listed(each, inner) for each in values]
