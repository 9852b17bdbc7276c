"""What `tcli perf` makes of its options before it asks a server for anything."""

import math
import re
from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from triton_cli.perf_options import OptionError

if TYPE_CHECKING:
    from tcli_analyzer.load import Load
    from tcli_analyzer.perf.loads import Range, Search
    from tcli_analyzer.perf.measurement import PerfOptions
    from tcli_analyzer.remote.wire import Parameter

_LAST_PERCENTILE = 99
_HEADER_NAME = {"http": re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"), "grpc": re.compile(r"[0-9A-Za-z_.-]+")}
_OWN_HEADERS = ("content-length", "transfer-encoding", "inference-header-content-length")
_LONGEST_SECONDS = 86_400.0
_MOST_CONCURRENT = 100_000
_MOST_RATE = 1e9
_INT64 = range(-(1 << 63), 1 << 63)


class MeasurementMode(StrEnum):
    """When a window ends."""

    TIME_WINDOWS = "time_windows"
    COUNT_WINDOWS = "count_windows"


class DistributionName(StrEnum):
    """How the gaps of a request rate vary."""

    CONSTANT = "constant"
    POISSON = "poisson"


class TensorFormat(StrEnum):
    """How tensors travel over HTTP."""

    BINARY = "binary"
    JSON = "json"


class Compression(StrEnum):
    """How requests are compressed over gRPC."""

    NONE = "none"
    GZIP = "gzip"
    DEFLATE = "deflate"


class Plan(NamedTuple):
    """Which loads are measured.

    Attributes:
        line: for people: what is searched, and how far.
        one: there is only one load.
        callers: the most outstanding requests that are asked for; 0 for a rate. Without an end it is the start.
    """

    search: "Search"
    load_of: "Callable[[float], Load]"
    line: str
    one: bool
    least: float
    callers: int = 0


def plan_of(
    concurrencies: str,
    rates: str,
    intervals: Path | None,
    distribution: DistributionName,
    binary: bool,
    latency_limit_ms: float,
) -> Plan:
    """Find out which loads are meant.

    Raises:
        OptionError: an option is wrong, or two of them contradict each other.
    """
    from tcli_analyzer.arrivals import Distribution
    from tcli_analyzer.load import OpenLoad
    from tcli_analyzer.perf import loads

    given = [
        name
        for name, value in (
            ("--concurrency-range", concurrencies),
            ("--request-rate-range", rates),
            ("--request-intervals", intervals),
        )
        if value
    ]
    if len(given) > 1:
        raise OptionError(f"{' and '.join(given)} exclude each other; give one of them")
    if intervals is not None:
        gaps = _gaps(intervals)
        if binary:
            raise OptionError("--binary-search needs a range of concurrencies or request rates")
        rate = len(gaps) / sum(gaps)
        recorded = OpenLoad(rate, gaps_seconds=gaps)
        return Plan(
            loads.linear(loads.Range(1, 1, 1)), lambda _: recorded, f"Intervals: {len(gaps):,} recorded", True, 1
        )
    name = "--request-rate-range" if rates else "--concurrency-range"
    asked = _range(name, rates or concurrencies or "1", whole=not rates)
    most = _MOST_RATE if rates else _MOST_CONCURRENT
    if max(asked.start, asked.end) > most:
        raise OptionError(f"{name}: expected at most {most:,.0f}, found {max(asked.start, asked.end):g}")
    if not asked.end and not latency_limit_ms:
        raise OptionError(f"{name}: END 0 goes on until the latency threshold; give one with --latency-threshold MS")
    if binary and not (latency_limit_ms and asked.end and not asked.is_one):
        raise OptionError(f"--binary-search needs {name} START:END and --latency-threshold MS")
    search = loads.binary(asked) if binary else loads.linear(asked)
    limit = f"{asked.end:g}" if asked.end else "none but the latency"
    if rates:
        return Plan(
            search,
            loads.opened(Distribution(distribution.value)),
            f"Request Rate limit: {limit} requests per second, {distribution.value} gaps",
            asked.is_one,
            asked.start,
        )
    return Plan(
        search,
        loads.closed,
        f"Concurrency limit: {limit} concurrent requests",
        asked.is_one,
        asked.start,
        round(max(asked.start, asked.end)),
    )


def options_of(
    plan: Plan,
    mode: MeasurementMode,
    interval_ms: float,
    window_requests: int,
    stability_percentage: float,
    max_trials: int,
    percentile: int,
    latency_limit_ms: float,
    warm_up_requests: int,
    requests: int,
    items: int,
) -> "PerfOptions":
    """By which rules each load is measured.

    Raises:
        OptionError: a value is not possible.
    """
    from tcli_analyzer.perf.measurement import PerfOptions

    if not 0 < interval_ms <= 1e3 * _LONGEST_SECONDS:
        raise OptionError(
            f"--measurement-interval: expected milliseconds above 0, a day at most, found {interval_ms:g}"
        )
    if not stability_percentage > 0:
        raise OptionError(f"--stability-percentage: expected a percentage above 0, found {stability_percentage:g}")
    if percentile != -1 and not 1 <= percentile <= _LAST_PERCENTILE:
        raise OptionError(f"--percentile: expected 1 to 99, or -1 for the average, found {percentile}")
    for name, count in (("--request-count", requests), ("--warmup-request-count", warm_up_requests)):
        if count and not plan.one:
            raise OptionError(f"{name} needs a single concurrency or request rate, not a range")
        if count and count < plan.least:
            raise OptionError(f"{name}: expected at least {plan.least:g}, the load, found {count}")
    return PerfOptions(
        interval_seconds=interval_ms / 1e3,
        window_requests=window_requests if mode is MeasurementMode.COUNT_WINDOWS else 0,
        stability=stability_percentage / 100,
        max_trials=max_trials,
        percentile=percentile if percentile > 0 else None,
        latency_limit_ms=latency_limit_ms,
        warm_up_requests=warm_up_requests,
        requests=requests,
        items=items,
    )


def shapes_of(texts: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """`NAME:d1,d2` each.

    Raises:
        OptionError: one is something else.
    """
    shapes = {}
    for text in texts:
        name, colon, dims = text.rpartition(":")
        try:
            shape = tuple(int(dim) for dim in dims.split(","))
        except ValueError:
            shape = ()
        if not (name and colon and shape and min(shape) > 0):
            raise OptionError(
                f"--shape: '{text}': expected NAME:d1,d2 with dimensions above 0, such as input:224,224,3"
            )
        shapes[name] = shape
    return shapes


def headers_of(texts: Sequence[str], protocol: str) -> dict[str, str]:
    """`Name:value` each.

    Args:
        protocol: "http" or "grpc", where fewer characters can be sent.

    Raises:
        OptionError: one is something else.
    """
    headers = {}
    for text in texts:
        name, colon, value = text.partition(":")
        name, value = name.strip(), value.strip()
        if not colon or not _HEADER_NAME[protocol].fullmatch(name) or not value.isprintable():
            raise OptionError(f"-H: '{text}': expected NAME:VALUE, such as Authorization:Bearer abc")
        if name.lower() in _OWN_HEADERS:
            raise OptionError(f"-H: '{name}' says how the request is sent, which is done here; leave it out")
        if protocol == "grpc" and name.lower().endswith("-bin"):
            raise OptionError(f"-H: '{name}': names that end with -bin are of binary metadata, which is not there")
        try:
            value.encode("latin-1" if protocol == "http" else "ascii")
        except UnicodeEncodeError as problem:
            character = value[problem.start]
            raise OptionError(f"-H: '{text}': '{character}' cannot be sent in a header over {protocol}") from None
        headers[name] = value
    return headers


def parameters_of(texts: Sequence[str]) -> "dict[str, Parameter]":
    """`name:value:type` each.

    Raises:
        OptionError: one is something else.
    """
    read: dict[str, Callable[[str], Parameter]] = {
        "int": _int64,
        "uint": _int64,
        "float": _finite,
        "double": _finite,
        "bool": lambda text: {"true": True, "false": False}[text.lower()],
        "string": str,
    }
    parameters: dict[str, Parameter] = {}
    for text in texts:
        name, _, rest = text.partition(":")
        value, _, kind = rest.rpartition(":")
        try:
            if not name:
                raise ValueError
            parameters[name] = read[kind](value)
        except (KeyError, ValueError):
            raise OptionError(
                f"--request-parameter: '{text}': expected NAME:VALUE:TYPE with a value of type bool, int, float or string"
            ) from None
    return parameters


def _int64(text: str) -> int:
    value = int(text)
    if value not in _INT64:
        raise ValueError
    return value


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError
    return value


def _range(name: str, text: str, whole: bool) -> "Range":
    from tcli_analyzer.perf.loads import Range, RangeError

    try:
        return Range.parse(text, whole)
    except RangeError as problem:
        raise OptionError(f"{name}: {problem}") from None


def _gaps(file: Path) -> tuple[float, ...]:
    from tcli_analyzer.perf.loads import RangeError, read_intervals

    try:
        with file.open(encoding="utf-8") as lines:
            return read_intervals(lines)
    except OSError as problem:
        raise OptionError(f"--request-intervals: {file}: {problem.strerror}") from None
    except (RangeError, UnicodeDecodeError) as problem:
        raise OptionError(f"--request-intervals: {file}: {problem}") from None
