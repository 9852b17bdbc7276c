"""A bench that waits for a quiet moment, and knows who disturbed."""

import threading
from collections.abc import Sequence
from dataclasses import replace

from tcli_analyzer.bench import Bench
from tcli_analyzer.bench.quiet import Quiet
from tcli_analyzer.configuration import Configuration
from tcli_analyzer.evidence.neighbours import Measured, Neighbours
from tcli_analyzer.load import Load
from tcli_analyzer.measuring.visit import VisitOptions
from tcli_analyzer.measuring.window import Window


class WatchedBench:
    """Waits before each visit until others are quiet, for a while and all together no longer than a budget.

    Args:
        patience_seconds: that all visits together wait at most.
        stretch: windows and warm-ups are so many times as long as whoever measures thinks.
        measured: as of `Neighbours`.
    """

    def __init__(
        self,
        bench: Bench,
        stop: threading.Event,
        patience_seconds: float,
        stretch: float = 1.0,
        measured: Measured = tuple,
    ) -> None:
        self._bench = bench
        self._stretch = stretch
        self._quiet = Quiet(stop, patience_seconds)
        self.neighbours = Neighbours(measured)

    def hold(self, configurations: Sequence[Configuration]) -> None:
        self._bench.hold(configurations)

    def visit(self, configuration: Configuration, load: Load, options: VisitOptions) -> list[Window]:
        self._quiet.wait()
        self.neighbours.look(counts=False)
        options = replace(
            options,
            seconds=options.seconds * self._stretch,
            warm_up_seconds=options.warm_up_seconds * self._stretch,
        )
        windows = self._bench.visit(configuration, load, options)
        self.neighbours.look(counts=any(not window.is_clean for window in windows))
        return windows
