"""The trace extension: which requests are traced, read and changed by clients while the server runs.

Triton's fields and errors, but for these: a number is all of the text, and a field or a level that does not exist is an error.
"""

import re
from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any

from tcli_server.engine import Engine
from tcli_server.errors import InvalidArgumentError, UnsupportedError
from tcli_server.protocols.after import after
from tcli_server.protocols.texts import short
from tcli_server.tracing.options import MAX_INT32, MAX_UINT32, TraceLevel

_RANGES = {"trace_rate": (0, MAX_UINT32), "trace_count": (-1, MAX_INT32), "log_frequency": (0, MAX_UINT32)}
CHANGEABLE = {"trace_level": "level", "trace_rate": "rate", "trace_count": "count", "log_frequency": "log_frequency"}
"""The protocol's names -> those of `TraceSettings`."""

_LEVELS = {name: TraceLevel[name] for name in ("OFF", "TIMESTAMPS", "TENSORS")}
_NUMBER = re.compile(r"-?[0-9]{1,40}", re.ASCII)

Values = Mapping[str, list[str] | None]
"""What a client sets, by the protocol's names; None for what it clears."""


def begin_check_model(engine: Engine, model: str) -> "Future[None]":
    """Find out whether a model can be asked, if one is named; an InvalidArgumentError if not. It may take its time to say so itself."""

    def judge(ready: bool) -> None:
        if not ready:
            raise InvalidArgumentError(f"Request for unknown model : {short(model)}")

    if model:
        return after(engine.begin_model_ready(model), judge)
    nothing: Future[None] = Future()
    nothing.set_result(None)
    return nothing


def changes_of(values: Values) -> dict[str, Any]:
    """As `tcli_server.tracing.tracer.Changes`.

    Raises:
        InvalidArgumentError: there is no such setting, or its value is none.
        UnsupportedError: the file, which a client may not choose: it could write to any.
    """
    return {_field(name): _value(name, value) for name, value in values.items()}


def _field(name: str) -> str:
    if name == "trace_file":
        raise UnsupportedError("trace file location can not be updated through network protocol")
    if name not in CHANGEABLE:
        raise InvalidArgumentError(
            f"there is no trace setting '{short(name)}' to be changed, expected one of {', '.join(CHANGEABLE)}"
        )
    return CHANGEABLE[name]


def _value(name: str, given: list[str] | None) -> TraceLevel | int | None:
    if not given:
        return None
    if name == "trace_level":
        return _level(given)
    if len(given) != 1:
        raise InvalidArgumentError(f"expect only 1 value for '{name}'")
    (text,) = given
    lowest, highest = _RANGES[name]
    if not _NUMBER.fullmatch(text):
        raise InvalidArgumentError(f"Unable to parse '{name}', got: {short(text)}")
    number = int(text)
    if name == "trace_count" and number < lowest:
        raise InvalidArgumentError(f"Unable to parse 'trace_count'. Expecting value >= -1, got: {text}")
    if not lowest <= number <= highest:
        raise InvalidArgumentError(
            f"Unable to parse '{name}', value is out of range [ {lowest}, {highest} ], got: {text}"
        )
    return number


def _level(given: list[str]) -> TraceLevel:
    together = TraceLevel.OFF
    for text in given:
        if text not in _LEVELS:
            raise InvalidArgumentError(f"there is no trace level '{short(text)}', expected one of {', '.join(_LEVELS)}")
        together |= _LEVELS[text]
    if together and "OFF" in given:
        raise InvalidArgumentError("Expect only one trace level 'OFF' is specified")
    return together


def settings_of(engine: Engine, model: str) -> dict[str, list[str]]:
    """All fields that the mode has, by the protocol's names."""
    options, settings = engine.tracer.options, engine.tracer.settings(model)
    fields = {"trace_rate": str(settings.rate), "trace_count": str(settings.count)}
    if options.mode == "triton":
        fields |= {"log_frequency": str(settings.log_frequency), "trace_file": options.file}
    fields["trace_mode"] = options.mode
    if options.mode == "opentelemetry":
        fields |= {
            "url": options.url,
            "resource": ",".join(f"{name}={value}" for name, value in options.resource.items()),
            "bsp_max_queue_size": str(options.bsp_max_queue_size),
            "bsp_schedule_delay": str(options.bsp_schedule_delay),
            "bsp_max_export_batch_size": str(options.bsp_max_export_batch_size),
        }
    levels = [name for name, level in _LEVELS.items() if level & settings.level]
    return {"trace_level": levels or ["OFF"], **{name: [value] for name, value in fields.items()}}
