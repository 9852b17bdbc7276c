"""Where the time of an average request goes, as stacked bars."""

import textwrap

from tcli_analyzer.numbers import short
from tcli_analyzer.point import Point
from tcli_analyzer.report.drawing import BLUE, GREEN, ORANGE, SKY, Chart, Drawing, Shape

PARTS = (
    ("queue", "queue_ms", "#bdbdbd"),
    ("input", "compute_input_ms", SKY),
    ("infer", "compute_infer_ms", BLUE),
    ("output", "compute_output_ms", GREEN),
    ("other", "other_ms", ORANGE),
)
_LINE, _BAR, _GAP = 16.0, 17.0, 7.0
"""Pixels: of a line of a name, of a bar, and between two bars."""


def split_chart(name: str, bars: list[tuple[str, Point]]) -> Chart:
    """A bar a point, each under its name."""

    def draw(shape: Shape) -> Drawing:
        names = [textwrap.wrap(label, 48 if shape.is_narrow else 120) for label, _ in bars]
        total = sum(_LINE * len(lines) + _BAR + _GAP for lines in names)
        drawing = Drawing(shape, total + (100 if shape.is_narrow else 84))
        (axes,) = drawing.axes()
        axes.grid(visible=False, axis="y")
        for part, _, color in PARTS:
            axes.barh([0], [0], color=color, label=part)  # for the key alone
        top = 0.0
        for lines, (label, point) in zip(names, bars, strict=True):
            middle = top + _LINE * len(lines) + _BAR / 2
            start = 0.0
            for part, attribute, color in PARTS:
                value = getattr(point.measured, attribute)
                (bar,) = axes.barh([middle], [value], left=start, height=_BAR, color=color)
                drawing.title_of(bar, f"{label}: {part} {short(value)} ms")
                start += value
            axes.text(0, middle - _BAR / 2 - 2, "\n".join(lines), ha="left", va="bottom", linespacing=1.05)
            axes.text(start, middle, f" {short(start)} ms", ha="left", va="center")
            top = middle + _BAR / 2 + _GAP
        longest = max((point.measured.latency_avg_ms for _, point in bars), default=1.0)
        axes.set_xlim(0, longest * (1.28 if shape.is_narrow else 1.12))
        axes.set_ylim(top, 0)
        axes.set_yticks([])
        axes.set_xlabel("average latency (ms)")
        drawing.figure.legend(loc="outside upper left", ncols=3 if shape.is_narrow else 5, handlelength=1.0)
        return drawing

    return Chart(name, "Parts of the average latency: queue, input, infer, output, other", draw)
