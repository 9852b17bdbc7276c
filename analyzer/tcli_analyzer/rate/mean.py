"""Finds the highest rate that keeps the average latency under a limit: its logarithm is about linear in that of the rate, near there."""

import math
from dataclasses import dataclass

import numpy as np

from tcli_analyzer.rate.stepping import PRECISION, RateEstimate, Stepping, crossing

_LEAST, _MOST = 0.5, 2.0
"""Of the limit, between which the curve is a line."""

_SLOPE_DEVIATION = 0.5
_BLOCKS = 10
_LEAST_ERROR = 0.005


@dataclass(frozen=True, slots=True)
class MeanProbe:
    """Requests sent at one rate.

    Attributes:
        rate: requests per second, as scheduled.
        requests: how many were sent.
        mean_ms: their average latency.
        relative_error: its standard error, relative.
        overloaded: the backlog grew without end.
    """

    rate: float
    requests: int
    mean_ms: float
    relative_error: float
    overloaded: bool = False


class MeanSearch(Stepping[MeanProbe]):
    """As `RateSearch`, for an average.

    Args:
        limit_ms: of the average.
        slope: how fast the logarithm of the average grows with that of the rate, near the limit.
    """

    def __init__(self, start: float, limit_ms: float, slope: float, precision: float = PRECISION) -> None:
        super().__init__(start, precision)
        self._limit_ms = limit_ms
        self._slope = slope

    def _keeps(self, probe: MeanProbe) -> bool:
        return not probe.overloaded and probe.mean_ms <= self._limit_ms

    def _tells(self, probe: MeanProbe) -> bool:
        return not probe.overloaded and _LEAST <= probe.mean_ms / self._limit_ms <= _MOST

    def _says_where(self, telling: list[MeanProbe]) -> bool:
        return bool(telling)

    def _fit(self, telling: list[MeanProbe]) -> RateEstimate:
        """Least squares with a prior on the slope."""
        logs = np.log([probe.rate for probe in telling])
        middle = float(logs.mean())
        rows = np.stack([np.ones_like(logs), logs - middle])
        requests = np.array([probe.requests for probe in telling])
        # What one probe says of its own error is little: all together say what a request is worth.
        worth = np.mean([max(_LEAST_ERROR, probe.relative_error) ** 2 * probe.requests for probe in telling])
        weights = requests / worth
        precision = 1 / (_SLOPE_DEVIATION * self._slope) ** 2
        curvature = (rows * weights) @ rows.T + np.diag([0.0, precision])
        wanted = rows @ (weights * np.log([probe.mean_ms for probe in telling])) + [0.0, precision * self._slope]
        intercept, slope = np.linalg.solve(curvature, wanted)
        slope = max(float(slope), self._slope / 4)
        return crossing(float(intercept), slope, np.linalg.inv(curvature), math.log(self._limit_ms), middle)


def relative_error(latencies_ms: np.ndarray) -> float:
    """The standard error of an average, relative, from how averages of blocks differ: requests wait in crowds.

    Args:
        latencies_ms: float64 [n], in the order in which the replies came; n above 0.
    """
    size = max(1, len(latencies_ms) // _BLOCKS)
    blocks = len(latencies_ms) // size
    if blocks < 2:
        return 1.0
    means = latencies_ms[: blocks * size].reshape(blocks, size).mean(axis=1)
    return float(means.std(ddof=1) / math.sqrt(blocks) / means.mean())
