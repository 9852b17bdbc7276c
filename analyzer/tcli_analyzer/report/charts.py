"""The report's plots, as plain data for plotly.js."""

from typing import Any

from tcli_analyzer.configuration import Configuration
from tcli_analyzer.goal import Goal
from tcli_analyzer.load import ClosedLoad, Load
from tcli_analyzer.numbers import short
from tcli_analyzer.point import Point
from tcli_analyzer.recommendation import Recommendation

Figure = dict[str, Any]

# Okabe and Ito's palette: told apart by people who do not see all colours.
COLORS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#8c6d31", "#6b6ecf", "#637939", "#ad494a")
CURRENT_COLOR = "#444444"
PARTS = (
    ("queue", "queue_ms", "#bdbdbd"),
    ("compute input", "compute_input_ms", "#56b4e9"),
    ("compute infer", "compute_infer_ms", "#0072b2"),
    ("compute output", "compute_output_ms", "#009e73"),
    ("other", "other_ms", "#e69f00"),
)


def throughput_against_latency(points: list[Point], recommendation: Recommendation, goal: Goal) -> Figure:
    """A line a configuration, a marker a concurrency."""
    traces = []
    for index, (configuration, line) in enumerate(_lines(points).items()):
        chosen = configuration is recommendation.chosen.configuration
        color = CURRENT_COLOR if configuration.current else COLORS[index % len(COLORS)]
        traces.append(
            {
                "type": "scatter",
                "mode": "lines+markers+text",
                "name": f"<b>{configuration.label}</b>" if chosen else configuration.label,
                "x": [p.measured.latency_ms(0.99) for p in line],
                "y": [p.measured.throughput for p in line],
                "text": [_short_load(p.load) if chosen else "" for p in line],
                "textposition": "top center",
                "cliponaxis": False,
                "customdata": [
                    [p.load.label, p.measured.latency_ms(0.50), "" if p.is_clean else "<br>disturbed: at least this"]
                    for p in line
                ],
                "hovertemplate": f"{configuration.label}<br>%{{customdata[0]}}<br>%{{y:,.4~r}} infer/s"
                "<br>p99 %{x:.3g} ms, p50 %{customdata[1]:.3g} ms%{customdata[2]}<extra></extra>",
                "line": {
                    "color": color,
                    "width": 4 if chosen else 2,
                    "dash": "dash" if configuration.current else "solid",
                },
                "marker": {"size": 10 if chosen else 7, "symbol": _symbols(line)},
            }
        )
    layout: dict[str, Any] = {
        "xaxis": {"title": {"text": "p99 latency (ms)"}, "rangemode": "tozero"},
        "yaxis": {"title": {"text": "throughput (infer/s)"}, "rangemode": "tozero"},
        "legend": {"orientation": "h", "yref": "container", "y": 0, "yanchor": "bottom"},
        "height": 480,
    }
    if goal.latency_budget_ms is not None:
        limit = goal.latency_budget_ms
        line_style = {"color": "#d55e00", "dash": "dot", "width": 2}
        layout["shapes"] = [
            {"type": "line", "x0": limit, "x1": limit, "y0": 0, "y1": 1, "yref": "paper", "line": line_style}
        ]
        layout["annotations"] = [
            {
                "x": limit,
                "y": 1,
                "yref": "paper",
                "yanchor": "bottom",
                "text": f"budget {limit:g} ms",
                "showarrow": False,
            }
        ]
    return {"data": traces, "layout": layout}


def load_order(load: Load) -> tuple[bool, float]:
    """Closed loops first, then rates, the smaller first."""
    return (False, load.concurrency) if isinstance(load, ClosedLoad) else (True, load.rate)


def _short_load(load: Load) -> str:
    return f"c = {load.concurrency}" if isinstance(load, ClosedLoad) else f"{load.rate:.4g}/s"


def _symbols(line: list[Point]) -> list[str]:
    return ["circle" if point.is_clean else "circle-open" for point in line]


def _lines(points: list[Point]) -> dict[Configuration, list[Point]]:
    """Each configuration's points by load, those included that another one's measurement stands for."""
    lines: dict[Configuration, list[Point]] = {}
    for point in points:
        for configuration in (point.configuration, *point.same):
            lines.setdefault(configuration, []).append(point)
    return {configuration: sorted(line, key=lambda p: load_order(p.load)) for configuration, line in lines.items()}


def heat_map(points: list[Point], goal: Goal) -> Figure:
    """Best throughput of each batch size and instance count, among the points within the latency budget."""
    best: dict[tuple[int, int], Point] = {}
    for configuration, line in _lines(points).items():
        key = (configuration.max_batch_size, configuration.instances)
        for point in line:
            if goal.allows(point.measured) and (key not in best or _faster(point, best[key])):
                best[key] = point
    batches = sorted({batch for batch, _ in best})
    instances = sorted({count for _, count in best})
    cells = [[best.get((batch, count)) for batch in batches] for count in instances]
    return {
        "data": [
            {
                "type": "heatmap",
                "x": [str(batch) if batch else "none" for batch in batches],
                "y": [str(count) for count in instances],
                "z": [[cell.measured.throughput if cell else None for cell in row] for row in cells],
                "text": [[_cell_text(cell) if cell else "" for cell in row] for row in cells],
                "texttemplate": "%{text}",
                "hoverinfo": "skip",
                "colorscale": [[0, "#f1f6fb"], [1, "#5a9fd4"]],
                "showscale": False,
                "xgap": 3,
                "ygap": 3,
            }
        ],
        "layout": {
            "xaxis": {"title": {"text": "max_batch_size"}, "type": "category", "showgrid": False},
            "yaxis": {"title": {"text": "instances"}, "type": "category", "showgrid": False},
        },
    }


def _cell_text(point: Point) -> str:
    disturbed = "" if point.is_clean else "<br>or more"
    return f"<b>{short(point.measured.throughput)}</b>{disturbed}<br>{_short_load(point.load)}"


def _faster(one: Point, other: Point) -> bool:
    return one.measured.throughput > other.measured.throughput


def latency_split(points: list[Point], by_concurrency: bool) -> Figure:
    """Stacked bars of where the average latency goes, one bar a point.

    Args:
        by_concurrency: the bars are one configuration's loads; otherwise each is another configuration.
    """
    names = [
        _short_load(p.load) if by_concurrency else f"{_two_lines(p.configuration.label)} ({_short_load(p.load)})"
        for p in points
    ]
    traces = [
        {
            "type": "bar",
            "orientation": "h",
            "name": name,
            "y": names,
            "x": [getattr(point.measured, attribute) for point in points],
            "marker": {"color": color},
            "hovertemplate": f"{name}: %{{x:.3g}} ms<extra></extra>",
        }
        for name, attribute, color in PARTS
    ]
    return {
        "data": traces,
        "layout": {
            "barmode": "stack",
            "height": 150 + 42 * len(points),
            "xaxis": {"title": {"text": "average latency (ms)"}},
            "yaxis": {"autorange": "reversed", "automargin": True},
            "legend": {"orientation": "h", "yref": "container", "y": 1, "yanchor": "top", "traceorder": "normal"},
        },
    }


def _two_lines(label: str) -> str:
    """Narrow screens have no room for a long label in one line."""
    return label.replace(" (", "<br>(") if "(" in label else label.replace(", ", ",<br>")
