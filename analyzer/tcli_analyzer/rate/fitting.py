"""Finds the highest rate that keeps a percentile under a limit, from counts of requests over it.

A count needs no percentile and adds up over probes: the logit of the share that is over the limit is about linear in the logarithm
of the rate. A line through the probes near the limit, its slope held near what was expected, crosses the allowed share at the
answer. Probes alternate just above and just below it, never at the same rate again.
"""

import math
from dataclasses import dataclass, field

import numpy as np

LEAST_PROBES = 4
STEP = 1.03
PRECISION = 0.05
"""Half the width of the 95 % interval, relative, at which the search ends."""

_LARGEST_SHARE = 0.12
_SLOPE_DEVIATION = 0.25
"""Of the slope from what is expected, relative."""

_USUAL_EFFECT = 10.0
_ROUNDS = 50


@dataclass(frozen=True, slots=True)
class Probe:
    """Requests sent at one rate.

    Attributes:
        rate: requests per second, as scheduled.
        requests: how many were sent.
        over: how many took longer than the limit, or failed.
        design_effect: how many of them are worth one independent request, see `evidence.percentiles.design_effect`.
        overloaded: the backlog grew without end.
    """

    rate: float
    requests: int
    over: int
    design_effect: float = _USUAL_EFFECT
    overloaded: bool = False


@dataclass(frozen=True, slots=True)
class RateEstimate:
    """Requests per second.

    Attributes:
        rate: the best guess.
        relative_error: one standard error, relative.
        safe: a rate that keeps the limit with about 95 %.
    """

    rate: float
    relative_error: float

    @property
    def safe(self) -> float:
        return self.rate * (1 - 1.645 * self.relative_error)

    @property
    def is_precise(self) -> bool:
        return 1.96 * self.relative_error < PRECISION


@dataclass
class RateSearch:
    """Says which rate to probe next, and what is known so far.

    Args:
        start: requests per second to begin with, best a prediction.
        share: the part of requests that must keep the limit, 0.99 for p99.
        slope: how fast the logit of the share over the limit grows with the logarithm of the rate, as a simulation has it: a wrong one
            pulls the answer towards where the search began.
    """

    start: float
    share: float
    slope: float
    probes: list[Probe] = field(default_factory=list)

    def add(self, probe: Probe) -> None:
        self.probes.append(probe)

    def next_rate(self) -> float:
        """Requests per second of the next probe."""
        if not self.probes:
            return self.start
        estimate = self.estimate()
        if estimate is None:
            return self._bracketed()
        middle = estimate.rate
        return middle / STEP if self._above_last(middle) else middle * STEP

    @property
    def is_done(self) -> bool:
        """Whether enough is known."""
        estimate = self.estimate()
        return len(self.probes) >= LEAST_PROBES and estimate is not None and estimate.is_precise

    def estimate(self) -> RateEstimate | None:
        """From the probes that tell something; None while there are none."""
        telling = self._telling()
        if not telling:
            return None
        allowed = 1 - self.share
        intercept, slope, weight = _fit(telling, allowed, self.slope)
        target = math.log(allowed / self.share)
        rate = math.exp((target - intercept) / slope)
        return RateEstimate(rate, 1 / (slope * math.sqrt(weight)))

    def _telling(self) -> list[Probe]:
        """Probes on the part of the curve that is a line; none while all of them kept the limit, or none nearly did."""
        usable = [p for p in self.probes if not p.overloaded and p.over <= _LARGEST_SHARE * p.requests]
        return usable if any(probe.over for probe in usable) else []

    def _bracketed(self) -> float:
        """Where no probe is near the limit yet: between what was too slow and what was too fast."""
        allowed = 1 - self.share
        kept = [p.rate for p in self.probes if not p.overloaded and p.over <= allowed * p.requests]
        broken = [p.rate for p in self.probes if p.overloaded or p.over > allowed * p.requests]
        if not broken:
            return max(kept) * 1.5
        if not kept:
            return min(broken) / 1.5
        return math.sqrt(max(kept) * min(broken))

    def _above_last(self, rate: float) -> bool:
        return self.probes[-1].rate >= rate


def _fit(probes: list[Probe], allowed: float, expected_slope: float) -> tuple[float, float, float]:
    """Logistic regression with a prior on the slope; gives intercept, slope, and the weight of all probes at the limit.

    Counts are divided by their design effect, as if so many fewer independent requests had been sent.
    """
    logs = np.log([probe.rate for probe in probes])
    middle = float(logs.mean())
    x = logs - middle
    effects = np.array([probe.design_effect for probe in probes])
    trials = np.array([probe.requests for probe in probes]) / effects
    over = np.array([probe.over for probe in probes]) / effects
    intercept, slope = math.log(allowed / (1 - allowed)), expected_slope
    precision = 1 / (_SLOPE_DEVIATION * expected_slope) ** 2
    for _ in range(_ROUNDS):
        share = 1 / (1 + np.exp(-(intercept + slope * x)))
        weights = trials * share * (1 - share)
        gradient = np.array([(over - trials * share).sum(), ((over - trials * share) * x).sum()])
        gradient[1] -= precision * (slope - expected_slope)
        curvature = np.array(
            [[weights.sum(), (weights * x).sum()], [(weights * x).sum(), (weights * x * x).sum() + precision]]
        )
        curvature[0, 0] += 1e-9
        change = np.linalg.solve(curvature, gradient)
        change = np.clip(change, -2, 2)
        intercept, slope = intercept + float(change[0]), max(expected_slope / 4, slope + float(change[1]))
        if abs(change).max() < 1e-6:
            break
    weight = float((trials * allowed * (1 - allowed)).sum())
    return intercept - slope * middle, slope, weight
