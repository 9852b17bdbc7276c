"""Where the time of an average request goes, as stacked bars."""

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
_BAR = 0.42


def split_chart(name: str, bars: list[tuple[str, Point]]) -> Chart:
    """A bar a point, each under its name."""

    def draw(shape: Shape) -> Drawing:
        drawing = Drawing(shape, 62 + (44 if shape.is_narrow else 40) * len(bars) + (16 if shape.is_narrow else 0))
        (axes,) = drawing.axes()
        axes.grid(visible=False, axis="y")
        for part, attribute, color in PARTS:
            axes.barh([0], [0], color=color, label=part)  # for the key alone
            del attribute
        for row, (label, point) in enumerate(bars):
            start = 0.0
            for part, attribute, color in PARTS:
                value = getattr(point.measured, attribute)
                (bar,) = axes.barh([row], [value], left=start, height=_BAR, color=color)
                drawing.title_of(bar, f"{label}: {part} {short(value)} ms")
                start += value
            axes.text(0, row - _BAR / 2 - 0.06, label, ha="left", va="bottom")
            axes.text(start, row, f" {short(start)} ms", ha="left", va="center")
        longest = max((point.measured.latency_avg_ms for _, point in bars), default=1.0)
        axes.set_xlim(0, longest * (1.28 if shape.is_narrow else 1.12))
        axes.set_ylim(len(bars) - 0.6, -0.85)
        axes.set_yticks([])
        axes.set_xlabel("average latency (ms)")
        drawing.figure.legend(loc="outside upper left", ncols=3 if shape.is_narrow else 5, handlelength=1.0)
        return drawing

    return Chart(name, "Parts of the average latency: queue, input, infer, output, other", draw)
