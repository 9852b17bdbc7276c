"""Reads when requests came, from what others wrote down: perf_analyzer's gaps, traces with a `timestamp`, lists of times, access logs."""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from enum import StrEnum
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from tcli_analyzer.load import OpenLoad

MOST_REQUESTS = 5_000_000


class ArrivalFormat(StrEnum):
    """How a file says when requests came."""

    GAPS = "gaps"
    """perf_analyzer's `--request-intervals`: a line for each request, microseconds since the one before."""
    TIMES = "times"
    """A line for each request, or a JSON list: seconds from any beginning."""
    TIMESTAMPS = "timestamps"
    """JSON objects with a `timestamp` in milliseconds: one a line (Mooncake's traces), or in perf_analyzer's `{"data": [...]}`."""
    LOG = "log"
    """An access log: each line has a time, as of Apache, nginx, or ISO 8601."""


class ArrivalsError(ValueError):
    """The file cannot be used; the message has its name, the line, what was found and what was expected."""


@dataclass(frozen=True)
class Recording:
    """Requests as they came.

    Attributes:
        moments: seconds since the first; float64 [n], n at least 2, rising, not all the same.
        format: that the file was read as.
        source: its name.
        first_gap: seconds before the first request, where the recording says so.
    """

    moments: np.ndarray
    format: ArrivalFormat
    source: str
    first_gap: float | None = None

    @property
    def gaps_seconds(self) -> tuple[float, ...]:
        """Before each request. If the recording does not say what was before the first, that is the average of the others: it must be
        something where the recording begins again after its end."""
        gaps = np.diff(self.moments)
        return (self.first_gap if self.first_gap is not None else float(gaps.mean()), *gaps.tolist())

    @property
    def rate(self) -> float:
        """Requests per second, on average."""
        gaps = self.gaps_seconds
        return len(gaps) / sum(gaps)

    def window(self, begin: float = 0.0, end: float | None = None) -> "Recording":
        """Only what came from `begin` until before `end`, in seconds since the first request.

        Raises:
            ArrivalsError: fewer than two requests came then.
        """
        last = float(self.moments[-1])
        inside = self.moments[(self.moments >= begin) & (self.moments < (end if end is not None else np.inf))]
        if len(inside) < 2 or inside[0] == inside[-1]:
            shown = f"{begin:g} to {end:g} s" if end is not None else f"{begin:g} s to its end"
            raise ArrivalsError(
                f"{self.source}: from {shown} it has {len(inside)} requests; it has times from 0 to {last:g} s"
            )
        return Recording(inside - inside[0], self.format, self.source)

    def load(self, speed: float = 1.0, loop: bool = True) -> OpenLoad:
        """These arrivals as a load.

        Args:
            speed: 2 = twice as fast; above 0.
            loop: begin again after the end; else the load ends there.
        """
        return OpenLoad(self.rate * speed, gaps_seconds=self.gaps_seconds, loop=loop)


def read_arrivals(path: Path, format: ArrivalFormat | None = None) -> Recording:  # noqa: A002 - as the option is called
    """Read a file.

    Args:
        format: of the file; None to tell from what it holds. Bare numbers that only rise are times, others are gaps.

    Raises:
        ArrivalsError: it cannot be read, or does not say when requests came.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not a text file"
        raise ArrivalsError(f"{path}: cannot be read: {reason}") from None
    kind = format or _guess(path, text)
    moments = np.array(_READERS[kind](path, text), np.float64)
    first_gap = float(moments[0]) if kind is ArrivalFormat.GAPS and moments.size else None
    if len(moments) > MOST_REQUESTS:
        raise ArrivalsError(
            f"{path}: {len(moments):,} requests are more than the {MOST_REQUESTS:,} that can be replayed"
        )
    if len(moments) < 2:
        raise ArrivalsError(f"{path}: {len(moments)} requests; expected at least 2, as {_EXPECTED[kind]}")
    moments = np.sort(moments) - moments.min()
    if kind is ArrivalFormat.LOG:
        moments = _spread(moments)
    if not moments[-1] > 0:
        raise ArrivalsError(f"{path}: all {len(moments)} requests came at the same moment; expected {_EXPECTED[kind]}")
    return Recording(moments, kind, str(path), first_gap)


_EXPECTED = {
    ArrivalFormat.GAPS: "a line for each request with the microseconds since the one before",
    ArrivalFormat.TIMES: "a line for each request with its time in seconds, or a JSON list of them",
    ArrivalFormat.TIMESTAMPS: "JSON objects with a 'timestamp' in milliseconds",
    ArrivalFormat.LOG: "an access log with a time in each line, such as [10/Oct/2026:13:55:36 +0000] or 2026-10-10T13:55:36Z",
}

_TIMES_OF_LOGS = (
    re.compile(r"\[(\d{2}/[A-Z][a-z]{2}/\d{4}:\d{2}:\d{2}:\d{2}(?:\.\d+)?)(?: ([+-]\d{4}))?\]"),
    re.compile(r"(\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}:\d{2}(?:[.,]\d+)?(?:Z|[+-]\d{2}:?\d{2})?)"),
)


def _guess(path: Path, text: str) -> ArrivalFormat:
    first = next((line.strip() for _, line in _lines(text)), "")
    if not first:
        raise ArrivalsError(f"{path}: it is empty; expected {'; '.join(_EXPECTED.values())}")
    if first.startswith("{"):
        return ArrivalFormat.TIMESTAMPS
    if first.startswith("["):
        if any(pattern.match(first) for pattern in _TIMES_OF_LOGS):
            return ArrivalFormat.LOG
        return ArrivalFormat.TIMESTAMPS if first[1:].lstrip().startswith("{") else ArrivalFormat.TIMES
    if any(pattern.search(first) for pattern in _TIMES_OF_LOGS):
        return ArrivalFormat.LOG
    try:
        numbers = [float(line) for _, line in _lines(text)]
    except ValueError:
        return ArrivalFormat.GAPS  # whose reader says which line is no number
    rises = all(a <= b for a, b in pairwise(numbers))
    return ArrivalFormat.TIMES if rises and numbers[0] < numbers[-1] else ArrivalFormat.GAPS


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Each line that is neither blank nor a comment, and its number from 1."""
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip() and not line.lstrip().startswith("#"):
            yield number, line


def _numbers(path: Path, text: str, kind: ArrivalFormat) -> list[float]:
    values = []
    for number, line in _lines(text):
        try:
            value = float(line)
        except ValueError:
            value = -1.0
        if not 0 <= value < np.inf:
            raise ArrivalsError(
                f"{path}:{number}: found '{_short(line)}'; expected a number from 0, in {_EXPECTED[kind]}"
            )
        values.append(value)
    return values


def _gaps(path: Path, text: str) -> Sequence[float]:
    gaps = _numbers(path, text, ArrivalFormat.GAPS)
    if len(gaps) == 1:
        gaps *= 2  # the same gap again and again
    return [float(moment) for moment in np.cumsum(gaps) / 1e6]


def _times(path: Path, text: str) -> Sequence[float]:
    if not text.lstrip().startswith("["):
        return _numbers(path, text, ArrivalFormat.TIMES)
    values = _json(path, text, 0)
    for number, value in enumerate(values):
        if isinstance(value, bool) or not isinstance(value, int | float) or not np.isfinite(value):
            raise ArrivalsError(
                f"{path}: element {number} of the list is {_short(json.dumps(value))}; expected seconds"
            )
    return [float(value) for value in values]


def _timestamps(path: Path, text: str) -> Sequence[float]:
    try:
        whole = json.loads(text)
    except ValueError:
        whole = None
    if whole is None or (isinstance(whole, dict) and "data" not in whole):  # an object a line
        return [_timestamp(f"{path}:{number}", _json(path, line, number)) for number, line in _lines(text)]
    entries = whole["data"] if isinstance(whole, dict) else whole
    flat = [one for entry in entries for one in (entry if isinstance(entry, list) else [entry])]
    return [_timestamp(f"{path}: entry {number} of its data", entry) for number, entry in enumerate(flat)]


def _timestamp(place: str, entry: Any) -> float:
    value = entry.get("timestamp") if isinstance(entry, dict) else None
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, bool) or not isinstance(value, int | float) or not np.isfinite(value):
        found = (
            f"'timestamp' {json.dumps(value)}" if isinstance(entry, dict) and "timestamp" in entry else "no 'timestamp'"
        )
        raise ArrivalsError(f"{place}: {found}; expected a 'timestamp' in milliseconds")
    return value / 1e3


def _json(path: Path, text: str, line: int) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        at = line or getattr(error, "lineno", 1)
        raise ArrivalsError(f"{path}:{at}: not JSON ({error}): found '{_short(text)}'") from None


def _log(path: Path, text: str) -> Sequence[float]:
    moments = []
    for number, line in _lines(text):
        moment = _moment(line)
        if moment is None:
            raise ArrivalsError(
                f"{path}:{number}: no time in '{_short(line)}'; expected {_EXPECTED[ArrivalFormat.LOG]}"
            )
        moments.append(moment)
    return moments


def _moment(line: str) -> float | None:
    """Seconds since the epoch; without a zone, as if it were UTC: only differences count."""
    common, iso = (pattern.search(line) for pattern in _TIMES_OF_LOGS)
    try:
        if common is not None:
            form = "%d/%b/%Y:%H:%M:%S" + (".%f" if "." in common[1] else "") + " %z"
            return datetime.strptime(f"{common[1]} {common[2] or '+0000'}", form).timestamp()
        if iso is not None:
            found = datetime.fromisoformat(iso[1].replace(",", "."))
            return (found if found.tzinfo else found.replace(tzinfo=timezone(timedelta(0)))).timestamp()
    except ValueError:
        return None
    return None


def _spread(moments: np.ndarray) -> np.ndarray:
    """Logs tell whole seconds, mostly: requests of one second are spread evenly over it, in their order."""
    if (moments % 1).any():
        return moments
    seconds, counts = np.unique(moments, return_counts=True)
    spread = [second + np.arange(count) / count for second, count in zip(seconds, counts, strict=True)]
    return np.concatenate(spread) if spread else moments


def _short(text: str) -> str:
    stripped = text.strip()
    return stripped if len(stripped) <= 60 else f"{stripped[:60]}..."


_READERS: dict[ArrivalFormat, Callable[[Path, str], Sequence[float]]] = {
    ArrivalFormat.GAPS: _gaps,
    ArrivalFormat.TIMES: _times,
    ArrivalFormat.TIMESTAMPS: _timestamps,
    ArrivalFormat.LOG: _log,
}
