"""Measures how long executions take: the small table that everything else is predicted from.

An instance that works without pause shows its cycle time: as many callers as instances, each with requests of the batch size in
question, which the batcher passes on as they are. Rounds over all entries are interleaved, so that drift falls on all alike.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median, pstdev

import numpy as np

from tcli_analyzer.bench import Bench
from tcli_analyzer.configuration import Configuration
from tcli_analyzer.load import ClosedLoad
from tcli_analyzer.measuring.visit import VisitOptions
from tcli_analyzer.measuring.window import Window
from tcli_analyzer.prediction.service import Entry, ServiceTimes

ROUNDS = 3
LEAST_EXECUTIONS = 10

_REPLY_SECONDS = 50e-6
"""That an instance is held for each answer beside the first; of a tenth of a millisecond nothing depends that is measured here."""


@dataclass(frozen=True)
class Table:
    """What was measured for one number of instances.

    Attributes:
        service: to predict from.
        windows: of each entry, by batch size and how many instances were busy; disturbed ones among them.
        variation: how much clean windows of the same entry differ: the largest standard deviation, relative. Infinite where an
            entry has no clean window.
    """

    service: ServiceTimes
    windows: Mapping[tuple[int, int], Sequence[Window]]
    variation: float


def measure_table(
    bench: Bench,
    configuration: Configuration,
    sizes: Sequence[int],
    seconds: float,
    watch: Callable[[int, int], None],
) -> Table:
    """Measure the entries of a configuration, which takes batches of all these sizes.

    Args:
        sizes: batch sizes, 1 and the largest among them; those between that are left out are interpolated.
        seconds: least length of a window.
        watch: told the batch size and the instances of each entry that begins.

    Raises:
        As `Bench.visit`.
    """
    instances = configuration.instances
    ends = {min(sizes), max(sizes)}
    entries = [(size, busy) for size in sizes for busy in (1, instances) if busy == instances or size in ends]
    entries = list(dict.fromkeys(entries))
    windows: dict[tuple[int, int], list[Window]] = {entry: [] for entry in entries}
    for _ in range(ROUNDS):
        for size, busy in entries:
            watch(size, busy)
            options = VisitOptions(
                seconds=seconds, requests=LEAST_EXECUTIONS * busy, warm_up_seconds=seconds / 4, items=size
            )
            windows[size, busy] += bench.visit(configuration, ClosedLoad(busy), options)
    return Table(_service(windows, sizes, instances), windows, max(map(_variation, windows.values())))


def _service(windows: Mapping[tuple[int, int], Sequence[Window]], sizes: Sequence[int], instances: int) -> ServiceTimes:
    ends = sorted({min(sizes), max(sizes)})
    factors = [_cycle(windows[size, instances], instances) / _cycle(windows[size, 1], 1) for size in ends]
    full = max(1.0, fmean(factors))
    slowdown = [1 + (full - 1) * (busy - 1) / max(1, instances - 1) for busy in range(1, instances + 1)]
    entries = {
        size: Entry(_cycle(windows[size, instances], instances) / full, _residuals(windows[size, instances]))
        for size in sizes
    }
    return ServiceTimes(entries, slowdown, _REPLY_SECONDS)


def _cycle(windows: Sequence[Window], busy: int) -> float:
    """Seconds from one start of an instance to its next."""
    return median(busy * window.seconds / len(window.latencies_ms) for window in _best(windows))


def _best(windows: Sequence[Window]) -> Sequence[Window]:
    """The clean ones; all where there is none, as a guess is better than nothing where it is said to be one."""
    return [window for window in windows if window.is_clean] or windows


def _residuals(windows: Sequence[Window]) -> tuple[float, ...]:
    taken = np.concatenate([window.latencies_ms / window.latencies_ms.mean() for window in _best(windows)])
    return tuple(taken.tolist())


def _variation(windows: Sequence[Window]) -> float:
    clean = [window.throughput for window in windows if window.is_clean]
    if not clean:
        return math.inf
    return pstdev(clean) / fmean(clean) if len(clean) > 1 else 0.0
