"""Points and finals with chosen numbers, for tests of what is made of them."""

from collections.abc import Sequence

import numpy as np
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_analyzer.configuration import Configuration, label_of
from tcli_analyzer.evidence.disturbance import ProcessorTime
from tcli_analyzer.evidence.race import Race
from tcli_analyzer.finals import Finals
from tcli_analyzer.goal import Goal
from tcli_analyzer.load import ClosedLoad
from tcli_analyzer.measuring.window import Window, Windows
from tcli_analyzer.point import Point
from tcli_analyzer.target import Counters

QUIET = ProcessorTime(own=1.0, wait=0.0, other=0.0, steal=0.0)
BUSY = ProcessorTime(own=1.0, wait=1.0, other=1.0, steal=0.0)
"""Half of the processor time lost."""


def window(
    throughput: float, latency_ms: float = 10.0, requests: int = 100, processor: ProcessorTime | None = QUIET
) -> Window:
    counters = Counters(requests, requests, requests // 2, *(int(requests * latency_ms * 2e5) for _ in range(4)))
    return Window(0.0, requests / throughput, np.full(requests, latency_ms), counters, processor, 100.0)


def configuration(batch: int, instances: int, current: bool = False, **more: object) -> Configuration:
    label = "current" if current else label_of(batch, instances)
    return Configuration(label, batch, instances, ModelConfig(), current=current, **more)


def point(
    batch: int,
    instances: int,
    throughputs: Sequence[float],
    latency_ms: float = 10.0,
    concurrency: int = 8,
    current: bool = False,
    processor: ProcessorTime | None = QUIET,
) -> Point:
    windows = tuple(window(throughput, latency_ms, processor=processor) for throughput in throughputs)
    return Point(configuration(batch, instances, current), ClosedLoad(concurrency), Windows(windows))


def steady(throughput: float, rounds: int = 9, spread: float = 0.005) -> list[float]:
    """Throughputs that differ a little from round to round, in a way of their own."""
    random = np.random.default_rng(int(throughput * 1000))
    return (throughput * (1 + spread * random.uniform(-1.5, 1.5, rounds))).tolist()  # no outliers among them


def finals(points: Sequence[Point], goal: Goal | None = None, **more: object) -> Finals:
    """A race in which each point's windows are its rounds, in order."""
    race = Race(
        windows={one.configuration.label: list(one.windows.windows) for one in points},
        latest=[
            {one.configuration.label: one.windows.windows[number] for one in points}
            for number in range(min(len(one.windows.windows) for one in points))
        ],
    )
    return Finals(tuple(points), race, goal or Goal(), 0.02, 30.0, **more)
