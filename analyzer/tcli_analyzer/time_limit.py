"""What is left of the time that an analysis may take, shared among what is still to come."""

import time
from collections.abc import Callable

_LEAST_SHARE = 0.3
"""Of what a stage usually takes, where nothing is left for it: something has to be measured."""


class TimeLimit:
    """Counts from when it is made.

    Args:
        seconds: for everything, starts and checks among it; None without a limit.
        clock: seconds.
    """

    def __init__(self, seconds: float | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seconds = seconds
        self._began = clock()

    @property
    def spent(self) -> float:
        """Seconds so far."""
        return self._clock() - self._began

    def share(self, usual: float, later: float = 0.0) -> float:
        """Seconds for a stage that usually takes so many, when what comes after it takes `later`."""
        if self._seconds is None:
            return usual
        left = self._seconds - self.spent
        return max(_LEAST_SHARE * usual, min(usual, left * usual / (usual + later)))
