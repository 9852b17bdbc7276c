"""The table of results as perf_analyzer writes it."""

import csv
from collections.abc import Sequence
from typing import TextIO

from tcli_analyzer.load import ClosedLoad
from tcli_analyzer.perf.measured import Measured

USUAL_PERCENTILES = (50, 90, 95, 99)

_LAST_DIGIT_US = 1e-4
"""A tenth of a nanosecond: the last digit of a float, which makes 1000.9999999999999 of 1001 us, is not to count."""


def percentiles(own: int | None) -> tuple[int, ...]:
    """Those that are shown: the usual ones, and the one that was asked for."""
    return tuple(sorted({*USUAL_PERCENTILES, *([own] if own else [])}))


def write_csv(file: TextIO, results: Sequence[Measured], own_percentile: int | None, verbose: bool) -> None:
    """A line for each load, by rising throughput; times in whole microseconds, with the rest cut off as perf_analyzer does.

    Args:
        own_percentile: as `PerfOptions.percentile`.
        verbose: also averages.
    """
    layout = _Layout(results, own_percentile, verbose)
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(layout.heading)
    writer.writerows(layout.row(result) for result in sorted(results, key=lambda each: each.throughput))


class _Layout:
    """Which columns there are: some only where every load, or any, has something for them."""

    def __init__(self, results: Sequence[Measured], own_percentile: int | None, verbose: bool) -> None:
        self._closed = all(isinstance(result.load, ClosedLoad) for result in results)
        self._streamed = any(result.response_throughput for result in results)
        self._counted = all(result.server is not None for result in results)
        self._cached = self._counted and any(
            result.counters.cache_hits or result.counters.cache_misses for result in results
        )
        self._percentiles = percentiles(own_percentile)
        self._averages = verbose
        self._average = verbose and not own_percentile

    @property
    def heading(self) -> list[str]:
        names = ["Concurrency" if self._closed else "Request Rate", "Inferences/Second"]
        names += ["Response Throughput"] if self._streamed else []
        names += ["Client Send", "Network+Server Send/Recv"]
        if self._counted:
            names += ["Server Queue", "Server Compute Input", "Server Compute Infer", "Server Compute Output"]
        names += ["Server Cache Hit", "Server Cache Miss"] if self._cached else []
        names += ["Client Recv", *(f"p{share} latency" for share in self._percentiles)]
        names += ["Avg latency"] if self._average else []
        return names + (["request/response", "response wait"] if self._averages else [])

    def row(self, result: Measured) -> list[str]:
        load = result.load
        cells = [str(load.concurrency) if isinstance(load, ClosedLoad) else f"{load.rate:g}"]
        cells.append(f"{result.throughput:.6g}")
        cells += [f"{result.response_throughput:.6g}"] if self._streamed else []
        times = [result.delay_us, result.network_us]
        server = result.server
        if self._counted and server is not None:
            times += [server.queue, server.compute_input, server.compute_infer, server.compute_output]
            times += [server.cache_hit, server.cache_miss] if self._cached else []
        times.append(0.0)  # answers are counted, not read
        times += [1e3 * result.percentile(share / 100).value for share in self._percentiles]
        times += [result.average_us] if self._average else []
        times += [result.delay_us, result.service_us] if self._averages else []
        return cells + [str(int(time + _LAST_DIGIT_US)) for time in times]
