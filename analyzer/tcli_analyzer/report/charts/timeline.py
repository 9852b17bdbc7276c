"""What disturbed the run: the share of the processor time that others took, window by window."""

from dataclasses import dataclass

from tcli_analyzer.evidence.disturbance import CLEAN_SHARE
from tcli_analyzer.measuring.window import Window
from tcli_analyzer.report.drawing import BLUE, GREEN, ORANGE, RED, SOFT, Chart, Drawing, Shape
from tcli_analyzer.results.samples import Stage, why_not_clean

_STAGES = {
    Stage.SEARCH: (BLUE, "search"),
    Stage.CHECK: (GREEN, "check"),
    Stage.FINAL: (RED, "finals"),
    Stage.RATE: (ORANGE, "rates"),
}
_LONG_PAUSE = 600.0
"""Seconds between two windows, above which they are of different runs."""


@dataclass(frozen=True)
class Moment:
    """One window and where it belongs."""

    stage: Stage
    place: str
    window: Window


def timeline_chart(moments: list[Moment]) -> Chart | None:
    """None where what others take cannot be seen."""
    seen = sorted((one for one in moments if one.window.processor is not None), key=lambda one: one.window.began)
    if not seen:
        return None
    times = _minutes([one.window for one in seen])
    stages = [stage for stage in _STAGES if any(one.stage is stage for one in seen)]

    def draw(shape: Shape) -> Drawing:
        drawing = Drawing(shape, 250 if shape.is_narrow else 270)
        (axes,) = drawing.axes()
        top = 10.0
        lost_shares = [100 * one.window.processor.lost_share for one in seen if one.window.processor is not None]
        for stage in stages:
            color, name = _STAGES[stage]
            own = [number for number, one in enumerate(seen) if one.stage is stage]
            axes.vlines(
                [times[at] for at in own], 0, [lost_shares[at] for at in own], color=color, linewidth=1.2, alpha=0.6
            )
            clean = [at for at in own if seen[at].window.is_clean]
            x, y = [times[at] for at in clean], [lost_shares[at] for at in clean]
            axes.plot(x, y, "o", markersize=4, color=color, label=name, clip_on=False)
        for minute, lost, one in zip(times, lost_shares, seen, strict=True):
            top = max(top, lost)
            if one.window.is_clean:
                continue
            color, _ = _STAGES[one.stage]
            drawing.dot(
                axes, minute, lost, f"{one.place}: {why_not_clean(one.window)}", marker="o", markersize=5,
                color=color, markerfacecolor="white",
            )  # fmt: skip
        axes.axhline(100 * CLEAN_SHARE, color=SOFT, linestyle="--", linewidth=1.2)
        axes.set_ylim(0, 1.08 * top)
        axes.set_xlim(left=0)
        axes.set_xlabel("minutes of measuring")
        axes.set_ylabel("lost share (%)")
        drawing.figure.legend(loc="outside upper left", ncols=len(stages), handlelength=1.0)
        return drawing

    return Chart("disturbances", "Share of the processor time that others took, of every window", draw)


def _minutes(windows: list[Window]) -> list[float]:
    """Since the first; pauses between runs do not count."""
    found, pauses = [], 0.0
    for number, window in enumerate(windows):
        if number:
            before = windows[number - 1]
            gap = window.began - before.began - before.seconds
            pauses += gap if gap > _LONG_PAUSE else 0.0
        found.append((window.began - windows[0].began - pauses) / 60)
    return found
