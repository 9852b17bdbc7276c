"""Tries one rate: long enough for its queue to settle, and again where others disturbed it."""

from dataclasses import dataclass, field

from tcli_analyzer.arrivals import Distribution
from tcli_analyzer.bench import Bench
from tcli_analyzer.configuration import Configuration
from tcli_analyzer.load import ClosedLoad, OpenLoad, Sequences
from tcli_analyzer.measuring.length import Pace, open_options
from tcli_analyzer.measuring.visit import VisitOptions
from tcli_analyzer.measuring.window import Window, Windows
from tcli_analyzer.rate.found import Purpose, RateProbe

_ALONE_REQUESTS = 50
_CLOSED_SECONDS = 1.0
_USUAL_LOAD = 0.7
_MOST_CALLERS = 256
_SETTLING = 3
"""Times the usual requests that a probe may have where its queue is slow to settle."""


@dataclass(frozen=True, slots=True)
class RateOptions:
    """How much a search may cost.

    Attributes:
        probe_requests: of each probe; fewer where they take longer than `probe_seconds`.
        probe_seconds: a probe is at most so long, unless its queue needs longer to settle.
        longest_seconds: of any run, the one that confirms among them.
        most_seconds: of load, after which nothing new is begun.
        most_requests: in probes that count and a run that confirms, more or less; each further such run comes on top.
        confirmations: how often a rate is tried to confirm, each time with what the runs before said.
        repeats: of a probe that others disturbed.
        precision: half the width of the 95 % interval, relative, that is enough.
        items: inferences in a request.
        seed: of the arrivals: the same for all configurations.
        sequences: that requests belong to; None for a model without state.
    """

    probe_requests: int = 1000
    probe_seconds: float = 10.0
    longest_seconds: float = 60.0
    most_seconds: float = 300.0
    most_requests: int = 7000
    confirmations: int = 3
    repeats: int = 2
    precision: float = 0.08
    items: int = 1
    distribution: Distribution = Distribution.POISSON
    gaps_seconds: tuple[float, ...] = field(default=(), repr=False)
    seed: int = 0
    sequences: Sequences | None = None


class Prober:
    """Measures one configuration at rates.

    Attributes:
        probes: all that were made.
        requests: about how many were sent, warm-ups among them.
        seconds: of load.
        capacity: requests per second; measured by `measure_capacity`.
        is_capacity_clean: whether nobody disturbed that; else it may be far more.
        alone: one request at a time.
    """

    def __init__(self, bench: Bench, configuration: Configuration, options: RateOptions) -> None:
        self._bench = bench
        self._configuration = configuration
        self._options = options
        self.probes: list[RateProbe] = []
        self.requests = 0
        self.seconds = 0.0
        self.capacity = 0.0
        self.is_capacity_clean = True
        self.alone = Windows([])

    def _pace(self, rate: float) -> Pace:
        """For how long its queues take to settle at this rate. What others disturbed shows no capacity: it is thought to suffice."""
        together = self._configuration.instances * max(1, self._configuration.max_batch_size)
        capacity = self.capacity if self.is_capacity_clean else max(self.capacity, rate / _USUAL_LOAD)
        return Pace(capacity, together / capacity)

    @property
    def counted_requests(self) -> int:
        """Of the probes that count."""
        return sum(probe.windows.requests for probe in self.probes if probe.counts)

    def measure_alone(self) -> None:
        """A short closed loop of one caller; raises as `Bench.visit`."""
        self.alone = self._closed(1, _ALONE_REQUESTS)

    def measure_capacity(self) -> None:
        """A short closed loop of as many callers as can be of use; raises as `Bench.visit`."""
        together = self._configuration.instances * max(1, self._configuration.max_batch_size)
        callers = min(_MOST_CALLERS, 2 * together)
        full = self._closed(callers, 8 * callers)
        self.capacity = full.requests / full.seconds
        self.is_capacity_clean = all(window.is_clean for window in full.windows)

    def _closed(self, callers: int, requests: int) -> Windows:
        options = VisitOptions(seconds=_CLOSED_SECONDS / 2, requests=requests, items=self._options.items)
        windows = Windows(self._visit(ClosedLoad(callers, self._options.sequences), options))
        self.requests += windows.requests
        return windows

    def _visit(self, load: ClosedLoad | OpenLoad, options: VisitOptions) -> list[Window]:
        windows = self._bench.visit(self._configuration, load, options)
        for _ in range(self._options.repeats):
            if all(window.is_clean for window in windows):
                break
            windows = self._bench.visit(self._configuration, load, options)
        return windows

    def probe(self, rate: float, purpose: Purpose = Purpose.SEARCH, requests: int = 0) -> RateProbe:
        """Try a rate until it was tried undisturbed, or often enough.

        Args:
            requests: that are wanted; 0 for those of a usual probe.

        Returns:
            The last try; those before it are in `probes`, too.

        Raises:
            As `Bench.visit`.
        """
        wanted = requests or self._options.probe_requests
        longest = self._options.longest_seconds
        most = longest if requests else self._options.probe_seconds
        if not requests:
            longest = min(longest, _SETTLING * wanted / rate)
        options = open_options(rate, wanted, most, longest, self._pace(rate), self._options.items)
        for again in range(1 + self._options.repeats):
            seed = self._options.seed + len(self.probes)
            load = OpenLoad(
                rate, self._options.distribution, seed, self._options.gaps_seconds, sequences=self._options.sequences
            )
            windows = Windows(self._bench.visit(self._configuration, load, options))
            self.requests += windows.requests + round(rate * options.warm_up_seconds)
            self.seconds += windows.seconds + options.warm_up_seconds
            clean = all(window.is_clean for window in windows.windows)
            self.probes.append(RateProbe(rate, windows, purpose, counts=clean))
            if clean or again == self._options.repeats:
                break
        return self.probes[-1]
