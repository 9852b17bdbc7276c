"""The one measurement under an open load that every search by prediction makes."""

from dataclasses import dataclass

from tcli_analyzer.configuration import Configuration
from tcli_analyzer.load import ClosedLoad, OpenLoad, Sequences
from tcli_analyzer.measuring.visit import VisitOptions
from tcli_analyzer.measuring.window import Windows
from tcli_analyzer.point import Point
from tcli_analyzer.prediction.forecast import forecast, forecast_at, moments_of
from tcli_analyzer.prediction.open_factor import fit_factor
from tcli_analyzer.prediction.service import ServiceTimes
from tcli_analyzer.prediction.setup import setup_of
from tcli_analyzer.prediction.simulator import WARM_UP_SHARE
from tcli_analyzer.searching.agreement import Compared
from tcli_analyzer.searching.visits import Visits

UTILISATION = 0.6
"""Where requests queue, so that the factor shows, but the queue does not yet depend on luck alone."""

_MOST_RATE = 500.0
"""Requests per second: a faster sender is limited by itself."""
_REQUESTS = 60
"""In a window."""
_SECONDS = (1.0, 4.0)
_SIMULATED = 1500
_TRIES = 2


@dataclass(frozen=True)
class OpenCheck:
    """What came out.

    Attributes:
        factor: on all execution times where requests come by a schedule.
        compared: the point and what had been predicted for the same arrivals without the factor.
    """

    factor: float
    point: Point
    compared: Compared


def check_load(
    configuration: Configuration, service: ServiceTimes, items: int, sequences: Sequences | None = None
) -> OpenLoad:
    """A rate that keeps the configuration busy for `UTILISATION` of the time."""
    setup = setup_of(configuration, items)
    outstanding = ClosedLoad(2 * setup.instances * setup.rules.limit)
    capacity = forecast(setup, service, outstanding, _SIMULATED, items).throughput / items
    return OpenLoad(float(f"{min(_MOST_RATE, UTILISATION * capacity):.3g}"), sequences=sequences)


def check_open(visits: Visits, configuration: Configuration, service: ServiceTimes, load: OpenLoad) -> OpenCheck | None:
    """Measure; None if it cannot be measured, or everything that was measured was disturbed.

    Raises:
        Ended: whoever watches wants it.
        Stopped: as of the bench.
    """
    items = visits.items
    low, high = _SECONDS
    seconds = min(high, max(low, _REQUESTS / load.rate))
    seconds = round(seconds, 2)
    warm_up = round(2 * seconds * WARM_UP_SHARE / (1 - WARM_UP_SHARE), 2)  # as much as the simulation leaves out
    options = VisitOptions(windows=2, seconds=seconds, requests=1, warm_up_seconds=warm_up, items=items)
    point = Point(configuration, load, Windows(tuple(visits.measure(configuration, load, options, _TRIES))))
    clean = point.windows.clean
    if not clean.requests:
        return None
    setup = setup_of(configuration, items)
    moments = moments_of(load, options.warm_up_seconds + sum(window.seconds for window in point.windows.windows[:2]))
    mean_ms = sum(float(window.latencies_ms.sum()) for window in clean.windows) / clean.requests
    plain = forecast_at(setup, service, moments, items)
    predicted, measured = plain.mean_ms, mean_ms
    compared = Compared(
        place=point.place,
        predicted=1 / predicted,
        measured=1 / measured,
        throughput=(plain.throughput, clean.throughput),
        p50_ms=(plain.latency_ms(50), clean.percentile(0.5).value),
        p99_ms=(plain.latency_ms(99), clean.percentile(0.99).value),
        expected_log=0.0,
        deviation=float("inf"),
    )
    return OpenCheck(fit_factor(setup, service, moments, mean_ms, items), point, compared)
