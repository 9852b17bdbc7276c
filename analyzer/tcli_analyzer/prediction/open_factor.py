"""How much longer executions take where requests come by a schedule: found by one measurement.

A sender that shares the cores, and pools of threads that wake up after idling, make executions of an open loop slower than those of
the table, which is measured without a pause. One factor repairs that, also for other configurations.
"""

import math

import numpy as np

from tcli_analyzer.prediction.forecast import forecast_at
from tcli_analyzer.prediction.service import ServiceTimes
from tcli_analyzer.prediction.simulator import Setup

LEAST, MOST = 0.5, 2.5
_PRECISION = 0.003


def fit_factor(setup: Setup, service: ServiceTimes, moments: np.ndarray, mean_ms: float, items: int = 1) -> float:
    """The factor on execution times with which the simulated mean latency is the measured one, on the same arrivals.

    Args:
        moments: when requests were due, in seconds; float64 [n].
        mean_ms: latency measured.

    Returns:
        `LEAST` to `MOST`.
    """
    low, high = LEAST, MOST
    while math.log(high / low) > _PRECISION:
        middle = math.sqrt(low * high)
        found = forecast_at(setup, service, moments, items, middle)
        if found.mean_ms > mean_ms:
            high = middle
        else:
            low = middle
    return math.sqrt(low * high)
