"""A bench that waits for a quiet moment, and knows who disturbed."""

import threading
import time
from collections.abc import Sequence
from dataclasses import replace

from tcli_analyzer.bench import Bench
from tcli_analyzer.configuration import Configuration
from tcli_analyzer.evidence.disturbance import ProcessorMeter
from tcli_analyzer.evidence.neighbours import Neighbours
from tcli_analyzer.load import Load
from tcli_analyzer.measuring.visit import Stopped, VisitOptions
from tcli_analyzer.measuring.window import Window

QUIET_CORES = 0.15
"""What all others may use while a measurement begins."""

_LOOK_SECONDS = 0.12
_LOOKS = 2
_LONGEST_SECONDS = 4.0
"""That one visit waits: neighbours that come and go start inside of windows anyway."""


class WatchedBench:
    """Waits before each visit until others are quiet, for a while and all together no longer than a budget.

    Args:
        patience_seconds: that all visits together wait at most.
        stretch: windows and warm-ups are so many times as long as whoever measures thinks.
    """

    def __init__(self, bench: Bench, stop: threading.Event, patience_seconds: float, stretch: float = 1.0) -> None:
        self._bench = bench
        self._stretch = stretch
        self._stop = stop
        self._patience = patience_seconds if ProcessorMeter.is_possible() else 0.0
        self._meter = ProcessorMeter([]) if ProcessorMeter.is_possible() else None
        self.neighbours = Neighbours()

    def hold(self, configurations: Sequence[Configuration]) -> None:
        self._bench.hold(configurations)

    def visit(self, configuration: Configuration, load: Load, options: VisitOptions) -> list[Window]:
        self._wait_for_quiet()
        self.neighbours.look(counts=False)
        options = replace(
            options,
            seconds=options.seconds * self._stretch,
            warm_up_seconds=options.warm_up_seconds * self._stretch,
        )
        windows = self._bench.visit(configuration, load, options)
        self.neighbours.look(counts=any(not window.is_clean for window in windows))
        return windows

    def _wait_for_quiet(self) -> None:
        began = time.monotonic()
        longest = min(_LONGEST_SECONDS, self._patience)
        quiet = 0
        while self._meter is not None and quiet < _LOOKS and time.monotonic() - began < longest:
            self._meter.take()
            looked = time.monotonic()
            if self._stop.wait(_LOOK_SECONDS):
                raise Stopped
            used = self._meter.take()
            cores = (used.other + used.steal) / (time.monotonic() - looked)
            quiet = quiet + 1 if cores < QUIET_CORES else 0
        self._patience -= max(0.0, time.monotonic() - began - _LOOKS * _LOOK_SECONDS)
