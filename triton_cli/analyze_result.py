"""What `tcli analyze` says when it is done."""

import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING

from triton_cli.analyze_view import points_table
from triton_cli.console import printable

if TYPE_CHECKING:
    from rich.console import Console

    from tcli_analyzer.analysis import Analysis
    from tcli_analyzer.output import Written
    from tcli_analyzer.point import Point
    from tcli_analyzer.recommendation import Recommendation

BEST_SHOWN = 6
MOST_SHOWN = 5
"""Rejected variants, and reasons of failures."""

_WIDE = 80
"""Columns that a terminal must have for the whole table."""

_OTHERS = {"plots": "charts", "report.md": "markdown", "results.parquet": "parquet"}

_PLAIN = str.maketrans({"µ": "u", "–": "-", "≤": "<=", "→": "->", "★": "*", "…": "..."})
"""For encodings that do not have them."""


def show_result(
    console: "Console", analysis: "Analysis", written: "Written", resume: str, applying: bool = False
) -> None:
    """What is best, by how much and at what cost, what to do next, and where everything is.

    Args:
        resume: the command that goes on, or comes to the same result once more without measuring.
        applying: the recommendation is put into the repository now.
    """
    recommendation = analysis.recommendation
    assert recommendation is not None
    show = _Lines(console)
    show.text("")
    show.text(recommendation.sentence(), bold=True)
    show.text("")
    for name, text in _facts(analysis):
        show.fact(name, text)
    _show_next(show, analysis, written, resume, applying)
    show.text(f"\nBest configurations for the {analysis.options.goal.describe()}:")
    own = [point for point in recommendation.ranking[BEST_SHOWN:] if point.configuration.current]
    shown = [*recommendation.ranking[:BEST_SHOWN], *own]
    marks = [_mark(point, analysis, recommendation) for point in shown]
    _print_table(console, shown, marks)
    show.text(_legend(set(marks)))
    from tcli_analyzer.summary import other_notes

    for note in other_notes(analysis):
        show.text(f"note: {note}", indent=6)
    show.text("")
    for name, place in _places(written):
        show.line(f"{name:<13} {place}")


def _facts(analysis: "Analysis") -> Iterator[tuple[str, str]]:
    """Name and text of each line below the sentence."""
    from tcli_analyzer.summary import answers, costs, failures, rejected

    yield "wanted", f"{analysis.options.goal.describe()}, on {analysis.where}"
    for text in costs(analysis):
        yield "costs", text.removeprefix("It takes ").removesuffix(".")
    if text := answers(analysis):
        yield "answers", text
    for configuration, found in analysis.rates.items():
        yield "rate", f"{configuration.label} {found.sentence}"
    yield from _some("rejected", rejected(analysis))
    yield from _some("failed", [f"{places}: {reason}" for places, reason in failures(analysis)])


def _some(name: str, texts: list[str]) -> Iterator[tuple[str, str]]:
    for text in texts[:MOST_SHOWN]:
        yield name, text
    if len(texts) > MOST_SHOWN:
        yield name, f"and {len(texts) - MOST_SHOWN} more: see the report"


def _show_next(show: "_Lines", analysis: "Analysis", written: "Written", resume: str, applying: bool) -> None:
    from tcli_analyzer.recommendation import Outcome

    recommendation = analysis.recommendation
    assert recommendation is not None
    if recommendation.outcome is Outcome.UNDECIDED or analysis.interrupted:
        show.fact("next", _going_on(analysis))
        show.line(f"    {resume}")
    elif recommendation.outcome is Outcome.TAKE and analysis.options.server is not None:
        show.fact("next", "copy the config.pbtxt into the server's repository:")
        show.line(f"    {written.config}")
    elif recommendation.outcome is Outcome.TAKE and not applying:
        show.fact("next", "look at the report, then put it into your repository (nothing is measured again) with:")
        show.line(f"    {resume} --apply")
    elif recommendation.outcome is Outcome.OVER_BUDGET:
        show.fact("next", "allow more time (--latency-budget), or try more: --engines, --precisions, --threads.")
    elif recommendation.outcome is Outcome.KEEP:
        show.fact(
            "next",
            "nothing to change." + ("" if analysis.rates else ' --slo "p99<=50ms" finds the rate that it takes.'),
        )


def _going_on(analysis: "Analysis") -> str:
    """What to do before the analysis is gone on with, if anything."""
    if analysis.interrupted:
        return "Go on with:"
    finals = analysis.finals
    if analysis.lost_finalists and finals is not None:
        from tcli_analyzer.summary import by_reason

        lost = by_reason((point.place, reason) for point, reason in finals.failures)
        return f"{'; '.join(f'{place}: {reason}' for place, reason in lost)}. When that is mended, go on with:"
    probes = [probe for found in analysis.rates.values() for probe in found.probes]
    disturbed = (finals is not None and finals.race.dropped) or not all(probe.is_clean for probe in probes)
    return f"Go on{', when the machine is quiet,' if disturbed else ''} with:"


_MARKS = {
    "*": "* marks the recommendation",
    "=": "= ties with it",
    "x": "x: its answers are others, or could not be compared: it cannot win",
}


def _mark(point: "Point", analysis: "Analysis", recommendation: "Recommendation") -> str:
    from tcli_analyzer.summary import is_proven

    if point.configuration.wrong_batches or point.configuration in analysis.rejected():
        return "x"
    if not is_proven(analysis):
        return ""
    if point is recommendation.chosen:
        return "*"
    return "=" if any(point is other for other in recommendation.equivalent) else ""


def _legend(marks: "set[str]") -> str:
    said = [text for mark, text in _MARKS.items() if mark in marks]
    return "; ".join([*said, "clean: windows that nobody disturbed, of all; CPU: of an inference."])


def _places(written: "Written") -> Iterator[tuple[str, str]]:
    yield "config.pbtxt", str(written.config)
    if written.model_file is not None:
        use = "" if written.recommends_model_file else "  (batchable, not needed by the recommendation)"
        yield "model file", f"{written.model_file}{use}"
    yield "report", str(written.report)
    yield "results", f"{written.csv}, {written.json.name}"
    yield "variants", str(written.variants)
    for other in written.others:
        yield _OTHERS.get(other.name, ""), str(other)


def _print_table(console: "Console", points: "list[Point]", marks: "list[str]") -> None:
    """The whole table into a pipe or file, however wide; the most important columns in a narrow terminal."""
    from rich.console import Console

    table = points_table(points, marks, narrow=console.is_terminal and console.width < _WIDE)
    width = console.width if console.is_terminal else max(console.width, _WIDE)
    fitting = Console(file=console.file, width=width, highlight=False, emoji=False)
    fitting.on_broken_pipe = console.on_broken_pipe  # type: ignore[method-assign]
    fitting.print(table)


class _Lines:
    """Text that is wrapped in a terminal, between words, and left alone in pipes and files."""

    def __init__(self, console: "Console") -> None:
        self._console = console
        self._width = max(20, console.width) if console.is_terminal else 0

    def text(self, text: str, bold: bool = False, indent: int = 0) -> None:
        wrapped = "\n".join(self._wrapped(line, indent) for line in text.split("\n"))
        self._console.print(self._fitting(wrapped), markup=False, style="bold" if bold else None)

    def fact(self, name: str, text: str) -> None:
        self.text(f"  {name:<9} {text}", indent=12 if self._width >= 60 else 4)

    def line(self, text: str) -> None:
        """Never wrapped: to be copied."""
        self._console.print(self._fitting(text), markup=False)

    def _wrapped(self, line: str, indent: int) -> str:
        if not self._width:
            return line
        return textwrap.fill(
            line, self._width, subsequent_indent=" " * indent, break_on_hyphens=False, drop_whitespace=True
        )

    def _fitting(self, text: str) -> str:
        text = printable(text)
        encoding = self._console.encoding
        try:
            text.encode(encoding)
        except UnicodeEncodeError:
            text = text.translate(_PLAIN).encode(encoding, "backslashreplace").decode(encoding)
        return text
