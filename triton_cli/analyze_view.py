"""What `tcli analyze` shows while it measures."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Union

from triton_cli.console import printable, warn

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult
    from rich.table import Table

    from tcli_analyzer.configuration import Configuration
    from tcli_analyzer.evidence.race import Race
    from tcli_analyzer.point import Point
    from tcli_analyzer.searching.found import Failure

_COLUMNS = ("max batch", "instances", "engine", "load", "infer/s", "p50 ms", "p99 ms", "avg batch", "CPU ms", "clean")
_NARROW = {
    "max batch": "batch",
    "instances": "inst",
    "engine": "engine",
    "load": "load",
    "infer/s": "infer/s",
    "p99 ms": "p99 ms",
}
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

    def note(self, text: str) -> None:
        self._console.print(printable(text), markup=False)

    def warn(self, text: str) -> None:
        warn(text)

    def planned(self, points: int, of: int, seconds: float) -> None:
        self.note(_plan_text(points, of, seconds))

    def measuring(self, what: str, seconds_left: float) -> None:
        del what, seconds_left

    def measured(self, point: "Point", seconds_left: float) -> None:
        from tcli_analyzer.numbers import short

        measured = point.measured
        batch = f", batch {measured.batch_avg:.2g}" if measured.is_counted else ""
        disturbed = "" if point.is_clean else ", DISTURBED"
        self.note(
            f"{point.place}: {short(measured.throughput)} infer/s, p50 {short(measured.latency_ms(0.5))} ms, "
            f"p99 {short(measured.latency_ms(0.99))} ms{batch}{disturbed}; "
            f"{duration(seconds_left)} left"
        )

    def racing(self, finalists: "list[Point]") -> None:
        self.note(_race_text(finalists))

    def raced(self, race: "Race", seconds_left: float) -> None:
        self.note(f"{_round_text(race)}; {duration(seconds_left)} left at most")

    def rated(self, configuration: "Configuration", text: str) -> None:
        self.note(f"rate of {configuration.label}: {text}")

    def failed(self, failure: "Failure") -> None:
        self.note(_failure_text(failure))


class LiveView:
    """The points so far as a table that grows, with what is being measured and the time left below.

    Attributes:
        warnings: to be told once all of that is gone.
    """

    def __init__(self) -> None:
        self.warnings: list[str] = []
        self._notes: list[str] = []
        self._points: list[Point] = []
        self._total = 0
        self._now = "loading ..."
        self._ends_at = 0.0

    def note(self, text: str) -> None:
        self._notes.append(printable(text))

    def warn(self, text: str) -> None:
        self.warnings.append(text)

    def planned(self, points: int, of: int, seconds: float) -> None:
        if not self._total:
            self.note(_plan_text(points, of, seconds))
        self._total = max(points, len(self._points))
        self._ends_at = time.monotonic() + seconds

    def measuring(self, what: str, seconds_left: float) -> None:
        self._now = what
        self._ends_at = time.monotonic() + seconds_left

    def measured(self, point: "Point", seconds_left: float) -> None:
        self._points.append(point)
        self._ends_at = time.monotonic() + seconds_left

    def racing(self, finalists: "list[Point]") -> None:
        self.note(_race_text(finalists))
        self._now = "finals"

    def raced(self, race: "Race", seconds_left: float) -> None:
        self._now = _round_text(race)
        self._ends_at = time.monotonic() + seconds_left

    def rated(self, configuration: "Configuration", text: str) -> None:
        self._now = f"rate of {configuration.label}: {text}"

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
            yield points_table(self._points[-rows:], narrow=options.max_width < _WIDE)
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
    try:
        with Live(view, console=wrapping, refresh_per_second=1, transient=True):
            yield view
    finally:
        for text in view.warnings:
            warn(text)


def points_table(points: "Sequence[Point]", marks: "Sequence[str]" = (), narrow: bool = False) -> "Table":
    """Points line by line; with engines where these differ, in place of what matters less.

    Args:
        marks: of each point; "*" is the best.
        narrow: only the most important columns.
    """
    from rich import box
    from rich.table import Table

    from tcli_analyzer.summary import family_of

    differ = len({family_of(point.configuration) for point in points}) > 1
    left_out = ("load" if narrow else "avg batch") if differ else "engine"
    names = [name for name in (_NARROW if narrow else _COLUMNS) if name != left_out]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=0)
    table.add_column(" ", no_wrap=True)
    for name in names:
        table.add_column(_NARROW[name] if narrow else name, justify="right", no_wrap=True)
    for point, mark in zip(points, marks or [""] * len(points), strict=True):
        cells = _cells(point)
        row = [_shortened(cells[name]) if narrow or differ else cells[name] for name in names]
        table.add_row(mark, *row, style="bold" if mark == "*" else "")
    return table


def _shortened(cell: str) -> str:
    return cell.replace("(current)", "(now)").replace("(defaults)", "(plain)")


def _cells(point: "Point") -> dict[str, str]:
    from tcli_analyzer.load import ClosedLoad
    from tcli_analyzer.numbers import short
    from tcli_analyzer.subject import is_default
    from tcli_analyzer.summary import family_of

    m = point.measured
    configuration, load = point.configuration, point.load
    clean, windows = len(point.windows.clean.windows), len(point.windows.windows)
    values = (
        str(configuration.max_batch_size or "none"),
        f"{configuration.instances}{' (current)' if configuration.current else ' (defaults)' if is_default(configuration) else ''}",
        family_of(configuration),
        str(load.concurrency) if isinstance(load, ClosedLoad) else f"{load.rate:.4g}/s",
        short(m.throughput),
        short(m.latency_ms(0.50)),
        short(m.latency_ms(0.99)),
        f"{m.batch_avg:.2g}" if m.is_counted else "",
        short(m.cpu_ms_per_inference) if m.cpu_ms_per_inference is not None else "",
        f"{clean}/{windows}" if clean else f"[red]0/{windows}[/]",
    )
    return dict(zip(_COLUMNS, values, strict=True))


def _race_text(finalists: "list[Point]") -> str:
    return f"finals: {', '.join(point.place for point in finalists)}"


def _round_text(race: "Race") -> str:
    text = f"finals, round {race.rounds}"
    return f"{text}, {race.dropped} of {race.total} windows disturbed" if race.dropped else text


def _plan_text(points: int, of: int, seconds: float) -> str:
    what = f"{points} points to measure" if points >= of else f"about {points} of {of} points to measure"
    return f"{what}, about {duration(seconds)}; Ctrl-C ends early and keeps what was measured"


def _failure_text(failure: "Failure") -> str:
    return f"{failure.place}: {failure.reason}"
