"""A bench in virtual time whose machines are known: what searches find on it can be compared with the truth."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_analyzer.bench import CannotMeasureError
from tcli_analyzer.configuration import Configuration, label_of, vary
from tcli_analyzer.evidence.disturbance import ProcessorTime
from tcli_analyzer.load import ClosedLoad, Load, OpenLoad
from tcli_analyzer.measuring.visit import Stopped, VisitOptions
from tcli_analyzer.measuring.window import Window, Windows
from tcli_analyzer.point import Point
from tcli_analyzer.prediction.forecast import Forecast, forecast, forecast_at, moments_of
from tcli_analyzer.prediction.service import Entry, ServiceTimes
from tcli_analyzer.prediction.setup import setup_of
from tcli_analyzer.searching import Failure
from tcli_analyzer.target import Counters

RELOAD_SECONDS = 1.5


@dataclass
class ImaginedBench:
    """Measures by simulating with the true service times, which a search does not know.

    Attributes:
        truth: of a configuration.
        noise: of a window, relative.
        busy: share of visits in which a neighbour takes half of the machine.
        observed: whether that can be seen.
        open_factor: on service times where requests come by a schedule.
        drift: on service times, by the seconds that have passed.
        broken: labels of configurations that do not load.
        stop_after: visits, after which the user has had enough.
    """

    truth: Callable[[Configuration], ServiceTimes]
    seed: int = 0
    noise: float = 0.02
    busy: float = 0.0
    observed: bool = True
    open_factor: float = 1.0
    drift: Callable[[float], float] = lambda _: 1.0
    broken: frozenset[str] = frozenset()
    stop_after: int | None = None
    now: float = 0.0
    visits: list[tuple[Configuration, Load, VisitOptions]] = field(default_factory=list)
    loaded: list[Configuration] = field(default_factory=list)
    held: tuple[Configuration, ...] = ()

    def __post_init__(self) -> None:
        self._random = np.random.default_rng(self.seed)

    def clock(self) -> float:
        return self.now

    def hold(self, configurations: Sequence[Configuration]) -> None:
        self.held = tuple(configurations)
        self.loaded = [one for one in self.loaded if one in self.held]

    def visit(self, configuration: Configuration, load: Load, options: VisitOptions) -> list[Window]:
        if self.stop_after is not None and len(self.visits) >= self.stop_after:
            raise Stopped
        self.visits.append((configuration, load, options))
        if configuration not in self.loaded:
            self.now += RELOAD_SECONDS
            self.loaded = [one for one in self.loaded if one in self.held] + [configuration]
        if configuration.label in self.broken:
            raise CannotMeasureError("no such operator")
        slowed = self._random.random() < self.busy
        slower = 2.0 if slowed else 1.0
        if isinstance(load, OpenLoad):
            return self._open(configuration, load, options, slower)
        found = self.true(configuration, load, options.items, slower, len(self.visits))
        rate = found.throughput / options.items
        least = max(options.requests, load.concurrency)
        seconds = min(options.seconds * options.longest, max(options.seconds, least / rate))
        self.now += options.warm_up_seconds
        return [self._window(found, seconds, slowed, options.items) for _ in range(options.windows)]

    def true(
        self, configuration: Configuration, load: Load, items: int = 1, slower: float = 1.0, seed: int = 0
    ) -> Forecast:
        factor = slower * self.drift(self.now) * (self.open_factor if isinstance(load, OpenLoad) else 1.0)
        return forecast(setup_of(configuration, items), self.truth(configuration), load, 1000, items, factor, seed)

    def _open(self, configuration: Configuration, load: OpenLoad, options: VisitOptions, slower: float) -> list[Window]:
        """The arrivals that the load's generator makes, in their order."""
        factor = slower * self.drift(self.now) * self.open_factor
        total = options.warm_up_seconds + options.windows * options.seconds
        moments = moments_of(load, total)
        found = forecast_at(
            setup_of(configuration, options.items), self.truth(configuration), moments, options.items, factor
        )
        self.now += total
        lost = (0.8, 0.9) if slower > 1 else (0.004, 0.01)
        processor = ProcessorTime(1.0, *lost, 0.0) if self.observed else None
        windows = []
        for latencies in np.array_split(found.latencies_ms, options.windows):
            wave = float(np.exp(self._random.normal(0, self.noise)))
            count = len(latencies)
            executions = max(1, round(count * options.items / max(1.0, found.batch_avg)))
            counters = Counters(count, count * options.items, executions)
            windows.append(
                Window(
                    self.now,
                    options.seconds,
                    latencies * wave,
                    counters,
                    processor,
                    items=options.items,
                    overloaded=found.overloaded,
                )
            )
        return windows

    def _window(self, found: Forecast, seconds: float, slowed: bool, items: int) -> Window:
        count = max(2, round(seconds * found.throughput / items))
        start = int(self._random.integers(0, max(1, len(found.latencies_ms) - count)))
        wave = float(np.exp(self._random.normal(0, self.noise)))
        latencies = np.resize(found.latencies_ms[start:], count) * wave
        lost = (0.8, 0.9) if slowed else (0.004, 0.01)
        processor = ProcessorTime(1.0, *lost, 0.0) if self.observed else None
        self.now += seconds
        taken = count * items / found.throughput * wave
        executions = max(1, round(count * items / max(1.0, found.batch_avg)))
        return Window(self.now, taken, latencies, Counters(count, count * items, executions), processor, items=items)


@dataclass
class Follower:
    """Writes down what a search tells."""

    clock: Callable[[], float] = lambda: 0.0
    limit: float = float("inf")
    plans: list[tuple[int, int, float]] = field(default_factory=list)
    left: list[tuple[float, float]] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    points: list[Point] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def planned(self, points: int, of: int, seconds: float) -> None:
        self.plans.append((points, of, seconds))

    def measuring(self, what: str, seconds_left: float) -> None:
        self.told.append(what)
        self.left.append((self.clock(), seconds_left))

    def measured(self, point: Point, seconds_left: float) -> None:
        self.points.append(point)
        self.left.append((self.clock(), seconds_left))

    def failed(self, failure: Failure) -> None:
        self.failures.append(failure)

    def note(self, text: str) -> None:
        self.notes.append(text)

    def goes_on(self) -> bool:
        return self.clock() < self.limit


def grid(
    sizes: Sequence[int] = (1, 2, 4, 8), instances: Sequence[int] = (1, 2), delays_us: Sequence[int] = (0,)
) -> list[Configuration]:
    """Configurations as a space of batch sizes, instances and delays has them; the first is the current one."""
    base = ModelConfig(name="m", backend="onnxruntime")
    found = []
    for count in instances:
        for size in sizes:
            for delay in delays_us if size > 1 else (0,):
                config = vary(base, size, count)
                if delay:
                    config.dynamic_batching.max_queue_delay_microseconds = delay
                label = label_of(size, count) + (f", delay {delay}" if delay else "")
                found.append(Configuration(label, size, count, config))
    found[0] = replace(found[0], label=f"current ({found[0].label})", current=True)
    return found


def loads(*concurrency: int) -> list[ClosedLoad]:
    return [ClosedLoad(each) for each in concurrency or (1, 2, 4, 8, 16)]


def throughput(windows: Windows) -> float:
    return windows.throughput


def machine(
    first: float,
    further: float,
    together: float,
    spread: float = 0.05,
    reply: float = 3e-4,
    largest: int = 32,
    odd: float = 0.03,
) -> Callable[[Configuration], ServiceTimes]:
    """True service times: not in proportion between sizes, residuals of their own, replies that take longer than assumed.

    Args:
        first: seconds of a batch of one.
        further: seconds of each further item.
        together: slowdown of each instance that runs beside.
        odd: by how much sizes that are no powers of two are slower.
    """
    residuals = tuple(np.random.default_rng(7).lognormal(-(spread**2) / 2, spread, 400))

    def seconds(size: int) -> float:
        return (first + further * (size - 1)) * (1 if size & (size - 1) == 0 else 1 + odd)

    entries = {size: Entry(seconds(size), residuals) for size in range(1, largest + 1)}

    def truth(configuration: Configuration) -> ServiceTimes:
        slowdown = [1 + (together - 1) * busy for busy in range(configuration.instances)]
        return ServiceTimes(entries, slowdown, reply)

    return truth


def best(bench: ImaginedBench, configurations: Sequence[Configuration], under: Sequence[Load]) -> float:
    """The true best throughput."""
    return max(bench.true(one, load).throughput for one in configurations for load in under)
