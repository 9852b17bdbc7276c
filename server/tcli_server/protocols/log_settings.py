"""The logging extension: what is logged, read and changed by clients while the server runs.

Triton's fields and errors. Where Triton keeps what it changed before it came to a wrong field, here all or nothing is changed.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tcli_server.errors import InvalidArgumentError, UnsupportedError
from tcli_server.observability.log import LogOptions
from tcli_server.protocols.texts import short

Setting = bool | int | str

FIELDS = {
    "log_file": "file",
    "log_info": "info",
    "log_warning": "warning",
    "log_error": "error",
    "log_verbose_level": "verbose",
    "log_format": "format",
}
"""The protocol's names -> those of `LogOptions`."""

_FORMATS = ("default", "ISO8601")
_HIGHEST = 2**32 - 1


def settings_of(options: LogOptions) -> dict[str, Setting]:
    """All fields, by the protocol's names."""
    return {name: getattr(options, field) for name, field in FIELDS.items()}


def changed(options: LogOptions, settings: Mapping[str, object]) -> LogOptions:
    """The options with what a client has set.

    Raises:
        InvalidArgumentError: there is no such field, or its value is none.
        UnsupportedError: the log's file, which a client may not choose: it could write to any.
    """
    changes: dict[str, Any] = {name: _checked(name, value) for name, value in settings.items()}
    return replace(options, **{FIELDS[name]: value for name, value in changes.items()})


def _checked(name: str, value: object) -> Setting:
    if name not in FIELDS:
        raise InvalidArgumentError(f"there is no log setting '{short(name)}', expected one of {', '.join(FIELDS)}")
    if name == "log_file":
        raise UnsupportedError("log file location can not be updated through network protocol")
    if name == "log_format":
        if value not in _FORMATS:
            raise InvalidArgumentError(
                f"invalid argument for log_format, got: {short(value)}, expected default or ISO8601"
            )
        return str(value)
    if name == "log_verbose_level":
        if type(value) is not int or not 0 <= value <= _HIGHEST:
            raise InvalidArgumentError(f"expect uint32 for 'log_verbose_level', got: {short(value)}")
        return value
    if type(value) is not bool:
        raise InvalidArgumentError(f"expect boolean for '{name}', got: {short(value)}")
    return value
