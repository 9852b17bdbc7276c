"""Throughput against latency: what was measured, the front that nothing beats, and the finalists."""

from matplotlib.axes import Axes

from tcli_analyzer.goal import Goal
from tcli_analyzer.numbers import short
from tcli_analyzer.point import Point
from tcli_analyzer.report.drawing import COLORS, INK, RED, Chart, Drawing, Shape, number_axis
from tcli_analyzer.report.letters import Letters
from tcli_analyzer.summary import family_of

_BLACK = "#000000"


def front_chart(points: list[Point], letters: Letters, wrong: set[object], goal: Goal) -> Chart:
    """Points of the search, and of the finals in their place.

    Args:
        wrong: configurations that cannot win, as their answers are others or may be.
    """
    finalists = list(letters.finalists)
    raced = {(point.configuration, point.load) for point in finalists}
    searched = [point for point in points if (point.configuration, point.load) not in raced]
    families = list(dict.fromkeys(family_of(point.configuration) for point in (*finalists, *searched)))
    colors = {family: COLORS[number % len(COLORS)] for number, family in enumerate(families)}
    fit = [p for p in (*searched, *finalists) if p.configuration not in wrong and not p.configuration.wrong_batches]
    front = _front([point for point in fit if point.is_clean])

    def draw(shape: Shape) -> Drawing:
        drawing = Drawing(shape, 330 if shape.is_narrow else 430)
        (axes,) = drawing.axes()
        every = [*searched, *finalists]
        number_axis(axes.xaxis, [_x(point) for point in every])
        rates = [window.throughput for point in finalists for window in point.measured.windows]
        number_axis(axes.yaxis, [*(_y(point) for point in every), *rates])
        axes.plot([_x(p) for p in front], [_y(p) for p in front], color="#9aa6b2", linewidth=1.5, zorder=1)
        for point in searched:
            marker = "X" if point.configuration in wrong or point.configuration.wrong_batches else "o"
            color = colors[family_of(point.configuration)]
            face = color if point.is_clean else "white"
            drawing.dot(
                axes, _x(point), _y(point), _words(point), marker=marker, color=color, markerfacecolor=face,
                markersize=8 if marker == "X" else 6, alpha=0.9, zorder=2,
            )  # fmt: skip
        for point in finalists:
            _finalist(drawing, axes, point, letters.of(point.configuration), colors[family_of(point.configuration)])
        if goal.latency_budget_ms is not None:
            axes.axvline(goal.latency_budget_ms, color=RED, linestyle=":", linewidth=2)
            axes.annotate(
                f"budget {goal.latency_budget_ms:g} ms", (goal.latency_budget_ms, 1), xycoords=("data", "axes fraction"),
                textcoords="offset points", xytext=(-4, -4), ha="right", va="top",
            )  # fmt: skip
        axes.set_xlabel("p99 latency (ms)")
        axes.set_ylabel("inferences per second")
        return drawing

    key = [(letters.of(point.configuration), point.configuration.label) for point in finalists]
    if len(families) > 1:
        key += [(colors[family], family) for family in families]
    return Chart(
        "front", "Inferences per second against p99 latency, of all points and of the finalists", draw, tuple(key)
    )


def _finalist(drawing: Drawing, axes: Axes, point: Point, letter: str, color: str) -> None:
    """With the interval of its p99, and the span of its windows."""
    clean = point.measured
    known = clean.percentile(0.99)
    rates = [window.throughput for window in clean.windows]
    x, y = _x(point), _y(point)
    left, right = (x - known.low, known.high - x) if known.is_known else (0.0, 0.0)
    axes.errorbar(
        [x], [y], xerr=[[max(0.0, left)], [max(0.0, right)]], yerr=[[y - min(rates)], [max(rates) - y]],
        color=color, linewidth=1.5, capsize=3, zorder=3,
    )  # fmt: skip
    face = color if point.is_clean else "white"
    drawing.dot(
        axes, x, y, f"{letter}: {_words(point)} (finals)", marker="o", color=color, markerfacecolor=face,
        markersize=13 if drawing.shape.is_narrow else 17, markeredgecolor=INK, zorder=4,
    )  # fmt: skip
    ink = "white" if color in ("#0072b2", "#d55e00", "#8c6d31", "#6b6ecf") and point.is_clean else _BLACK
    axes.annotate(
        letter,
        (x, y),
        ha="center",
        va="center_baseline",
        color=ink,
        fontweight="bold",
        fontsize=drawing.shape.font - (2 if drawing.shape.is_narrow else 0),
        zorder=5,
    )


def _front(points: list[Point]) -> list[Point]:
    """Those that no other one beats in both."""
    found: list[Point] = []
    for point in sorted(points, key=lambda one: (_x(one), -_y(one))):
        if not found or _y(point) > _y(found[-1]):
            found.append(point)
    return found


def _x(point: Point) -> float:
    return point.measured.latency_ms(0.99)


def _y(point: Point) -> float:
    return point.measured.throughput


def _words(point: Point) -> str:
    m = point.measured
    disturbed = "" if point.is_clean else "; disturbed: at least this"
    return (
        f"{point.place}: {short(m.throughput)} infer/s, p50 {short(m.latency_ms(0.5))} ms, "
        f"p99 {short(m.latency_ms(0.99))} ms{disturbed}"
    )
