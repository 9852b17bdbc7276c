"""Which rate to probe next, whatever the limit is on: near the answer once a line through the probes says where it is, else halfway."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import numpy as np

LEAST_PROBES = 4
STEP = 1.03
PRECISION = 0.08
"""Half the width of the 95 % interval, relative, at which the search ends."""

CLIFF = 1.02
"""Between the highest rate that was kept and the lowest that was far off, where the line does not fit."""

_FAR = 1.2
_FAR_STEPS = 3
"""So far from the only rates that were tried, and further the more there are: a prediction is seldom far off."""
_NEAR = 1.25
_LEAST_NEAR = 3
"""Where there are so many probes near the answer, those further away are left out: they are not on the same line any more."""


class AnyProbe(Protocol):
    """One rate that was tried; `rate` in requests per second."""

    @property
    def rate(self) -> float: ...


ProbeType = TypeVar("ProbeType", bound=AnyProbe)


@dataclass(frozen=True, slots=True)
class RateEstimate:
    """Requests per second.

    Attributes:
        rate: the best guess.
        relative_error: one standard error, relative.
    """

    rate: float
    relative_error: float

    @property
    def safe(self) -> float:
        """A rate that keeps the limit with about 95 %."""
        return self.rate * math.exp(-min(1.0, 1.645 * self.relative_error))

    @property
    def interval(self) -> tuple[float, float]:
        """About 95 %: searches that end when they seem precise are a little too sure."""
        factor = math.exp(min(2.0, 1.96 * self.relative_error))
        return self.rate / factor, self.rate * factor


class Stepping(ABC, Generic[ProbeType]):
    """A search for the highest rate that keeps one limit.

    Args:
        start: requests per second to begin with.

    Attributes:
        probes: in the order in which they were made.
        precision: half the width of the 95 % interval, relative, that is enough.
    """

    def __init__(self, start: float, precision: float = PRECISION) -> None:
        self._start = start
        self.precision = precision
        self.probes: list[ProbeType] = []

    @abstractmethod
    def _keeps(self, probe: ProbeType) -> bool:
        """Whether the limit was kept at it."""

    @abstractmethod
    def _tells(self, probe: ProbeType) -> bool:
        """Whether it lies where the curve is a line."""

    @abstractmethod
    def _says_where(self, telling: list[ProbeType]) -> bool:
        """Whether these suffice for a line."""

    @abstractmethod
    def _fit(self, telling: list[ProbeType]) -> RateEstimate:
        """Where the line crosses the limit."""

    def add(self, probe: ProbeType) -> None:
        self.probes.append(probe)

    def drop(self, rate: float) -> None:
        """Forget what was seen at this rate: it was not seen again."""
        self.probes = [probe for probe in self.probes if probe.rate != rate]

    def estimate(self) -> RateEstimate | None:
        """From the probes that tell something; None while there are none."""
        telling = [probe for probe in self.probes if self._tells(probe)]
        if not self._says_where(telling):
            return None
        first = self._fit(telling)
        near = [probe for probe in telling if first.rate / _NEAR <= probe.rate <= first.rate * _NEAR]
        return self._fit(near) if len(near) >= _LEAST_NEAR and self._says_where(near) else first

    @property
    def bracket(self) -> tuple[float | None, float | None]:
        """The highest rate that was not far off, below the lowest one that was; None where there is none."""
        broken = [probe.rate for probe in self.probes if not self._tells(probe) and not self._keeps(probe)]
        high = min(broken, default=None)
        fine = [probe.rate for probe in self.probes if self._tells(probe) or self._keeps(probe)]
        return max((rate for rate in fine if high is None or rate < high), default=None), high

    def next_rate(self) -> float:
        """Requests per second of the next probe."""
        if not self.probes:
            return self._start
        estimate = self.estimate()
        if estimate is None:
            return self._between()
        middle = estimate.rate
        rate = middle / STEP if self.probes[-1].rate >= middle else middle * STEP
        low, high = self.bracket
        if high is not None and rate >= high:
            return self._between()
        return min(rate, self._far * low) if low is not None else rate

    @property
    def guess(self) -> float:
        """Where the answer may be, in requests per second."""
        estimate = self.estimate()
        if estimate is None:
            return self._between() if self.probes else self._start
        high = self.bracket[1]
        return estimate.rate if high is None else min(high, estimate.rate)

    @property
    def is_cliff(self) -> bool:
        """Whether the limit is lost all at once, so that no line leads there: the bracket is the answer."""
        low, high = self.bracket
        if low is None or high is None or high > CLIFF * low:
            return False
        estimate = self.estimate()
        return estimate is None or estimate.rate >= high

    @property
    def is_done(self) -> bool:
        """Whether enough is known."""
        estimate = self.estimate()
        if estimate is None or len(self.probes) < LEAST_PROBES:
            return False
        return 1.96 * estimate.relative_error < self.precision and not self._is_contradicted(estimate)

    def _is_contradicted(self, estimate: RateEstimate) -> bool:
        high = self.bracket[1]
        return high is not None and estimate.rate >= high

    def _between(self) -> float:
        """Where no probe is near the limit yet: between what was too slow and what was too fast."""
        low, high = self.bracket
        if high is None:
            assert low is not None
            return low * self._far
        return math.sqrt(low * high) if low is not None else high / self._far

    @property
    def _far(self) -> float:
        return float(_FAR ** min(_FAR_STEPS, len(self.probes)))


def crossing(intercept: float, slope: float, covariance: np.ndarray, target: float, middle: float) -> RateEstimate:
    """Where a line over the logarithm of the rate reaches a target, and how sure that is.

    Args:
        intercept: at `middle`, a logarithm of requests per second.
        slope: above 0.
        covariance: of intercept and slope, float64 [2, 2].
    """
    at = (target - intercept) / slope
    row = np.array([1.0, at])
    return RateEstimate(math.exp(middle + at), math.sqrt(float(row @ covariance @ row)) / float(slope))
