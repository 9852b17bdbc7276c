"""How long an open loop must run until it tells something: queues forget slowly, the slower the busier they are."""

import math
from dataclasses import dataclass

from tcli_analyzer.measuring.visit import VisitOptions

WARM_UP_TIMES = 3
WINDOW_TIMES = 10
"""Relaxation times: after so many, how the queue began is forgotten, and a window has seen it full and empty."""

_BUSIEST = 0.95
"""Above this share of the capacity the rules ask for minutes and more: windows are as long as they may be."""
_LEAST_WARM_UP = 0.25


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast a configuration is.

    Attributes:
        capacity: requests per second that it can answer; above 0.
        service_seconds: that it works on what it takes at once.
    """

    capacity: float
    service_seconds: float

    def relaxation_seconds(self, rate: float) -> float:
        """In which a queue forgets most of how it was: s/(1-√ρ)², as of M/M/1."""
        utilisation = min(_BUSIEST, rate / self.capacity)
        return self.service_seconds / (1 - math.sqrt(utilisation)) ** 2


def open_options(
    rate: float, requests: int, most_seconds: float, longest_seconds: float, pace: Pace, items: int = 1
) -> VisitOptions:
    """One window at a rate.

    Args:
        requests: that are wanted.
        most_seconds: in which they are sent; fewer where the rate is lower ...
        longest_seconds: ... but the window is as long as its queue needs, up to this; the warm-up is at most a third of it.
        items: inferences in a request.
    """
    relaxation = pace.relaxation_seconds(rate)
    warm_up = min(longest_seconds / 3, max(_LEAST_WARM_UP, WARM_UP_TIMES * relaxation))
    wanted = min(requests / rate, most_seconds)
    seconds = min(longest_seconds, max(wanted, WINDOW_TIMES * relaxation))
    return VisitOptions(seconds=seconds, requests=1, longest=2.0, warm_up_seconds=warm_up, items=items)
