"""What `tcli analyze` shows while it measures and when it is done."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Union

from triton_cli.console import printable

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult
    from rich.table import Table

    from tcli_analyzer.analysis import Analysis, Failure
    from tcli_analyzer.configuration import Configuration
    from tcli_analyzer.output import Written
    from tcli_analyzer.recommendation import Point, Recommendation

BEST_SHOWN = 6
LONG_SECONDS = 600

_COLUMNS = ("max batch", "instances", "conc", "infer/s", "±%", "p50 ms", "p99 ms", "avg batch", "stable")
_NARROW = {"max batch": "batch", "instances": "inst", "conc": "conc", "infer/s": "infer/s", "p99 ms": "p99 ms"}
"""The columns of a narrow table, and what they are called there."""

_WIDE = 80
"""Columns that a terminal must have for the whole table."""


def duration(seconds: float) -> str:
    """`75` -> "1 min 15 s"."""
    whole = max(1, round(seconds))
    if whole < 90:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 10:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    return f"{minutes} min" if minutes < 90 else f"{whole / 3600:.1f} h"


class PlainView:
    """A line an event, for pipes and logs."""

    def __init__(self, console: "Console") -> None:
        self._console = console
        self._again = False

    def note(self, text: str) -> None:
        self._console.print(printable(text), markup=False)

    def planned(self, points: int, seconds: float) -> None:
        self._console.print(_plan_text(points, seconds), markup=False)

    def measuring(self, configuration: "Configuration", concurrency: int, again: bool) -> None:
        del configuration, concurrency
        if again and not self._again:
            self.note("measuring the best once more ...")
        self._again = again

    def measured(self, point: "Point", seconds_left: float) -> None:
        from tcli_analyzer.numbers import short

        measurement = point.measurement
        spread = 50 * measurement.throughput_spread
        self._console.print(
            f"{point.configuration.label}, concurrency {point.concurrency}: {short(measurement.throughput)} infer/s "
            f"±{spread:.1f} %, p50 {short(measurement.latency_ms(50))} ms, p99 {short(measurement.latency_ms(99))} ms, "
            f"batch {measurement.batch_avg:.2g}{'' if measurement.stable else ', NOT STABLE'}; "
            f"{duration(seconds_left)} left",
            markup=False,
        )

    def failed(self, failure: "Failure") -> None:
        self.note(_failure_text(failure))


class LiveView:
    """The points so far as a table that grows, with what is being measured and the time left below."""

    def __init__(self) -> None:
        self._notes: list[str] = []
        self._points: list[Point] = []
        self._total = 0
        self._now = "loading ..."
        self._ends_at = 0.0

    def note(self, text: str) -> None:
        self._notes.append(printable(text))

    def planned(self, points: int, seconds: float) -> None:
        self._total = points
        self._ends_at = time.monotonic() + seconds
        self.note(_plan_text(points, seconds))

    def measuring(self, configuration: "Configuration", concurrency: int, again: bool) -> None:
        what = "once more: " if again else ""
        self._now = f"{what}{configuration.label}, concurrency {concurrency}"

    def measured(self, point: "Point", seconds_left: float) -> None:
        known = [(p.configuration, p.concurrency) for p in self._points]
        key = (point.configuration, point.concurrency)
        if key in known:
            self._points[known.index(key)] = point
        else:
            self._points.append(point)
        self._ends_at = time.monotonic() + seconds_left

    def failed(self, failure: "Failure") -> None:
        self.note(_failure_text(failure))

    def __rich_console__(self, console: "Console", options: "ConsoleOptions") -> "RenderResult":
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        for note in self._notes:
            yield Text(note)
        height = options.max_height if options.max_height < 10_000 else console.height
        rows = max(3, height - len(self._notes) * 2 - 7)
        if self._points:
            yield _points_table(self._points[-rows:], narrow=options.max_width < _WIDE)
        if not self._total:
            yield Text(self._now, style="dim")
            return
        left = max(0.0, self._ends_at - time.monotonic())
        line = Table.grid(padding=(0, 1))
        count = f"{len(self._points)}/{self._total}"
        bar = ProgressBar(total=self._total, completed=len(self._points), width=30)
        line.add_row(
            bar, count, f"about {duration(left)} left" if left else "nearly done", Text(self._now, style="cyan")
        )
        yield line


View = Union[PlainView, LiveView]  # noqa: UP007 - evaluated at run time


@contextmanager
def live_or_plain(console: "Console") -> Iterator[View]:
    """A live table on a terminal, plain lines elsewhere."""
    if not console.is_terminal:
        yield PlainView(console)
        return
    from rich.console import Console
    from rich.live import Live

    view = LiveView()
    wrapping = Console(file=console.file, highlight=False, emoji=False)
    with Live(view, console=wrapping, refresh_per_second=4, transient=True):
        yield view


def show_result(console: "Console", analysis: "Analysis", written: "Written") -> None:
    """The best configurations, the recommendation and where everything is."""
    recommendation = analysis.recommendation
    assert recommendation is not None
    console.print(f"\nBest configurations for the {analysis.options.goal.describe()}:", markup=False)
    own = [point for point in recommendation.ranking[BEST_SHOWN:] if point.configuration.current]
    shown = [*recommendation.ranking[:BEST_SHOWN], *own]
    _print_table(console, shown, recommendation)
    console.print("= marks those that are within the noise of the best; * marks the recommendation.")
    for note in analysis.notes:
        console.print(printable(f"note: {note}"), markup=False)
    console.print(f"\n{recommendation.sentence()}", markup=False, style="bold")
    console.print(printable(f"\nconfig.pbtxt  {written.config}"), markup=False)
    if written.model_file is not None:
        use = "" if written.recommends_model_file else "  (batchable, not needed by the recommendation)"
        console.print(printable(f"model file    {written.model_file}{use}"), markup=False)
    console.print(printable(f"report        {written.report}"), markup=False)
    console.print(printable(f"results       {written.csv}, {written.json.name}"), markup=False)


def _print_table(console: "Console", points: "list[Point]", recommendation: "Recommendation") -> None:
    """The whole table into a pipe or file, however wide; the most important columns in a narrow terminal."""
    from rich.console import Console

    narrow = console.is_terminal and console.width < _WIDE
    table = _points_table(points, recommendation.chosen, recommendation.equivalent, narrow)
    width = console.width if console.is_terminal else max(console.width, _WIDE)
    Console(file=console.file, width=width, highlight=False, emoji=False).print(table)


def _points_table(
    points: "list[Point]", best: "Point | None" = None, equal: "tuple[Point, ...]" = (), narrow: bool = False
) -> "Table":
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=0)
    table.add_column(" ", no_wrap=True)
    for name in _NARROW if narrow else _COLUMNS:
        table.add_column(_NARROW[name] if narrow else name, justify="right", no_wrap=True)
    for point in points:
        mark = "*" if point is best else "=" if any(point is other for other in equal) else ""
        cells = dict(zip(_COLUMNS, _cells(point), strict=True))
        row = [cells[name] for name in (_NARROW if narrow else _COLUMNS)]
        if narrow:
            row = [cell.replace("(current)", "(now)") for cell in row]
        table.add_row(mark, *row, style="bold" if point is best else "")
    return table


def _cells(point: "Point") -> tuple[str, ...]:
    from tcli_analyzer.numbers import short

    m = point.measurement
    configuration = point.configuration
    return (
        str(configuration.max_batch_size or "none"),
        f"{configuration.instances}{' (current)' if configuration.current else ''}",
        str(point.concurrency),
        short(m.throughput),
        f"{50 * m.throughput_spread:.1f}",
        short(m.latency_ms(50)),
        short(m.latency_ms(99)),
        f"{m.batch_avg:.2g}",
        "yes" if m.stable else "[red]no[/]",
    )


def _plan_text(points: int, seconds: float) -> str:
    text = f"{points} points to measure, about {duration(seconds)}; Ctrl-C ends early and keeps what was measured"
    if seconds > LONG_SECONDS:
        text += ". Shorter: fewer values for --concurrency, --batch-sizes or --instance-counts"
    return text


def _failure_text(failure: "Failure") -> str:
    return f"{failure.place}: {failure.message}"
