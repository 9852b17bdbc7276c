"""Prediction against measurement: a dot a point, the diagonal is where both are the same."""

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes

from tcli_analyzer.numbers import short
from tcli_analyzer.report.drawing import BLUE, LINE, ORANGE, PINK, SOFT, Chart, Drawing, Shape, number_axis
from tcli_analyzer.searching.agreement import Compared

BAND = 0.1
_COLORS = (BLUE, ORANGE, PINK)


def predicted_chart(compared: Mapping[str, Sequence[Compared]]) -> Chart | None:
    """None where nothing was compared."""
    if not any(compared.values()):
        return None
    kinds = [kind for kind, ones in compared.items() if ones]
    panels = (
        (
            "inferences per second",
            "infer/s",
            {kind: [(one.place, *one.throughput) for one in compared[kind]] for kind in kinds},
        ),
        ("p99 latency (ms)", "ms", {kind: [(one.place, *one.p99_ms) for one in compared[kind]] for kind in kinds}),
    )

    def draw(shape: Shape) -> Drawing:
        drawing = Drawing(shape, 600 if shape.is_narrow else 350)
        every = drawing.axes(2, 1) if shape.is_narrow else drawing.axes(1, 2)
        for axes, (name, unit, pairs) in zip(every, panels, strict=True):
            _panel(drawing, axes, unit, pairs)
            axes.set_title(name, loc="left", fontweight="bold")
            axes.set_xlabel("predicted")
            axes.set_ylabel("measured")
        return drawing

    key = tuple(zip(_COLORS, kinds, strict=False))
    return Chart("prediction", "Measured values against predicted ones: throughput and p99 latency", draw, key)


def _panel(drawing: Drawing, axes: Axes, unit: str, pairs: Mapping[str, Sequence[tuple[str, float, float]]]) -> None:
    values = [value for found in pairs.values() for _, *pair in found for value in pair if value > 0]
    for axis in (axes.xaxis, axes.yaxis):
        number_axis(axis, values)
    ends = [min(values, default=1.0) / 3, 1.5 * max(values, default=1.0)]
    axes.fill_between(
        ends, [end / (1 + BAND) for end in ends], [end * (1 + BAND) for end in ends], color=LINE, zorder=0
    )
    axes.plot(ends, ends, color=SOFT, linewidth=1.2, zorder=1)
    for color, found in zip(_COLORS, pairs.values(), strict=False):
        for place, predicted, measured in found:
            if predicted > 0 and measured > 0:
                text = f"{place}: predicted {short(predicted)}, measured {short(measured)} {unit} ({measured / predicted - 1:+.0%})"
                drawing.dot(axes, predicted, measured, text, marker="o", color=color, zorder=2)
