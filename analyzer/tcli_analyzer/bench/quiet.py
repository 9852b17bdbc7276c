"""Waits for a quiet moment to begin a measurement in."""

import threading
import time

from tcli_analyzer.evidence.disturbance import ProcessorMeter
from tcli_analyzer.measuring.watch import Stopped

QUIET_CORES = 0.15
"""What all others may use while a measurement begins."""

_LOOK_SECONDS = 0.12
_LOOKS = 2
_LONGEST_SECONDS = 4.0
"""That one measurement waits: neighbours that come and go start inside of windows anyway."""


class Quiet:
    """Waits until others are quiet, for a while and all together no longer than a budget.

    Args:
        patience_seconds: that all waiting together takes at most.
    """

    def __init__(self, stop: threading.Event, patience_seconds: float) -> None:
        self._stop = stop
        self._patience = patience_seconds if ProcessorMeter.is_possible() else 0.0
        self._meter = ProcessorMeter([]) if ProcessorMeter.is_possible() else None

    def wait(self) -> None:
        """Until they are, or no longer.

        Raises:
            Stopped: the user asked to stop.
        """
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
