"""`--trace-config` and its deprecated forerunners, as tritonserver reads them."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from triton_cli.console import fail, warn

if TYPE_CHECKING:
    from tcli_server.tracing.options import TraceLevel, TraceOptions

_FORM = "--trace-config is [triton|opentelemetry,]SETTING=VALUE"
_SETTINGS = {
    "": ("mode", "level", "rate", "count"),
    "triton": ("file", "log-frequency"),
    "opentelemetry": (
        "url",
        "resource",
        "bsp_max_queue_size",
        "bsp_schedule_delay",
        "bsp_max_export_batch_size",
    ),
}
_LEVELS = {"off": "OFF", "false": "OFF", "tensors": "TENSORS"} | dict.fromkeys(
    ("timestamps", "true", "on", "min", "max"), "TIMESTAMPS"
)
_BSP = ("bsp_max_queue_size", "bsp_schedule_delay", "bsp_max_export_batch_size")


@dataclass(frozen=True, slots=True)
class Deprecated:
    """The options before `--trace-config`; None where they are not given."""

    file: str | None = None
    level: Sequence[str] = ()
    rate: int | None = None
    count: int | None = None
    log_frequency: int | None = None


def trace_options(given: Sequence[str], before: Deprecated) -> "TraceOptions":
    """What the options say, or an end with an error."""
    from tcli_server.errors import InvalidArgumentError
    from tcli_server.tracing.options import MAX_INT32, MAX_UINT32, TraceOptions, TraceSettings

    scopes = _read(given)
    of_all, of_file, of_spans = (scopes[scope] for scope in _SETTINGS)
    mode = _mode(of_all.get("mode", ["triton"])[-1])
    _take_over(before, of_all, of_file, mode)
    settings = TraceSettings(
        level=_level(of_all.get("level", [])),
        rate=_number(of_all, "rate", 0, MAX_UINT32, 1000),
        count=_number(of_all, "count", -1, MAX_INT32, -1),
        log_frequency=_number(of_file, "log-frequency", 0, MAX_UINT32, 0),
    )
    queue, delay, batch = (
        _number(of_spans, name, 1, MAX_UINT32, _from_environment(name, default))
        for name, default in zip(_BSP, (2048, 5000, 512), strict=True)
    )
    options = TraceOptions(
        mode=mode,
        settings=settings,
        file=of_file.get("file", [""])[-1],
        url=of_spans.get("url", [""])[-1],
        resource=dict(_pair(text) for text in of_spans.get("resource", [])),
        bsp_max_queue_size=queue,
        bsp_schedule_delay=delay,
        bsp_max_export_batch_size=batch,
    )
    try:
        options.check()
    except InvalidArgumentError as error:
        fail(str(error))
    return options


def _read(given: Sequence[str]) -> dict[str, dict[str, list[str]]]:
    """Scope -> setting -> its values in their order."""
    scopes: dict[str, dict[str, list[str]]] = {scope: {} for scope in _SETTINGS}
    for text in given:
        name, equals, value = text.partition("=")
        scope, comma, name = name.rpartition(",")
        scope = _mode(scope) if comma else ""
        if not (equals and name and value):
            fail(f"--trace-config {text}: no SETTING=VALUE", _FORM)
        if name not in _SETTINGS[scope]:
            where = f"{scope}," if scope else ""
            fail(f"--trace-config {where}{name}: no such setting", f"one of {', '.join(_SETTINGS[scope])}")
        scopes[scope].setdefault(name, []).append(value)
    return scopes


def _take_over(before: Deprecated, of_all: dict[str, list[str]], of_file: dict[str, list[str]], mode: str) -> None:
    """What the deprecated options say, where `--trace-config` says nothing."""
    deprecated: tuple[tuple[str, Sequence[object], dict[str, list[str]], str, str], ...] = (
        ("--trace-file", [before.file], of_file, "file", "triton,file"),
        ("--trace-level", before.level, of_all, "level", "level"),
        ("--trace-rate", [before.rate], of_all, "rate", "rate"),
        ("--trace-count", [before.count], of_all, "count", "count"),
        ("--trace-log-frequency", [before.log_frequency], of_file, "log-frequency", "triton,log-frequency"),
    )
    for option, values, settings, name, instead in deprecated:
        if not values or values[0] is None:
            continue
        warn(f"{option} is deprecated; fix: write --trace-config {instead}={values[0]}")
        if mode == "opentelemetry" and settings is of_file:
            warn(f"{option} has no effect with mode=opentelemetry")
        elif name in settings and name != "level":
            warn(f"{option} has no effect beside --trace-config {instead}")
        else:
            settings[name] = [*(str(value) for value in values), *settings.get(name, [])]


def _mode(text: str) -> Any:
    mode = text.lower()
    if mode not in ("triton", "opentelemetry"):
        fail(f"--trace-config: trace mode '{text}' is unknown", "triton or opentelemetry")
    return mode


def _level(given: Sequence[str]) -> "TraceLevel":
    """All of them together; OFF wins, wherever it stands."""
    from tcli_server.tracing.options import TraceLevel

    names = set()
    for text in given:
        if text.lower() not in _LEVELS:
            fail(f"--trace-config level={text}: no such level", "level=OFF, level=TIMESTAMPS or level=TENSORS")
        names.add(_LEVELS[text.lower()])
    together = TraceLevel.OFF
    for name in names:
        together |= TraceLevel[name]
    return TraceLevel.OFF if "OFF" in names else together


def _number(settings: Mapping[str, Sequence[str]], name: str, lowest: int, highest: int, default: int) -> int:
    if name not in settings:
        return default
    return _whole(f"--trace-config {name}", settings[name][-1], lowest, highest)


def _from_environment(name: str, default: int) -> int:
    variable = f"OTEL_{name.upper()}"
    text = os.environ.get(variable)
    return default if not text else _whole(variable, text, 1, 2**32 - 1)


def _whole(what: str, text: str, lowest: int, highest: int) -> int:
    try:
        number = int(text)
    except ValueError:
        fail(f"{what}={text}: no whole number", f"{lowest} to {highest}")
    if not lowest <= number <= highest:
        fail(f"{what}={text} is out of range", f"{lowest} to {highest}")
    return number


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (equals and name):
        fail(f"--trace-config opentelemetry,resource={text}: no NAME=VALUE")
    return name, value
