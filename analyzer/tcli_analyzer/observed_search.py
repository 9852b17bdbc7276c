"""What an analysis tells of its searches while they go on."""

import threading

from tcli_analyzer.analysis import Observer
from tcli_analyzer.measuring.visit import Stopped
from tcli_analyzer.point import Point
from tcli_analyzer.searching.found import Failure


class ObservedSearch:
    """Tells the observer what a search does, and how long the whole analysis still takes; as `searching.SearchWatch`.

    Args:
        after: seconds that the analysis takes after the search.
    """

    def __init__(self, observer: Observer, stop: threading.Event, after: float = 0.0) -> None:
        self._observer = observer
        self._stop = stop
        self._after = after

    def planned(self, points: int, of: int, seconds: float) -> None:
        self._observer.planned(points, of, seconds + self._after)

    def measuring(self, what: str, seconds_left: float) -> None:
        self._observer.measuring(what, seconds_left + self._after)

    def measured(self, point: Point, seconds_left: float) -> None:
        self._observer.measured(point, seconds_left + self._after)

    def failed(self, failure: Failure) -> None:
        self._observer.failed(failure)

    def note(self, text: str) -> None:
        self._observer.note(text)

    def goes_on(self) -> bool:
        if self._stop.is_set():
            raise Stopped
        return True
