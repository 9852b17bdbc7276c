"""Measures a point until enough of its windows are clean, or too many were not."""

from dataclasses import replace

from tcli_analyzer.bench import Bench
from tcli_analyzer.configuration import Configuration
from tcli_analyzer.load import Load
from tcli_analyzer.measuring.visit import VisitOptions
from tcli_analyzer.measuring.window import Window, Windows

REPEATS = 2
"""How often a point is visited again for its disturbed windows."""


def gather(bench: Bench, configuration: Configuration, load: Load, options: VisitOptions) -> Windows:
    """Visit, and visit again for as many windows as were disturbed.

    Returns:
        All windows, disturbed ones among them.

    Raises:
        As `Bench.visit`.
    """
    found: list[Window] = []
    missing = options.windows
    for _ in range(1 + REPEATS):
        found += bench.visit(configuration, load, replace(options, windows=missing))
        missing = options.windows - sum(window.is_clean for window in found)
        if missing <= 0 or found[-1].overloaded:
            break
    return Windows(tuple(found))
