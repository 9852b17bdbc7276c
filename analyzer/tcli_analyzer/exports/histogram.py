"""Latencies as HdrHistogram's text, which its plotter and others draw."""

import math

import numpy as np

_TICKS = 5
"""In each half of what is left to 100 %."""


def write_histogram(latencies_ms: np.ndarray) -> str:
    """The whole distribution: value in ms, share, count up to there, 1 / (1 - share).

    Args:
        latencies_ms: float64 [n], at least one.
    """
    ordered = np.sort(np.asarray(latencies_ms, np.float64))
    count = len(ordered)
    lines = [f"{'Value':>12} {'Percentile':>14} {'TotalCount':>10} {'1/(1-Percentile)':>14}", ""]
    share = 0.0
    while True:
        rank = max(1, math.ceil(share * count - 1e-9))
        value = float(ordered[rank - 1])
        if rank == count:
            break
        reached = int(np.searchsorted(ordered, value, side="right"))
        lines.append(f"{value:12.3f} {share:14.12f} {reached:10d} {1 / (1 - share):14.2f}")
        halvings = math.floor(math.log2(1 / (1 - share))) + 1
        share += (1 - share if share == 1 else 2.0**-halvings) / _TICKS
    lines.append(f"{float(ordered[-1]):12.3f} {1.0:14.12f} {count:10d}")
    lines += [
        f"#[Mean    = {float(ordered.mean()):12.3f}, StdDeviation   = {float(ordered.std()):12.3f}]",
        f"#[Max     = {float(ordered[-1]):12.3f}, Total count    = {count:12d}]",
        f"#[Buckets = {1:12d}, SubBuckets     = {count:12d}]",
    ]
    return "\n".join(lines) + "\n"
