"""The endpoints of the trace extension."""

from concurrent.futures import Future

import orjson

from tcli_server.engine import Engine
from tcli_server.errors import InternalError, InvalidArgumentError
from tcli_server.protocols.after import after
from tcli_server.protocols.http.json_text import parse
from tcli_server.protocols.trace_settings import CHANGEABLE, begin_check_model, changes_of, settings_of

_LARGEST = 1 << 14
"""Bytes of a change."""


def begin_reading(engine: Engine, model: str) -> "Future[bytes]":
    """All of the server's, or of a model's, as JSON; an InvalidArgumentError if there is no such model, or it is not ready."""
    return after(begin_check_model(engine, model), lambda _: _dump(engine, model))


def begin_change(engine: Engine, model: str, body: bytes | memoryview) -> "Future[bytes]":
    """Change what a request says; the future is all settings then, or an error.

    InternalError: the body is no JSON, or a field of another type than Triton's; or as `begin_check_model`, `changes_of` and
    `Tracer.change`.

    Raises:
        InvalidArgumentError: the body is larger than anybody needs.
    """
    if len(body) > _LARGEST:
        raise InvalidArgumentError(f"the trace settings have {len(body)} bytes, expected at most {_LARGEST}")

    def change(_: None) -> "Future[bytes]":
        document = parse(body)
        if not isinstance(document, dict):
            raise InvalidArgumentError("the trace settings are no JSON object")
        values = {name: None if value is None else _texts(name, value) for name, value in document.items()}
        return after(engine.change_trace(model, changes_of(values)), lambda _: _dump(engine, model))

    return after(begin_check_model(engine, model), change)


def _texts(name: str, value: object) -> list[str]:
    values = value if name == "trace_level" else [value]
    if not isinstance(values, list):
        raise InternalError("attempt to access JSON non-array as array")
    for text in values if name in CHANGEABLE else ():
        if not isinstance(text, str):
            raise InternalError("attempt to access JSON non-string as string")
    return values


def _dump(engine: Engine, model: str) -> bytes:
    fields = settings_of(engine, model)
    return orjson.dumps({name: value if name == "trace_level" else value[0] for name, value in fields.items()})
