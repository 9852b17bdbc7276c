"""What the replies of a load say of a window, and of the generator that sent."""

from collections.abc import Sequence

import numpy as np

from tcli_analyzer.load import Load, OpenLoad, Reply, RunningLoad
from tcli_analyzer.load.open import OpenLoop
from tcli_analyzer.target import Target


def cpu_ns_of(running: RunningLoad, target: Target) -> tuple[int, int]:
    """Processor time used by the thread that sends by a schedule, which a closed loop does not need, and by the one with the connections to a
    server."""
    return running.cpu_ns if isinstance(running, OpenLoop) else 0, int(getattr(target, "cpu_ns", 0))


def most_cores(before: tuple[int, int], now: tuple[int, int], span_ns: int) -> float:
    """Of a core that the busier one used in a window."""
    return max(later - earlier for earlier, later in zip(before, now, strict=True)) / max(1, span_ns)


def requests_sent(running: RunningLoad) -> int:
    """Requests that were sent by a schedule."""
    return len(running.lateness_ns) if isinstance(running, OpenLoop) else 0


def sent_share(running: RunningLoad, load: Load, sent: int) -> float:
    """Of so many requests sent, and those that are overdue by now; 1 in a closed loop."""
    if not isinstance(running, OpenLoop) or not isinstance(load, OpenLoad):
        return 1.0
    sent = sent or requests_sent(running)  # of all, where the load was ended before the window began
    overdue = load.rate * running.behind_ns / 1e9
    return sent / (sent + overdue) if sent else 1.0


def latencies_of(replies: Sequence[Reply]) -> np.ndarray:
    """In ms; float64 [n]."""
    return np.array([reply.latency_ns for reply in replies], np.float64) / 1e6


def late_ms_of(replies: Sequence[Reply]) -> float:
    """How long after they were due requests were sent, the 99th percentile; 0 without any."""
    if not replies:
        return 0.0
    return float(np.percentile([reply.latency_ns - reply.service_ns for reply in replies], 99)) / 1e6
