"""Latency against the rate of requests: open loops of the search, and probes for the highest rate."""

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes

from tcli_analyzer.configuration import Configuration
from tcli_analyzer.measuring.window import Windows
from tcli_analyzer.numbers import short
from tcli_analyzer.rate.found import RateFound
from tcli_analyzer.report.drawing import COLORS, INK, RED, Chart, Drawing, Shape, number_axis
from tcli_analyzer.results.samples import Sample, Stage

LEAST_POINTS = 3


@dataclass(frozen=True)
class _At:
    rate: float
    windows: Windows
    counts: bool


def rates_chart(samples: Sequence[Sample], found: Sequence[RateFound]) -> Chart | None:
    """None where hardly anything was measured at a rate."""
    lines: dict[Configuration, list[_At]] = {}
    for sample in samples:
        rate = getattr(sample.point.load, "rate", None)
        if rate is not None and sample.stage is not Stage.CHECK and sample.point.measured.requests:
            counts = sample.probe.counts if sample.probe is not None else sample.point.is_clean
            lines.setdefault(sample.point.configuration, []).append(_At(rate, sample.point.measured, counts))
    if sum(map(len, lines.values())) < LEAST_POINTS:
        return None
    colors = {configuration: COLORS[number % len(COLORS)] for number, configuration in enumerate(lines)}
    limits = dict.fromkeys(one for rate in found for one in rate.slo.conditions if one.share is not None)

    def draw(shape: Shape) -> Drawing:
        drawing = Drawing(shape, 320 if shape.is_narrow else 380)
        (axes,) = drawing.axes()
        every = [one for line in lines.values() for one in line]
        number_axis(axes.xaxis, [one.rate for one in every], log_from=30)
        number_axis(axes.yaxis, [*(_p99(one) for one in every), *(limit.limit_ms for limit in limits)])
        for configuration, line in lines.items():
            _line(drawing, axes, configuration, sorted(line, key=lambda one: one.rate), colors[configuration])
        for limit in limits:
            axes.axhline(limit.limit_ms, color=RED, linestyle=":", linewidth=2)
            axes.annotate(
                limit.text, (0, limit.limit_ms), xycoords=("axes fraction", "data"), xytext=(4, 3),
                textcoords="offset points", va="bottom",
            )  # fmt: skip
        for one in found:
            if one.low and one.high:
                axes.axvspan(one.low, one.high, color=colors.get(one.configuration, INK), alpha=0.15, linewidth=0)
            if one.rate:
                axes.axvline(one.rate, color=colors.get(one.configuration, INK), linewidth=1.5)
        axes.set_xlabel("requests per second")
        axes.set_ylabel("p99 latency (ms)")
        return drawing

    key = tuple((color, configuration.label) for configuration, color in colors.items())
    return Chart("rates", "p99 latency against the rate of requests", draw, key)


def _line(drawing: Drawing, axes: Axes, configuration: Configuration, line: list[_At], color: str) -> None:
    counted = [one for one in line if one.counts]
    axes.plot([one.rate for one in counted], [_p99(one) for one in counted], color=color, linewidth=1.2, alpha=0.6)
    for one in line:
        left_out = "" if one.counts else "; disturbed, left out"
        drawing.dot(
            axes, one.rate, _p99(one),
            f"{configuration.label}, {one.rate:.4g} requests/s: p99 {short(_p99(one))} ms of {one.windows.requests} requests{left_out}",
            marker="o", color=color, markerfacecolor=color if one.counts else "white",
        )  # fmt: skip


def _p99(one: _At) -> float:
    return one.windows.latency_ms(0.99)
