"""Finds the highest rate that keeps a percentile under a limit, from counts of requests over it.

A count needs no percentile and adds up over probes: the logit of the share that is over the limit is about linear in the logarithm
of the rate. A line through the probes near the limit, its slope held near what was expected, crosses the allowed share at the
answer. Probes alternate just above and just below it, never at the same rate again.
"""

import math
from dataclasses import dataclass

import numpy as np

from tcli_analyzer.rate.stepping import PRECISION, RateEstimate, Stepping, crossing

USUAL_EFFECT = 10.0
"""Requests that are worth an independent one, in a queue that is half busy."""

_STEEPEST = 2.6
"""Above the allowed share, in logits, up to which the curve is a line: 12 % over a p99."""

_SLOPE_DEVIATION = 0.25
"""Of the slope from what is expected, relative."""

_EFFECT_WEIGHT = 10
"""Requests over the limit that what is expected of the design effect is worth."""

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
    design_effect: float = USUAL_EFFECT
    overloaded: bool = False


class RateSearch(Stepping[Probe]):
    """Says which rate to probe next, and what is known so far.

    Args:
        start: requests per second to begin with, best a prediction.
        share: the part of requests that must keep the limit, 0.99 for p99.
        slope: how fast the logit of the share over the limit grows with the logarithm of the rate, as a simulation has it: a wrong one
            pulls the answer towards where the search began.
        effect: the design effect that is expected: a single probe hardly shows it.
    """

    def __init__(
        self, start: float, share: float, slope: float, precision: float = PRECISION, effect: float = USUAL_EFFECT
    ) -> None:
        super().__init__(start, precision)
        self._allowed = 1 - share
        self._slope = slope
        self._expected_effect = effect

    @property
    def effect(self) -> float:
        """The design effect of all probes together."""
        seen = [probe for probe in self.probes if self._tells(probe)]
        over = sum(probe.over for probe in seen)
        weighted = sum(probe.over * probe.design_effect for probe in seen) + _EFFECT_WEIGHT * self._expected_effect
        return weighted / (over + _EFFECT_WEIGHT)

    def _keeps(self, probe: Probe) -> bool:
        return not probe.overloaded and probe.over <= self._allowed * probe.requests + 1e-9

    def _tells(self, probe: Probe) -> bool:
        most = float(_logistic(_logit(self._allowed) + _STEEPEST))
        return not probe.overloaded and probe.over <= most * probe.requests

    def _says_where(self, telling: list[Probe]) -> bool:
        return any(probe.over for probe in telling)

    def _fit(self, telling: list[Probe]) -> RateEstimate:
        """Logistic regression with a prior on the slope: counts are divided by the design effect, as if so many fewer requests had
        been sent."""
        logs = np.log([probe.rate for probe in telling])
        middle = float(logs.mean())
        x = logs - middle
        effect = self.effect
        trials = np.array([probe.requests for probe in telling]) / effect
        over = np.array([probe.over for probe in telling]) / effect
        line = np.array([_logit(self._allowed), self._slope])
        precision = 1 / (_SLOPE_DEVIATION * self._slope) ** 2
        rows = np.stack([np.ones_like(x), x])
        for _ in range(_ROUNDS):
            share = _logistic(line @ rows)
            gradient = rows @ (over - trials * share) - [0, precision * (line[1] - self._slope)]
            curvature = (rows * (trials * share * (1 - share))) @ rows.T + np.diag([1e-9, precision])
            change = np.clip(np.linalg.solve(curvature, gradient), -2, 2)
            line += change
            line[1] = max(line[1], self._slope / 4)
            if abs(change).max() < 1e-6:
                break
        return crossing(line[0], line[1], np.linalg.inv(curvature), _logit(self._allowed), middle)


def _logit(share: float) -> float:
    return math.log(share / (1 - share))


def _logistic(value: np.ndarray | float) -> np.ndarray | float:
    return 1 / (1 + np.exp(-value))
