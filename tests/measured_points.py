"""Points of a sweep with chosen numbers, for tests of what is made of them."""

from collections.abc import Sequence

import numpy as np
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_analyzer.configuration import Configuration, label_of
from tcli_analyzer.measurement import Measurement, Window
from tcli_analyzer.recommendation import Point
from tcli_analyzer.resources import Usage
from tcli_analyzer.target import Counters


def window(throughput: float, latency_ms: float = 10.0, requests: int = 100) -> Window:
    counters = Counters(requests, requests, requests // 2, *(int(requests * latency_ms * 2e5) for _ in range(4)))
    latencies = np.full(requests, latency_ms)
    return Window(requests / throughput, latencies, counters, Usage(1.0, 0.0, 100.0, None))


def point(
    batch: int,
    instances: int,
    throughputs: Sequence[float],
    latency_ms: float = 10.0,
    concurrency: int = 8,
    current: bool = False,
) -> Point:
    label = "current" if current else label_of(batch, instances)
    configuration = Configuration(label, batch, instances, ModelConfig(), current=current)
    windows = tuple(window(throughput, latency_ms) for throughput in throughputs)
    return Point(configuration, concurrency, Measurement(windows, len(windows), stable=True))
