"""What finalists gain: each comparison with its interval and its pairs."""

from math import expm1, isfinite, log

from tcli_analyzer.report.drawing import BLUE, INK, LINE, ORANGE, SOFT, Chart, Drawing, Shape
from tcli_analyzer.report.letters import Letters
from tcli_analyzer.results.finals import Duel


def gains_chart(duels: list[Duel], letters: Letters, tie: float, what: str) -> Chart:
    """A row a comparison, those with the current configuration first.

    Args:
        what: is gained, such as "more throughput".
    """

    def draw(shape: Shape) -> Drawing:
        drawing = Drawing(shape, 76 + (50 if shape.is_narrow else 44) * len(duels))
        (axes,) = drawing.axes()
        axes.grid(visible=False, axis="y")
        axes.axvspan(-100 * tie, 100 * tie, color=LINE, zorder=0)
        axes.axvline(0, color=SOFT, linewidth=1.2, zorder=1)
        low, high = _limits(duels, tie)
        for row, duel in enumerate(duels):
            found = duel.compared
            name = f"{letters.of(duel.one.configuration)} over {letters.of(duel.other.configuration)}"
            for number, ratio in enumerate(duel.ratios):
                percent = 100 * (ratio - 1)
                drawing.dot(
                    axes, min(high, max(low, percent)), row + 0.2, f"{name}, pair {number + 1}: {percent:+.1f} %",
                    marker="o", markersize=4, color=ORANGE, alpha=0.75, zorder=2,
                )  # fmt: skip
            left, right = max(low, 100 * found.low), min(high, 100 * found.high)
            axes.plot([left, right], [row, row], color=BLUE, linewidth=3, zorder=3, solid_capstyle="butt")
            if duel.ratios:
                drawing.dot(
                    axes, 100 * found.gain, row, f"{name}: {text_of(duel)}", marker="D", markersize=8, color=BLUE,
                    markeredgecolor=INK, zorder=4,
                )  # fmt: skip
            axes.annotate(
                f"{name}: {text_of(duel)}", (0, row), xycoords=("axes fraction", "data"), xytext=(0, 9),
                textcoords="offset points", ha="left", va="bottom",
            )  # fmt: skip
        axes.set_xlim(low, high)
        axes.set_ylim(len(duels) - 0.5, -0.9)
        axes.set_yticks([])
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:+g} %" if value else "0")
        axes.set_xlabel(what)
        return drawing

    key = tuple((letters.of(point.configuration), point.place) for point in letters.finalists)
    return Chart("gains", "Gains of the finalists with their intervals", draw, key)


def text_of(duel: Duel) -> str:
    """Such as "+12 % [+9, +15], 9 pairs"."""
    found = duel.compared
    pairs = f"{found.pairs} pair{'s' * (found.pairs != 1)}"
    if not isfinite(found.high):
        return f"{pairs}, too few to tell"
    return f"{100 * found.gain:+.1f} % [{100 * found.low:+.1f}, {100 * found.high:+.1f}], {pairs}"


def _limits(duels: list[Duel], tie: float) -> tuple[float, float]:
    """Of the axis in percent: all pairs and intervals, but no interval without an end."""
    ends = [
        100 * end for duel in duels for end in (duel.compared.low, duel.compared.high) if isfinite(end) and end > -1
    ]
    ends += [100 * expm1(log(ratio)) for duel in duels for ratio in duel.ratios]
    low, high = min([*ends, -200 * tie]), max([*ends, 200 * tie])
    reach = high - low
    return low - 0.05 * reach, high + 0.05 * reach
