"""Heat maps: the best value of each batch size and instance count, or of what else the space varies."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from math import isfinite

from matplotlib.axes import Axes

from tcli_analyzer.configuration import Configuration
from tcli_analyzer.goal import Goal, Objective
from tcli_analyzer.load import ClosedLoad
from tcli_analyzer.numbers import short
from tcli_analyzer.point import Point
from tcli_analyzer.report.drawing import INK, SOFT, Chart, Drawing, Shape
from tcli_analyzer.report.letters import family_of
from tcli_analyzer.space import read_settings

MOST_PANELS = 6
"""Engines and precisions that are shown: the fastest."""

_Cells = dict[tuple[str, str], Point]


@dataclass(frozen=True)
class Dimension:
    """One that configurations or loads differ in."""

    name: str
    read: Callable[[Point], tuple[float, str]]


def _configured(read: Callable[[Configuration], tuple[float, str]]) -> Callable[[Point], tuple[float, str]]:
    return lambda point: read(point.configuration)


def _preferred(configuration: Configuration) -> tuple[float, str]:
    sizes = read_settings(configuration.config).preferred_batch_sizes
    return float(sum(sizes)), "+".join(map(str, sizes)) or "any"


def _threads(configuration: Configuration) -> tuple[float, str]:
    threads = read_settings(configuration.config).threads
    return float(threads), str(threads) if threads else "own"


def _delay(configuration: Configuration) -> tuple[float, str]:
    delay = read_settings(configuration.config).queue_delay_us
    return float(delay), f"{delay / 1000:g} ms"


def _load(point: Point) -> tuple[float, str]:
    load = point.load
    return (
        (load.concurrency, f"c {load.concurrency}")
        if isinstance(load, ClosedLoad)
        else (1e6 + load.rate, f"{load.rate:.4g}/s")
    )


_DIMENSIONS = (
    Dimension("max_batch_size", _configured(lambda one: (one.max_batch_size, str(one.max_batch_size or "none")))),
    Dimension("instances", _configured(lambda one: (one.instances, str(one.instances)))),
    Dimension("threads of an instance", _configured(_threads)),
    Dimension("queue delay", _configured(_delay)),
    Dimension("preferred sizes", _configured(_preferred)),
    Dimension("graph level", _configured(lambda one: (level := read_settings(one.config).graph_level, str(level)))),
    Dimension("items in a request", lambda point: (point.items, str(point.items))),
    Dimension("load", _load),
)


def heat_chart(points: list[Point], goal: Goal, wrong: Collection[Configuration] = ()) -> Chart | None:
    """None where nothing varies.

    Args:
        wrong: configurations that cannot win; their cells say so.
    """
    usable = [point for point in points if goal.allows(point.measured) and isfinite(goal.value(point.measured))]
    varied = [one for one in _DIMENSIONS if len({one.read(point) for point in usable}) > 1]
    if not varied:
        return None
    across = varied[0]
    down = varied[1] if len(varied) > 1 else _DIMENSIONS[-1]
    columns = sorted({across.read(point) for point in usable})
    rows = sorted({down.read(point) for point in usable})
    barred = {id(point) for point in usable if point.configuration in wrong or point.configuration.wrong_batches}
    order = sorted(usable, key=lambda point: (id(point) in barred, -goal.value(point.measured)))
    panels = _panels(order, across, down)
    shown = [point for cells in panels.values() for point in cells.values()]
    values = [goal.value(point.measured) for point in shown if id(point) not in barred] or [1.0]
    low, high = min(values), max(values)

    def shade(point: Point) -> float | None:
        return None if id(point) in barred else (goal.value(point.measured) - low) / (high - low or 1)

    def draw(shape: Shape) -> Drawing:
        per_row = 1 if shape.is_narrow else min(len(panels), 2 if len(columns) > 4 else 3)
        lines = -(-len(panels) // per_row)
        drawing = Drawing(shape, lines * (74 + 42 * len(rows)) + 8)
        every = drawing.axes(lines, per_row)
        for axes in every[len(panels) :]:
            axes.set_axis_off()
        for axes, (family, cells) in zip(every, panels.items(), strict=False):
            _panel(drawing, axes, cells, columns, rows, shade, goal)
            axes.set_xlabel(across.name)
            axes.set_ylabel(down.name)
            if len(panels) > 1:
                axes.set_title(family or "as the model says", loc="left", fontweight="bold")
        return drawing

    what = "Lowest p99" if goal.objective is Objective.LATENCY else "Highest throughput"
    return Chart("heat-map", f"{what} by {across.name} and {down.name}", draw)


def _panels(points: list[Point], across: Dimension, down: Dimension) -> dict[str, _Cells]:
    """Of points in the order of their worth."""
    panels: dict[str, _Cells] = {}
    for point in points:
        for configuration in (point.configuration, *point.same):
            own = Point(configuration, point.load, point.windows)
            family = family_of(configuration)
            if family in panels or len(panels) < MOST_PANELS:
                panels.setdefault(family, {}).setdefault((across.read(own)[1], down.read(own)[1]), point)
    return panels


def _panel(
    drawing: Drawing,
    axes: Axes,
    cells: _Cells,
    columns: list[tuple[float, str]],
    rows: list[tuple[float, str]],
    shade: Callable[[Point], float | None],
    goal: Goal,
) -> None:
    from matplotlib.patches import Rectangle

    axes.grid(visible=False)
    for x, (_, column) in enumerate(columns):
        for y, (_, row) in enumerate(rows):
            point = cells.get((column, row))
            share = shade(point) if point is not None else None
            color = _color(share) if share is not None else "#ffffff"
            cell = Rectangle((x + 0.02, y + 0.03), 0.96, 0.94, facecolor=color, edgecolor="#c9d2db", linewidth=0.8)
            axes.add_patch(cell)
            if point is None:
                axes.text(x + 0.5, y + 0.5, "–", ha="center", va="center", color=SOFT)
                continue
            wrong = ": its answers are others, so it cannot win" if share is None else ""
            drawing.title_of(cell, f"{point.place}{'' if point.is_clean else ' (disturbed: or better)'}{wrong}")
            best = goal.objective is Objective.LATENCY
            value = point.measured.latency_ms(0.99) if best else point.measured.throughput
            small = drawing.shape.font - 2
            axes.text(x + 0.5, y + 0.56, short(value), ha="center", va="bottom", color=INK, fontweight="bold")
            below = _load(point)[1] if share is not None else "wrong"
            axes.text(x + 0.5, y + 0.46, below, ha="center", va="top", color=INK, fontsize=small)
    axes.set_xlim(0, len(columns))
    axes.set_ylim(0, len(rows))
    axes.set_xticks([x + 0.5 for x in range(len(columns))], [text for _, text in columns])
    axes.set_yticks([y + 0.5 for y in range(len(rows))], [text for _, text in rows])
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _color(share: float) -> str:
    """From nearly white to a blue on which dark words are read well."""
    low, high = (0xF1, 0xF6, 0xFB), (0x6F, 0xAF, 0xDD)
    return "#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in zip(low, high, strict=True))
