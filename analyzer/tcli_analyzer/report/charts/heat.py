"""Heat maps: the best value of each batch size and instance count, or of what else the space varies."""

from collections.abc import Mapping

from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from tcli_analyzer.report.charts.cells import Panels, Spot
from tcli_analyzer.report.drawing import INK, SOFT, Chart, Drawing, Shape

_PREDICTED_EDGE, _EDGE = "#7a8794", "#c9d2db"


def heat_chart(panels: Panels, what: str) -> Chart:
    """A map an engine and precision.

    Args:
        what: the values are, such as "highest throughput".
    """
    right = [spot.value for cells in panels.cells.values() for spot in cells.values() if spot.rank < 2] or [1.0]
    low, high = min(right), max(right)

    def color(spot: Spot) -> str:
        return "#ffffff" if spot.rank == 2 else _color((spot.value - low) / (high - low or 1))

    def draw(shape: Shape) -> Drawing:
        count = len(panels.cells)
        per_row = 1 if shape.is_narrow else min(count, 2 if len(panels.columns) > 4 else 3)
        lines = -(-count // per_row)
        drawing = Drawing(shape, lines * (92 + 42 * len(panels.rows)) + 8)
        every = drawing.axes(lines, per_row)
        for axes in every[count:]:
            axes.set_axis_off()
        for axes, (family, cells) in zip(every, panels.cells.items(), strict=False):
            colors = {key: color(spot) for key, spot in cells.items()}
            _panel(drawing, axes, panels, cells, colors)
            axes.set_xlabel(panels.across.name)
            axes.set_ylabel(panels.down.name)
            if count > 1:
                axes.set_title(family or "as the model says", loc="left", fontweight="bold")
        return drawing

    return Chart("heat-map", f"{what} by {panels.across.name} and {panels.down.name}", draw)


def _panel(
    drawing: Drawing,
    axes: Axes,
    panels: Panels,
    cells: Mapping[tuple[str, str], Spot],
    colors: Mapping[tuple[str, str], str],
) -> None:
    axes.grid(visible=False)
    for x, (_, column) in enumerate(panels.columns):
        for y, (_, row) in enumerate(panels.rows):
            spot = cells.get((column, row))
            if spot is None:
                axes.text(x + 0.5, y + 0.5, "–", ha="center", va="center", color=SOFT)
                continue
            _cell(drawing, axes, (x, y), spot, colors[column, row])
    axes.set_xlim(0, len(panels.columns))
    axes.set_ylim(0, len(panels.rows))
    axes.set_xticks([x + 0.5 for x in range(len(panels.columns))], [text for _, text in panels.columns])
    axes.set_yticks([y + 0.5 for y in range(len(panels.rows))], [text for _, text in panels.rows])
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _cell(drawing: Drawing, axes: Axes, at: tuple[int, int], spot: Spot, color: str) -> None:
    x, y = at
    is_predicted = spot.rank == 1
    box = Rectangle(
        (x + 0.03, y + 0.04), 0.94, 0.92, facecolor=color, edgecolor=_PREDICTED_EDGE if is_predicted else _EDGE,
        linewidth=1, linestyle=":" if is_predicted else "-",
    )  # fmt: skip
    axes.add_patch(box)
    drawing.title_of(box, spot.title)
    slant = "italic" if is_predicted else "normal"
    weight = "normal" if is_predicted else "bold"
    small = drawing.shape.font - 2
    axes.text(x + 0.5, y + 0.55, spot.shown, ha="center", va="bottom", color=INK, fontweight=weight, fontstyle=slant)
    axes.text(x + 0.5, y + 0.46, spot.below, ha="center", va="top", color=INK, fontsize=small, fontstyle=slant)


def _color(share: float) -> str:
    """From nearly white to a blue on which dark words are read well."""
    low, high = (0xF1, 0xF6, 0xFB), (0x6F, 0xAF, 0xDD)
    return "#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in zip(low, high, strict=True))
