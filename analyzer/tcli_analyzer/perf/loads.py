"""Which loads are measured, one after the other: a range, or a search for the most that keeps a latency limit."""

import math
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass

from tcli_analyzer.arrivals import Distribution
from tcli_analyzer.load import ClosedLoad, Load, OpenLoad


class RangeError(ValueError):
    """The text is no range; the message says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Range:
    """`start:end:step` as perf_analyzer has it.

    Attributes:
        end: 0 for none: until the latency limit.
    """

    start: float
    end: float
    step: float

    @property
    def is_one(self) -> bool:
        """Whether only one load is asked for."""
        return self.start == self.end

    @classmethod
    def parse(cls, text: str, whole: bool) -> "Range":
        """Understand `start`, `start:end` and `start:end:step`; the step is 1 where it is not said.

        Args:
            whole: only whole numbers.

        Raises:
            RangeError: it is none of that.
        """
        parts = text.split(":")
        if not 1 <= len(parts) <= 3:
            raise RangeError(f"'{text}': expected START, START:END or START:END:STEP")
        values = [_number(part, text, whole) for part in parts]
        start = values[0]
        end = values[1] if len(values) > 1 else start
        step = values[2] if len(values) > 2 else 1.0
        if start <= 0:
            raise RangeError(f"'{text}': START must be above 0")
        if step <= 0:
            raise RangeError(f"'{text}': STEP must be above 0")
        if end < 0 or 0 < end < start:
            raise RangeError(f"'{text}': END must be at least START, or 0 for no end but the latency limit")
        return cls(start, end, step)


def _number(part: str, text: str, whole: bool) -> float:
    try:
        value = float(int(part)) if whole else float(part)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise RangeError(f"'{text}': '{part}' is not a {'whole ' if whole else ''}number")
    return value


Search = Generator[float, bool, None]
"""Gives values to measure; is sent whether the last one kept the limits."""


def linear(asked: Range) -> Search:
    """From the start in steps, to the end or the first that does not keep the limits."""
    number = 0
    while not asked.end or asked.start + number * asked.step <= asked.end * (1 + 1e-9):
        if not (yield asked.start + number * asked.step):
            return
        number += 1


def binary(asked: Range) -> Search:
    """The start, the end, then halves until they are no more than a step apart."""
    if not (yield asked.start) or asked.is_one or (yield asked.end):
        return
    good, bad = asked.start, asked.end
    while bad - good > asked.step:
        middle = good + max(1, round((bad - good) / 2 / asked.step)) * asked.step
        if middle >= bad:
            return
        if (yield middle):
            good = middle
        else:
            bad = middle


def closed(value: float) -> Load:
    """So many outstanding requests."""
    return ClosedLoad(round(value))


def opened(distribution: Distribution, seed: int = 0) -> Callable[[float], Load]:
    """So many requests a second."""
    return lambda rate: OpenLoad(rate, distribution, seed)


def read_intervals(lines: Iterator[str]) -> tuple[float, ...]:
    """The gaps between requests in seconds, from a file with one number of microseconds in each line.

    Raises:
        RangeError: a line is no such number, or there is none.
    """
    gaps = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            gap = float(line) / 1e6
        except ValueError:
            gap = math.nan
        if not gap >= 0 or math.isinf(gap):
            raise RangeError(f"line {number}: expected microseconds, found '{line.strip()[:40]}'")
        gaps.append(gap)
    if not sum(gaps) > 0:
        raise RangeError("expected a number of microseconds above 0 in each line, found none")
    return tuple(gaps)
