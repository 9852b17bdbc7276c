"""What latencies have to be: "p99<=50ms", or several such conditions with commas between."""

import math
import re
from dataclasses import dataclass

import numpy as np

SMALLEST_PERCENTILE = 50.0
LARGEST_PERCENTILE = 99.9

_LARGEST_MS = 1e9
"""Eleven days: what nobody means, and single precision still has."""

_UNITS_MS = {"us": 1e-3, "µs": 1e-3, "ms": 1.0, "s": 1e3}
_FORM = "like p99<=50ms: p50 to p99.9, or avg; <= or <; a number; us, ms or s"


class SloError(ValueError):
    """The text is no objective; the message shows where, and what was expected."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One limit.

    Attributes:
        share: of the requests that must keep it: 0.99 for p99; None for the average.
        limit_ms: above 0.
        strict: a latency of exactly `limit_ms` breaks it.
    """

    share: float | None
    limit_ms: float
    strict: bool = False

    @property
    def name(self) -> str:
        """Of the figure: "p99", or "avg"."""
        return "avg" if self.share is None else f"p{100 * self.share:g}"

    @property
    def text(self) -> str:
        """For people: "p99 <= 50 ms"."""
        return f"{self.name} {'<' if self.strict else '<='} {self.limit_ms:g} ms"

    def over(self, latencies_ms: np.ndarray) -> np.ndarray:
        """Which latencies are too long; bool, of the same shape.

        In single precision, as windows are kept: an analysis that is resumed must come to the same counts.
        """
        taken, limit = latencies_ms.astype(np.float32), np.float32(self.limit_ms)
        return np.asarray(taken >= limit if self.strict else taken > limit)

    def value_ms(self, latencies_ms: np.ndarray) -> float:
        """The figure itself; nan without latencies."""
        if not latencies_ms.size:
            return math.nan
        return float(latencies_ms.mean() if self.share is None else np.percentile(latencies_ms, 100 * self.share))

    def keeps(self, latencies_ms: np.ndarray) -> bool:
        """Whether these latencies, taken as all there are, keep it; False without any."""
        if not latencies_ms.size:
            return False
        if self.share is None:
            mean = self.value_ms(latencies_ms)
            return mean < self.limit_ms if self.strict else mean <= self.limit_ms
        return int(self.over(latencies_ms).sum()) <= (1 - self.share) * latencies_ms.size + 1e-9


@dataclass(frozen=True, slots=True)
class Slo:
    """A service level objective: all conditions are kept.

    Attributes:
        conditions: at least one; of each figure at most one.
    """

    conditions: tuple[Condition, ...]

    @property
    def text(self) -> str:
        """For people: "p99 <= 50 ms and avg <= 20 ms"."""
        return " and ".join(condition.text for condition in self.conditions)

    def keeps(self, latencies_ms: np.ndarray) -> bool:
        """As `Condition.keeps`, of all of them."""
        return all(condition.keeps(latencies_ms) for condition in self.conditions)


def parse_slo(text: str) -> Slo:
    """Read conditions such as "p99<=50ms" or "p99<=50ms,avg<20ms"; blanks do not matter.

    Raises:
        SloError: with the text, a caret below the place, and what was expected there.
    """
    conditions: list[Condition] = []
    begin = 0
    for part in text.split(","):
        condition = _condition(text, begin, part)
        if any(condition.share == other.share for other in conditions):
            raise _error(
                text, begin + _blanks(part), f"{condition.name} has a limit already", "one limit for each figure"
            )
        conditions.append(condition)
        begin += len(part) + 1
    return Slo(tuple(conditions))


def _condition(text: str, begin: int, part: str) -> Condition:
    """Read one, which begins at `begin` of the whole text."""
    at = _blanks(part)
    if at == len(part):
        raise _error(text, begin + at, "nothing here", f"a condition {_FORM}")
    figure = re.compile(r"(avg|p(\d+(?:\.\d+)?))(?![\w.])").match(part, at)
    if figure is None:
        raise _error(text, begin + at, f"no figure {_word(part, at)}", "p50 to p99.9, such as p99, or avg")
    percentile = float(figure[2]) if figure[2] else None
    if percentile is not None and not SMALLEST_PERCENTILE <= percentile <= LARGEST_PERCENTILE:
        expected = f"p{SMALLEST_PERCENTILE:g} to p{LARGEST_PERCENTILE:g}, or avg"
        raise _error(text, begin + at, f"{figure[1]} is out of range", expected)
    at = figure.end() + _blanks(part, figure.end())
    comparison = re.compile(r"<=|<|≤").match(part, at)
    if comparison is None:
        raise _error(text, begin + at, f"no comparison {_word(part, at)}", "<= or <")
    at = comparison.end() + _blanks(part, comparison.end())
    number = re.compile(r"\d+(?:\.\d*)?(?:[eE][+-]?\d+)?|\.\d+").match(part, at)
    if number is None or not float(number[0]) > 0:
        raise _error(text, begin + at, f"no limit {_word(part, at)}", "a number above 0 and its unit, such as 50ms")
    at = number.end() + _blanks(part, number.end())
    unit = part[at:].rstrip()
    if unit not in _UNITS_MS:
        found = f"no unit '{unit}'" if unit else "the unit is missing"
        raise _error(text, begin + at, found, f"us, ms or s, such as {number[0]}ms")
    limit_ms = float(number[0]) * _UNITS_MS[unit]
    if limit_ms > _LARGEST_MS:
        raise _error(text, begin + number.start(), f"{number[0]}{unit} is out of range", f"at most {_LARGEST_MS:g} ms")
    share = None if percentile is None else round(percentile / 100, 9)
    return Condition(share, limit_ms, strict=comparison[0] == "<")


def _blanks(part: str, start: int = 0) -> int:
    return len(part[start:]) - len(part[start:].lstrip())


def _word(part: str, at: int) -> str:
    word = re.split(r"[\s<>=]", part[at:].strip() or " ", maxsplit=1)[0] or part[at:].strip()[:2]
    return f"'{word}'" if word else "(the text ends)"


def _error(text: str, at: int, found: str, expected: str) -> SloError:
    return SloError(f"not a latency objective: {found}; expected {expected}\n  {text}\n  {' ' * at}^")
