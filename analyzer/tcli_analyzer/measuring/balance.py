"""Whether what a window says adds up: what must hold of every queue whatever the server does (Little's law)."""

import math

from tcli_analyzer.load import ClosedLoad, Load
from tcli_analyzer.measuring.window import Window

TOLERANCE = 0.02

_CHANCE = 4.0
"""Standard deviations that counts of arrivals may differ by."""


def imbalance(window: Window, load: Load) -> str | None:
    """What does not add up, for people; None if all does, or if too little was answered to tell.

    Lost answers, a wrong clock or a cut window show here. In a closed loop, so many requests are outstanding on average as there are
    callers: throughput x average latency. In an open one, as many are answered as come, unless it is overloaded.
    """
    count = len(window.latencies_ms)
    if isinstance(load, ClosedLoad):
        return _closed(window, load.concurrency) if count >= load.concurrency else None
    if window.overloaded or not count or load.gaps_seconds:
        return None
    due = load.rate * window.seconds
    # Beside chance: what was outstanding at the window's ends may all be on one side.
    outstanding = load.rate * window.latency_ms / 1e3
    if abs(count - due) <= TOLERANCE * due + _CHANCE * math.sqrt(due) + 2 * outstanding:
        return None
    return f"{count:,} requests were answered in {window.seconds:.3g} s, but {due:,.0f} came"


def _closed(window: Window, callers: int) -> str | None:
    count = len(window.latencies_ms)
    mean = count / window.seconds * window.latency_ms / 1e3
    slack = TOLERANCE + (callers - 1) / count  # of each caller but one, a latency is cut at the window's ends
    if abs(mean - callers) <= slack * callers:
        return None
    return f"{mean:.3g} requests were outstanding on average by throughput and latency, but there are {callers} callers"
