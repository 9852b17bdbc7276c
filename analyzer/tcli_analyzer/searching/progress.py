"""Tells whoever follows a search what happens."""

from tcli_analyzer.point import Point
from tcli_analyzer.searching import SearchWatch
from tcli_analyzer.searching.visits import Visits


class Progress:
    """Between a search and its watch.

    Attributes:
        notes: all that were told.
    """

    def __init__(self, watch: SearchWatch, visits: Visits) -> None:
        self._watch = watch
        self._visits = visits
        self._failures = 0
        self.notes: list[str] = []

    def plan(self, points: int, of: int, seconds: float) -> None:
        """As `SearchWatch.planned`."""
        self._watch.planned(points, of, seconds)

    def begin(self, what: str, seconds_left: float) -> None:
        """A visit begins."""
        self.tell_failures()
        self._watch.measuring(what, max(0.0, seconds_left))

    def done(self, point: Point, seconds_left: float) -> None:
        """A point is measured."""
        self._watch.measured(point, max(0.0, seconds_left))

    def tell_failures(self) -> None:
        """Those that came since the last time."""
        for failure in self._visits.failures[self._failures :]:
            self._watch.failed(failure)
        self._failures = len(self._visits.failures)

    def note(self, text: str) -> None:
        """Something that the user should know."""
        self.notes.append(text)
        self._watch.note(text)
