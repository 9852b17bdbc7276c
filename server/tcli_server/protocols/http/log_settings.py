"""The endpoint of the logging extension."""

from concurrent.futures import Future

import orjson

from tcli_server.engine import Engine
from tcli_server.errors import InvalidArgumentError
from tcli_server.observability.log import log_options
from tcli_server.protocols.after import after
from tcli_server.protocols.http.json_text import parse
from tcli_server.protocols.log_settings import changed, settings_of

_LARGEST = 1 << 14
"""Bytes of a change."""


def read_settings() -> bytes:
    """All of them, as JSON."""
    return orjson.dumps(settings_of(log_options()))


def begin_change(engine: Engine, body: bytes | memoryview) -> "Future[bytes]":
    """Change what a request says; the future is all settings then.

    Raises:
        InternalError: the body is no JSON.
        InvalidArgumentError, UnsupportedError: as `changed`.
    """
    if len(body) > _LARGEST:
        raise InvalidArgumentError(f"the log settings have {len(body)} bytes, expected at most {_LARGEST}")
    document = parse(body)
    if not isinstance(document, dict):
        raise InvalidArgumentError("the log settings are no JSON object")
    settings = {name: value for name, value in document.items() if value is not None}
    return after(engine.change_log(changed(log_options(), settings)), lambda _: read_settings())
