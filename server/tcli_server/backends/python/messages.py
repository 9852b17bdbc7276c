"""The server's side of messages: the same JSON as the worker's (`stub/wire.py`), faster."""

import json
import struct
from typing import Any

import orjson

from tcli_server.backends.python.stub.wire import Message
from tcli_server.backends.python.stub.wire import packed as packed_by_json

_LENGTH = struct.Struct("<I")


def packed(message: Message) -> bytes:
    """A message behind its length."""
    try:
        data = orjson.dumps(message)
    except TypeError:  # what orjson has no words for: numbers beyond 64 bits, lone surrogates
        return packed_by_json(message)
    return _LENGTH.pack(len(data)) + data


def loads(data: bytes) -> Any:
    """What JSON says."""
    try:
        return orjson.loads(data)
    except ValueError:  # NaN and the like
        return json.loads(data)
