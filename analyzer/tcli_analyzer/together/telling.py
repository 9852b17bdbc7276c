"""What is told of an analysis of several models while it goes on."""

import threading

from tcli_analyzer.analysis import Observer
from tcli_analyzer.measuring.visit import Stopped
from tcli_analyzer.numbers import short
from tcli_analyzer.point import Point
from tcli_analyzer.searching.found import Failure
from tcli_analyzer.together.search import JointFailure, SearchTold
from tcli_analyzer.together.window import clean_ones, part_windows


def told_text(told: SearchTold) -> str:
    """One measurement of all models."""
    clean = clean_ones(told.windows)
    each = []
    for choice in told.arrangement.choices:
        measured = part_windows(clean, choice.model)
        over = ", over its budget" if choice.model in told.over_budget else ""
        each.append(
            f"{choice.label}: {short(measured.throughput)} infer/s, p99 {short(measured.latency_ms(0.99))} ms{over}"
        )
    gain = f"; {100 * told.gain:+.0f} % on weighted average" if told.gain is not None else ""
    disturbed = "" if any(window.is_clean for window in told.windows) else ", DISTURBED"
    return f"{'; '.join(each)}{gain}{disturbed}; {told.seconds_left:.0f} s left"


def failure_text(failure: JointFailure) -> str:
    """What could not be measured."""
    return f"{failure.choice.label}: {failure.reason}"


class AloneWatch:
    """Tells the observer what the search of one model does."""

    def __init__(self, observer: Observer, stop: threading.Event) -> None:
        self._observer = observer
        self._stop = stop

    def planned(self, points: int, of: int, seconds: float) -> None:
        self._observer.planned(points, of, seconds)

    def measuring(self, what: str, seconds_left: float) -> None:
        self._observer.measuring(what, seconds_left)

    def measured(self, point: Point, seconds_left: float) -> None:
        self._observer.measured(point, seconds_left)

    def failed(self, failure: Failure) -> None:
        self._observer.failed(failure)

    def note(self, text: str) -> None:
        self._observer.note(text)

    def goes_on(self) -> bool:
        if self._stop.is_set():
            raise Stopped
        return True
