"""How long executions take, measured: the small table that everything else is predicted from.

An instance that works without pause shows its cycle time: as many callers as instances, each with requests of the batch size in
question, which the batcher passes on as they are. Each caller always has one request outstanding, so a cycle is as long as latencies
are on average (Little), whatever a window cuts off at its ends.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median, stdev

import numpy as np

from tcli_analyzer.measuring.window import Window
from tcli_analyzer.prediction.service import Entry, ServiceTimes

BETWEEN = (2, 4)
"""Batch sizes measured beside 1 and the largest; what is between is interpolated."""

_REPLY_SECONDS = 50e-6
"""That an instance is held for each answer beside the first; of a tenth of a millisecond nothing depends that is measured here."""

_NEARLY_LEAST = 0.02
"""Of lost shares: where no window is clean, those that lost hardly more than the one that lost least count."""

EntryKey = tuple[int, int]
"""Batch size, and how many instances are busy."""


@dataclass(frozen=True)
class Table:
    """What was measured for one number of instances.

    Attributes:
        service: to predict from.
        windows: of each entry; disturbed ones among them.
        variation: how much windows of the same entry differ: the standard deviation of their cycle times, relative, all entries
            together; 0 where none was measured twice.
        is_clean: every entry has a window that nothing disturbed.
        is_coarse: only what a first guess needs was measured.
    """

    service: ServiceTimes
    windows: Mapping[EntryKey, Sequence[Window]]
    variation: float
    is_clean: bool
    is_coarse: bool


def coarse_entries(largest: int, instances: int) -> list[EntryKey]:
    """What a first guess needs: the ends, and what running side by side costs."""
    return list(dict.fromkeys([(1, instances), (largest, instances), (1, 1)]))


def all_entries(largest: int, instances: int) -> list[EntryKey]:
    """What a table has when it is complete."""
    between = [(size, instances) for size in BETWEEN if size < largest]
    return list(dict.fromkeys([*coarse_entries(largest, instances), *between, (largest, 1)]))


def make_table(windows: Mapping[EntryKey, Sequence[Window]], instances: int) -> Table:
    """The table of these measurements.

    Args:
        windows: of each entry that was measured; of batches of 1 with all instances busy at least.
    """
    measured = {key: found for key, found in windows.items() if found}
    sizes = sorted(size for size, busy in measured if busy == instances)
    alone = [size for size in sizes if (size, 1) in measured]
    factors = [cycle_seconds(measured[size, instances]) / cycle_seconds(measured[size, 1]) for size in alone]
    full = max(1.0, fmean(factors)) if factors else 1.0
    slowdown = [1 + (full - 1) * (busy - 1) / max(1, instances - 1) for busy in range(1, instances + 1)]
    cycles = {size: cycle_seconds(measured[size, instances]) / full for size in sizes}
    reply = min(_REPLY_SECONDS, cycles[sizes[0]] / 20)
    entries = {size: Entry(cycle - reply, _residuals(measured[size, instances])) for size, cycle in cycles.items()}
    return Table(
        service=ServiceTimes(entries, slowdown, reply),
        windows=measured,
        variation=_variation(list(measured.values())),
        is_clean=all(any(window.is_clean for window in found) for found in measured.values()),
        is_coarse=not set(all_entries(sizes[-1], instances)) <= measured.keys(),
    )


def cycle_seconds(windows: Sequence[Window]) -> float:
    """From one start of an instance to its next."""
    return median(window.latency_ms / 1e3 for window in _best(windows))


def _best(windows: Sequence[Window]) -> Sequence[Window]:
    """The clean ones; where there is none, those that lost least, as a guess is better than nothing where it is said to be one."""
    clean = [window for window in windows if window.is_clean]
    if clean:
        return clean
    lost = [window.processor.lost_share if window.processor is not None else 0.0 for window in windows]
    return [window for window, share in zip(windows, lost, strict=True) if share <= min(lost) + _NEARLY_LEAST]


def _residuals(windows: Sequence[Window]) -> tuple[float, ...]:
    taken = np.concatenate([window.latencies_ms / window.latencies_ms.mean() for window in _best(windows)])
    return tuple(taken.tolist())


def _variation(entries: Sequence[Sequence[Window]]) -> float:
    """The deviation of one window, from all entries together."""
    squares = weights = 0.0
    for windows in entries:
        cycles = [window.latency_ms for window in _best(windows)]
        if len(cycles) > 1:
            squares += (len(cycles) - 1) * (stdev(cycles) / fmean(cycles)) ** 2
            weights += len(cycles) - 1
    return math.sqrt(squares / weights) if weights else 0.0
