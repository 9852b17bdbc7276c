"""What happened between two moments to several models that were all under load."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from tcli_analyzer.evidence.disturbance import ProcessorTime
from tcli_analyzer.measuring.window import Window, Windows
from tcli_analyzer.target import Counters


@dataclass(frozen=True, slots=True)
class JointWindow(Window):
    """All models' windows of the same stretch of time.

    As a window it is that of all requests together; its processor time is that of all models, so that only what others took
    disturbs it, and not what one model takes from another.

    Attributes:
        parts: each model's own.
    """

    parts: Mapping[str, Window] = field(default_factory=dict)

    @property
    def throughput(self) -> float:
        """Inferences per second of all models."""
        return sum(part.throughput for part in self.parts.values())


def join(parts: Mapping[str, Window], times: Mapping[str, ProcessorTime], sender: ProcessorTime | None) -> JointWindow:
    """One window of them.

    Args:
        parts: without processor times.
        times: each model's, as a meter of it alone has them; empty where they cannot be seen.
        sender: that of whoever measures.
    """
    total = joint_time([*times.values(), *([sender] if sender is not None else [])]) if times else None
    with_times = {
        model: replace(part, processor=_share_of(total, times[model]) if total is not None else None)
        for model, part in parts.items()
    }
    return joined(with_times, total)


def joined(parts: Mapping[str, Window], processor: ProcessorTime | None) -> JointWindow:
    """One window of parts that have their processor times, and that of all."""
    windows = list(parts.values())
    return JointWindow(
        began=min(window.began for window in windows),
        seconds=max(window.seconds for window in windows),
        latencies_ms=np.concatenate([window.latencies_ms for window in windows]),
        counters=sum((window.counters for window in windows), Counters()),
        processor=processor,
        memory_mib=sum(window.memory_mib for window in windows),
        overloaded=any(window.overloaded for window in windows),
        parts=parts,
    )


def joint_time(times: Sequence[ProcessorTime]) -> ProcessorTime:
    """Of several groups of processes that were metered at the same time: to each the others are own work, not others'."""
    own = sum(time.own for time in times)
    busy = max(time.own + time.other for time in times)
    return ProcessorTime(
        own=own,
        wait=sum(time.wait for time in times),
        other=max(0.0, busy - own),
        steal=max(time.steal for time in times),
        throttled=max(time.throttled for time in times),
    )


def _share_of(total: ProcessorTime, time: ProcessorTime) -> ProcessorTime:
    """A model's part of the time of all, by what it used: its windows are as disturbed as those of all together."""
    share = time.own / total.own if total.own else 0.0
    return ProcessorTime(time.own, total.wait * share, total.other * share, total.steal * share, total.throttled)


def part_windows(windows: Iterable[JointWindow], model: str) -> Windows:
    """One model's windows."""
    return Windows(tuple(window.parts[model] for window in windows))


def clean_ones(windows: Sequence[JointWindow]) -> Sequence[JointWindow]:
    """Those that nobody else disturbed; all of them where there is none."""
    return [window for window in windows if window.is_clean] or windows
