"""The table of results as perf_analyzer writes it."""

import csv
from collections.abc import Sequence
from typing import TextIO

from tcli_analyzer.load import ClosedLoad
from tcli_analyzer.perf.measured import Measured

USUAL_PERCENTILES = (50, 90, 95, 99)


def percentiles(own: int | None) -> tuple[int, ...]:
    """Those that are shown: the usual ones, and the one that was asked for."""
    return tuple(sorted({*USUAL_PERCENTILES, *([own] if own else [])}))


def write_csv(file: TextIO, results: Sequence[Measured], own_percentile: int | None, verbose: bool) -> None:
    """A line for each load, by rising throughput; times in whole microseconds.

    Args:
        own_percentile: as `PerfOptions.percentile`.
        verbose: also averages.
    """
    counted = all(result.server is not None for result in results)
    cached = counted and any(result.counters.cache_hits or result.counters.cache_misses for result in results)
    shown = percentiles(own_percentile)
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(_heading(results, shown, counted, cached, own_percentile, verbose))
    for result in sorted(results, key=lambda each: each.throughput):
        writer.writerow(_row(result, shown, counted, cached, own_percentile, verbose))


def _heading(
    results: Sequence[Measured], shown: Sequence[int], counted: bool, cached: bool, own: int | None, verbose: bool
) -> list[str]:
    closed = all(isinstance(result.load, ClosedLoad) for result in results)
    names = ["Concurrency" if closed else "Request Rate", "Inferences/Second", "Client Send"]
    names.append("Network+Server Send/Recv")
    if counted:
        names += ["Server Queue", "Server Compute Input", "Server Compute Infer", "Server Compute Output"]
    if cached:
        names += ["Server Cache Hit", "Server Cache Miss"]
    names.append("Client Recv")
    names += [f"p{share} latency" for share in shown]
    if verbose:
        names += [*([] if own else ["Avg latency"]), "request/response", "response wait"]
    return names


def _row(
    result: Measured, shown: Sequence[int], counted: bool, cached: bool, own: int | None, verbose: bool
) -> list[str]:
    load = result.load
    cells = [str(load.concurrency) if isinstance(load, ClosedLoad) else f"{load.rate:g}", f"{result.throughput:.6g}"]
    cells += [_whole(result.delay_us), _whole(result.network_us)]
    server = result.server
    if counted and server is not None:
        parts = [server.queue, server.compute_input, server.compute_infer, server.compute_output]
        cells += map(_whole, parts + ([server.cache_hit, server.cache_miss] if cached else []))
    cells.append("0")  # answers are counted, not read
    cells += [_whole(1e3 * result.percentile(share / 100).value) for share in shown]
    if verbose:
        cells += map(_whole, [*([] if own else [result.average_us]), result.delay_us, result.service_us])
    return cells


def _whole(microseconds: float) -> str:
    return str(int(microseconds))
