"""Where the search for a rate begins: what a simulation of the configuration says."""

import math
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from tcli_analyzer.arrivals import schedule
from tcli_analyzer.evidence.percentiles import design_effect
from tcli_analyzer.prediction.service import ServiceTimes
from tcli_analyzer.prediction.simulator import ClosedLoad, OpenLoad, Setup, simulate
from tcli_analyzer.rate.fitting import USUAL_EFFECT
from tcli_analyzer.rate.slo import Condition, Slo

_REQUESTS = 6_000
_LONG = 40_000
_SEED = 4
_APART = 1.12
"""Between the answer and the two rates whose difference is the slope."""
_STEPS = 8
_LEAST_LOAD, _MOST_LOAD = 0.02, 0.97
"""Of the capacity: rates in between can be answers."""

_USUAL_SLOPE, _USUAL_MEAN_SLOPE = 10.0, 1.5


@dataclass(frozen=True, slots=True)
class Prior:
    """What is expected of one condition near the answer.

    Attributes:
        slope: of the logit of the share over the limit, or of the logarithm of the average, over the logarithm of the rate.
        effect: how many requests are worth an independent one.
    """

    slope: float = _USUAL_SLOPE
    effect: float = USUAL_EFFECT


@dataclass(frozen=True, slots=True)
class Start:
    """Where to begin.

    Attributes:
        rate: requests per second; None for three fifths of what is measured as the capacity.
        priors: of each condition, in their order; those that are missing are as is usual.
    """

    rate: float | None = None
    priors: tuple[Prior, ...] = ()

    def prior(self, number: int, condition: Condition) -> Prior:
        """Of the condition of this number."""
        if number < len(self.priors):
            return self.priors[number]
        return Prior(_USUAL_MEAN_SLOPE if condition.share is None else _USUAL_SLOPE)


def predicted_start(setup: Setup, service: ServiceTimes, slo: Slo) -> Start:
    """Simulate: a second or so of work, nothing is measured.

    Args:
        service: of requests as they are sent, see `ServiceTimes`.

    Raises:
        ValueError: the table lacks a batch size that comes up.
    """
    most = setup.instances * max(1, setup.rules.limit)
    capacity = simulate(setup, service, ClosedLoad(2 * most), 4000).throughput
    rates = [_rate(setup, service, condition, capacity) for condition in slo.conditions]
    rate = min(rates)
    return Start(rate, tuple(_prior(setup, service, condition, rate) for condition in slo.conditions))


def _latencies(setup: Setup, service: ServiceTimes, rate: float, requests: int = _REQUESTS) -> tuple[np.ndarray, bool]:
    """In ms, and whether it is more than the configuration can do."""
    moments = schedule(rate, requests / rate, seed=_SEED)
    found = simulate(setup, service, OpenLoad(moments), len(moments), seed=_SEED)
    return found.latencies_ms, found.overloaded


def _rate(setup: Setup, service: ServiceTimes, condition: Condition, capacity: float) -> float:
    low, high = _LEAST_LOAD * capacity, _MOST_LOAD * capacity
    for _ in range(_STEPS):
        middle = math.sqrt(low * high)
        latencies, overloaded = _latencies(setup, service, middle)
        if not overloaded and condition.keeps(latencies):
            low = middle
        else:
            high = middle
    return math.sqrt(low * high)


def _prior(setup: Setup, service: ServiceTimes, condition: Condition, rate: float) -> Prior:
    below, above = (_latencies(setup, service, each, _LONG)[0] for each in (rate / _APART, rate * _APART))
    step = 2 * math.log(_APART)
    if condition.share is None:
        slope = (math.log(condition.value_ms(above)) - math.log(condition.value_ms(below))) / step
        return Prior(min(10.0, max(0.2, slope)))
    runs = condition.over(below), condition.over(above)
    slope = (_logit(runs[1]) - _logit(runs[0])) / step
    effects = [design_effect(over, 1 - float(over.mean())) for over in runs if 0 < over.mean() < 1]
    effect = fmean(effects) if effects else USUAL_EFFECT
    return Prior(min(40.0, max(2.0, slope)), min(100.0, max(2.0, effect)))


def _logit(over: np.ndarray) -> float:
    """Of the share that is over the limit, held away from none and all."""
    count = float(over.sum()) + 0.5
    return math.log(count / (len(over) + 1 - count))
