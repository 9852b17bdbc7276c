"""What a configuration would do under a load: the simulator asked in the analyzer's words."""

from dataclasses import dataclass, field

import numpy as np

from tcli_analyzer import load as loads
from tcli_analyzer.arrivals import recorded, schedule
from tcli_analyzer.measuring.window import Window, Windows
from tcli_analyzer.prediction.service import Entry, ServiceTimes
from tcli_analyzer.prediction.simulator import ClosedLoad, OpenLoad, Setup, Simulated, simulate
from tcli_analyzer.target import Counters


@dataclass(frozen=True)
class Forecast:
    """What was simulated.

    Attributes:
        throughput: inferences per second.
        latencies_ms: of each request; float64 [n].
        batch_avg: average size of an executed batch, in inferences.
        utilisation: share of the time in which an instance runs.
        overloaded: requests come faster than they are answered.
    """

    throughput: float
    latencies_ms: np.ndarray = field(repr=False)
    batch_avg: float
    utilisation: float
    overloaded: bool

    def latency_ms(self, percentile: float) -> float:
        """A percentile, 0 to 100."""
        return float(np.percentile(self.latencies_ms, percentile)) if self.latencies_ms.size else np.nan

    @property
    def mean_ms(self) -> float:
        """Latency on average."""
        return float(self.latencies_ms.mean()) if self.latencies_ms.size else np.nan

    def windows(self, slower: float = 1.0, most: int | None = None) -> Windows:
        """As if it had been measured, so that it can be judged as measurements are.

        Args:
            slower: a factor on latencies.
            most: how many requests, all where it is None.
        """
        latencies = self.latencies_ms[:most] * slower
        count = len(latencies)
        seconds = count / self.throughput if self.throughput else 1.0
        window = Window(0.0, seconds, latencies, Counters(count, count, count), overloaded=self.overloaded)
        return Windows([window])


def forecast(
    setup: Setup,
    service: ServiceTimes,
    load: loads.Load,
    requests: int,
    items: int = 1,
    factor: float = 1.0,
    seed: int = 0,
) -> Forecast:
    """Simulate.

    Args:
        setup: counts in requests, see `setup_of`.
        service: by inferences in a batch.
        requests: how many at most.
        items: inferences in a request.
        factor: on all execution times.

    Raises:
        ValueError: the table lacks a batch size that comes up.
    """
    simulated = simulate(setup, scaled(service, items, factor), _imagined(load, requests), requests, seed)
    return _forecast(simulated, items)


def forecast_at(
    setup: Setup, service: ServiceTimes, moments: np.ndarray, items: int = 1, factor: float = 1.0
) -> Forecast:
    """The same for requests that come at these moments, in seconds."""
    return _forecast(simulate(setup, scaled(service, items, factor), OpenLoad(moments), len(moments)), items)


def scaled(service: ServiceTimes, items: int, factor: float) -> ServiceTimes:
    """The table for requests of so many items, with all times longer by a factor."""
    if items == 1 and factor == 1.0:
        return service
    largest = max(service.entries)
    counts = sorted({1, max(1, largest // items), *(size // items for size in service.entries if size >= items)})
    entries = {
        count: Entry(service.seconds(count * items) * factor, service.residuals(count * items)) for count in counts
    }
    return ServiceTimes(entries, service.slowdown, service.reply_seconds)


def moments_of(load: loads.OpenLoad, seconds: float) -> np.ndarray:
    """When the requests of a load are due, as its generator has it; float64 [n], seconds."""
    if load.gaps_seconds:
        natural = len(load.gaps_seconds) / sum(load.gaps_seconds)
        return recorded(load.gaps_seconds, seconds, load.rate / natural)
    return schedule(load.rate, seconds, load.distribution, load.seed)


def _imagined(load: loads.Load, requests: int) -> ClosedLoad | OpenLoad:
    if isinstance(load, loads.ClosedLoad):
        return ClosedLoad(load.concurrency)
    return OpenLoad(moments_of(load, requests / load.rate))


def _forecast(simulated: Simulated, items: int) -> Forecast:
    return Forecast(
        throughput=simulated.throughput * items,
        latencies_ms=simulated.latencies_ms,
        batch_avg=simulated.batch_avg * items,
        utilisation=simulated.utilisation,
        overloaded=simulated.overloaded,
    )
