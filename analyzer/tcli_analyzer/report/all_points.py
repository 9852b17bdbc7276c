"""The table of all that was measured."""

from tcli_analyzer.analysis import Analysis
from tcli_analyzer.numbers import short
from tcli_analyzer.point import Point
from tcli_analyzer.recommendation import Recommendation
from tcli_analyzer.report.charts.cells import short_load
from tcli_analyzer.report.parts import Row, Section, Table
from tcli_analyzer.results.rows import is_recommended
from tcli_analyzer.results.samples import Sample, Stage, samples

_STAGES = {Stage.FINAL: "final: ", Stage.CHECK: "check: ", Stage.RATE: "rate: ", Stage.SEARCH: ""}
_HEADS = (
    "configuration", "load", "infer/s", "avg", "p50", "p90", "p95", "p99", "queue", "input", "infer", "output", "other", "batch",
    "CPU ms", "lost %", "RSS MiB",
)  # fmt: skip
_EXTRA = frozenset((3, 5, 6, 8, 9, 10, 11, 12, 13, 14, 15, 16))


def all_points(analysis: Analysis) -> Section:
    """Finalists first."""
    recommendation = analysis.recommendation
    assert recommendation is not None
    every = samples(analysis)
    every.sort(key=lambda sample: sample.stage is not Stage.FINAL)
    with_gpu = any(sample.point.measured.gpu for sample in every)
    heads = (*_HEADS, *(("GPU %", "GPU MiB") if with_gpu else ()), "clean")
    extra = _EXTRA | ({len(_HEADS), len(_HEADS) + 1} if with_gpu else frozenset())
    rows = tuple(_row(sample, recommendation, with_gpu, len(heads) - 1) for sample in every)
    return Section(
        "All points",
        "Times in ms. Load: c, so many requests outstanding; /s, requests per second; x, items in each. CPU: processor time of an inference, load generator included. Lost: the share of processor time that others "
        "took. RSS: resident memory. Clean: windows that nobody disturbed, of all; values are of those where there are any. A star "
        "marks the recommendation. results.csv has more columns, results.json every window.",
        tables=(Table(heads, rows, extra),),
    )


def _row(sample: Sample, recommendation: Recommendation, with_gpu: bool, last: int) -> Row:
    point = sample.point
    m = point.measured
    times = (m.latency_avg_ms, *(m.latency_ms(share) for share in (0.50, 0.90, 0.95, 0.99)))
    parts = [
        short(one) for one in (m.queue_ms, m.compute_input_ms, m.compute_infer_ms, m.compute_output_ms, m.other_ms)
    ]
    counted = [*parts, f"{m.batch_avg:.2g}"]
    chosen = is_recommended(recommendation, sample)
    cells = [f"{_STAGES[sample.stage]}{point.configuration.label}{' ★' if chosen else ''}", _short(point)]
    cells += [short(m.throughput), *map(short, times), *(counted if m.is_counted else [""] * len(counted))]
    cells.append(short(m.cpu_ms_per_inference) if m.cpu_ms_per_inference is not None else "")
    cells += [f"{100 * m.lost_share:.1f}" if m.lost_share is not None else "", f"{m.memory_mib:.0f}"]
    if with_gpu:
        cells += [f"{m.gpu.utilisation_percent:.0f}", f"{m.gpu.memory_mib:.0f}"] if m.gpu else ["", ""]
    cells.append(f"{len(point.windows.clean.windows)}/{len(point.windows.windows)}")
    return Row(tuple(cells), chosen, frozenset() if point.is_clean else frozenset((last,)))


def _short(point: Point) -> str:
    shown = short_load(point.load)
    return f"{shown} x {point.items}" if point.items > 1 else shown
