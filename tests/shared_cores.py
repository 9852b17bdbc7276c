"""Models that share the cores of a machine on which no time passes: who takes what from whom is known."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelInstanceGroup

from tcli_analyzer.bench.together import CannotMeasureTogetherError
from tcli_analyzer.configuration import Configuration, label_of, vary
from tcli_analyzer.evidence.disturbance import ProcessorTime
from tcli_analyzer.load import ClosedLoad
from tcli_analyzer.measuring.visit import Stopped, VisitOptions
from tcli_analyzer.measuring.window import Window, Windows
from tcli_analyzer.point import Point
from tcli_analyzer.space.settings import Settings, read_settings, write_settings
from tcli_analyzer.target import Counters
from tcli_analyzer.together.arrangement import Arrangement, Choice
from tcli_analyzer.together.candidates import Room, candidates
from tcli_analyzer.together.search import Candidates
from tcli_analyzer.together.window import JointWindow, joined

CORES = 4


@dataclass(frozen=True)
class Kind:
    """How a model uses cores.

    Attributes:
        rate: inferences per second of one instance with one thread, batches of one.
        scaling: with m threads an instance is m to this power as fast.
        further: time of each further item of a batch, against the first.
    """

    rate: float
    scaling: float = 0.6
    further: float = 1.0


def configuration(model: str, instances: int, threads: int = 0, batch: int = 1, current: bool = False) -> Configuration:
    base = ModelConfig(name=model, backend="onnxruntime")
    base.instance_group.add(kind=ModelInstanceGroup.KIND_CPU)
    config = write_settings(vary(base, batch, instances), Settings(threads=threads, engine="onnxruntime"), "model.onnx")
    label = f"{'current ' if current else ''}{label_of(batch, instances)}{f', {threads} threads' if threads else ''}"
    return Configuration(label, batch, instances, config, current=current)


@dataclass
class SharedCores:
    """A bench for several models.

    Attributes:
        kinds: of each model.
        noise: of a window, relative; the same for all models, and each one's own.
        busy: share of visits in which a neighbour takes half of the machine.
        broken: labels of configurations that do not load.
        stop_after: visits, after which the user has had enough.
    """

    kinds: Mapping[str, Kind]
    seed: int = 0
    noise: float = 0.01
    busy: float = 0.0
    broken: frozenset[str] = frozenset()
    stop_after: int | None = None
    now: float = 0.0
    visits: list[Arrangement] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._random = np.random.default_rng(self.seed)

    def clock(self) -> float:
        return self.now

    def hold(self, arrangements: Sequence[Arrangement]) -> None:
        pass

    def true(self, arrangement: Arrangement) -> dict[str, float]:
        """Inferences per second of each model: with more threads than cores each gets its part of less than all of them."""
        wanted = {choice.model: self._threads(choice) for choice in arrangement.choices}
        total = sum(instances * threads for instances, threads in wanted.values())
        part = min(1.0, CORES / total) ** 1.5
        found = {}
        for choice in arrangement.choices:
            kind = self.kinds[choice.model]
            instances, threads = wanted[choice.model]
            found[choice.model] = kind.rate * instances * threads**kind.scaling * part * self._batching(choice)
        return found

    def alone(self, choice: Choice) -> float:
        return self.true(Arrangement((choice,)))[choice.model]

    def visit(self, arrangement: Arrangement, options: VisitOptions) -> list[JointWindow]:
        if self.stop_after is not None and len(self.visits) >= self.stop_after:
            raise Stopped
        self.visits.append(arrangement)
        self.now += 1.5
        for choice in arrangement.choices:
            if choice.configuration.label in self.broken:
                raise CannotMeasureTogetherError(choice, "no such operator")
        busy = self._random.random() < self.busy
        return [self._window(arrangement, options.seconds, busy) for _ in range(options.windows)]

    def _window(self, arrangement: Arrangement, seconds: float, busy: bool) -> JointWindow:
        self.now += seconds
        wave = float(np.exp(self._random.normal(0, self.noise)))
        time = ProcessorTime(1.0, 0.9, 0.9 if busy else 0.005, 0.0)
        parts = {}
        for choice in arrangement.choices:
            rate = self.true(arrangement)[choice.model] * wave * float(np.exp(self._random.normal(0, self.noise)))
            rate = rate / 3 if busy else rate
            assert isinstance(choice.load, ClosedLoad)
            count = max(2, round(rate * seconds))
            latencies = np.full(count, 1e3 * choice.load.concurrency / rate) * self._random.normal(1, 0.02, count)
            parts[choice.model] = Window(self.now, count / rate, latencies, Counters(count, count, count), time)
        return joined(parts, time)

    def _threads(self, choice: Choice) -> tuple[int, int]:
        """Instances that have work, and the threads of each."""
        instances = choice.configuration.instances
        threads = read_settings(choice.configuration.config).threads or max(1, CORES // instances)
        assert isinstance(choice.load, ClosedLoad)
        return min(instances, choice.load.concurrency), threads

    def _batching(self, choice: Choice) -> float:
        assert isinstance(choice.load, ClosedLoad)
        busy, _ = self._threads(choice)
        size = max(1, min(choice.configuration.max_batch_size, choice.load.concurrency // busy))
        return size / (1 + self.kinds[choice.model].further * (size - 1))


def point(bench: SharedCores, model: str, one: Configuration, concurrency: int = 8) -> Point:
    """As the search of the model alone measures it."""
    rate = bench.alone(Choice(model, one, ClosedLoad(concurrency)))
    latencies = np.full(round(rate), 1e3 * concurrency / rate)
    quiet = ProcessorTime(1.0, 0.0, 0.0, 0.0)
    window = Window(0.0, 1.0, latencies, Counters(len(latencies), len(latencies), len(latencies)), quiet)
    return Point(one, ClosedLoad(concurrency), Windows((window,)))


def tried(
    bench: SharedCores,
    current: Mapping[str, Configuration],
    others: Mapping[str, Sequence[Configuration]],
    concurrency: int = 8,
    may_win: Callable[[Configuration], bool] = lambda _: True,
) -> dict[str, Candidates]:
    """What is tried of each model after a search of it alone."""
    room = Room(CORES, CORES // len(current), Settings(engine="onnxruntime"))
    loads = [ClosedLoad(count) for count in (1, 2, 4, 8) if count <= concurrency]
    found = {}
    for model, own in current.items():
        points = [point(bench, model, one, concurrency) for one in others[model]]
        leaders = sorted(points, key=lambda one: -one.measured.throughput)
        found[model] = candidates(model, point(bench, model, own, concurrency), leaders, loads, room, may_win)
    return found
